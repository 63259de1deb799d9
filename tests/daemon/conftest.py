"""A real store with one source, for the process's tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from sync.settings import SourceSettings, StoreSettings
from sync.store import sources
from sync.store.engine import Store, open_store
from tests.stores import STORES


@pytest.fixture
def store_url(tmp_path: Path) -> str:
    """Return where the test's store is."""
    return STORES.settings(tmp_path / "rosterd.db").url


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    """Return an open store that knows the sources corp and partner."""
    opened = open_store(StoreSettings(store_url))
    sources.declare(opened, [source("corp"), source("partner", 1)], [])
    yield opened
    opened.close()


def source(name: str, rank: int = 0) -> SourceSettings:
    """Return a source that no test ever reads."""
    return SourceSettings(name, "ldap", rank, urls=("ldap://127.0.0.1:1",))
