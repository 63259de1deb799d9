"""Fixtures for every room's tests: a real directory server, quickly."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import count
from pathlib import Path

import pytest

from tests.servers.branch import Branch
from tests.servers.dirsrv import Dirsrv, DirsrvTree
from tests.servers.samba import Samba
from tests.servers.slapd import Slapd
from tests.stores import STORES, opens_store

_BRANCHES = count(1)
_MEMORY = Path("/dev/shm")  # noqa: S108 — only tests' files, each in a folder of its own
_ENOUGH = 4 << 30


def pytest_configure(config: pytest.Config) -> None:
    """Keep the tests' files in memory where there is plenty, unless TMPDIR says where: no test cuts the power, so none need wait for a disk.
    And let every store be where `--store` says."""
    STORES.on_server = config.getoption("--store") == "postgresql"
    if "TMPDIR" not in os.environ and _MEMORY.is_dir() and _is_usable(_MEMORY):
        os.environ["TMPDIR"] = tempfile.tempdir = str(_MEMORY)


def _is_usable(folder: Path) -> bool:
    """Tell whether tests can write to a folder, run programs from it, and have enough of it (four gibibytes free; a whole run needs one)."""
    runs_programs = not os.statvfs(folder).f_flag & os.ST_NOEXEC
    return os.access(folder, os.W_OK | os.X_OK) and runs_programs and shutil.disk_usage(folder).free > _ENOUGH


def pytest_addoption(parser: pytest.Parser) -> None:
    """Say where stores are, with `--store`."""
    parser.addoption(
        "--store", choices=("sqlite", "postgresql"), default="sqlite", help="where the tests' stores are; postgresql leaves out the rest"
    )


def pytest_unconfigure() -> None:
    """End the server that the stores were on."""
    STORES.close()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """On PostgreSQL run what opens a store and is not about SQLite's files."""
    if STORES.on_server:
        chosen = {item: opens_store(item) and not item.get_closest_marker("sqlite") for item in items}
        config.hook.pytest_deselected(items=[item for item in items if not chosen[item]])
        items[:] = [item for item in items if chosen[item]]


@pytest.fixture(scope="session")
def slapd_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a prepared server with an empty tree; every server is a copy of it."""
    folder = tmp_path_factory.mktemp("slapd-template")
    Slapd(folder).prepare()
    return folder


@pytest.fixture
def make_slapd(slapd_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], Slapd]]:
    """Return a function that starts one more server with an empty tree of its own; all end with the test."""
    with ExitStack() as stack:
        yield lambda: stack.enter_context(Slapd(tmp_path_factory.mktemp("slapd")).prepare(slapd_template).start())


@pytest.fixture
def slapd(make_slapd: Callable[[], Slapd]) -> Slapd:
    """Return a running server with an empty tree that belongs to this test alone."""
    return make_slapd()


@pytest.fixture(scope="session")
def dirsrv_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dirsrv]:
    """Yield a running 389 Directory Server without data, which all tests share: each plants a tree of its own."""
    with Dirsrv(tmp_path_factory.mktemp("dirsrv")).prepare() as server:
        yield server.start()


@pytest.fixture
def dirsrv(dirsrv_server: Dirsrv) -> DirsrvTree:
    """Return a tree on the 389 Directory Server that belongs to this test alone."""
    return dirsrv_server.plant()


@pytest.fixture(scope="session")
def freeipa_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dirsrv]:
    """Yield a running 389 Directory Server with FreeIPA's words in its root entry and its schema: as much of FreeIPA as a reader meets."""
    with Dirsrv(tmp_path_factory.mktemp("freeipa"), freeipa=True).prepare() as server:
        yield server.start()


@pytest.fixture
def freeipa(freeipa_server: Dirsrv) -> DirsrvTree:
    """Return a tree as FreeIPA lays it out that belongs to this test alone."""
    return freeipa_server.plant()


@pytest.fixture(scope="session")
def samba(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Samba]:
    """Return the running domain controller that all tests share, each in a branch of its own."""
    with Samba(tmp_path_factory.mktemp("samba")).prepare() as server:
        yield server.start()


@pytest.fixture
def branch(samba: Samba) -> Branch:
    """Return a branch of the domain that belongs to this test alone."""
    return Branch(samba, f"t{next(_BRANCHES)}")
