"""Fixtures for every room's tests: a real directory server, quickly."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.servers.slapd import Slapd


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
