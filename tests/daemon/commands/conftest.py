"""Installations for the commands' tests."""

from __future__ import annotations

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
