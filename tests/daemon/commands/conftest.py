"""Installations for the commands' tests."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.daemon.commands.place import Place
from tests.servers.slapd import Slapd


@pytest.fixture
def place(tmp_path: Path, slapd: Slapd) -> Place:
    """Return an installation whose source reads a real slapd of its own."""
    return Place(tmp_path, slapd.url, slapd.bind_dn, slapd.base)


@pytest.fixture
def bare(tmp_path: Path) -> Place:
    """Return an installation whose directory is not there."""
    return Place(tmp_path, "ldap://127.0.0.1:1")


@pytest.fixture(autouse=True)
def own_umask() -> Iterator[None]:
    """Undo what commands run in this process do to its umask."""
    before = os.umask(0o022)
    os.umask(before)
    yield
    os.umask(before)
