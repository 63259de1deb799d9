"""A real store with two sources, and a configured rosterd that reads the demo's people, for the process's tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from daemon.demo.responder import Responder
from sync.settings import SourceSettings, StoreSettings
from sync.store import sources
from sync.store.engine import Store, open_store
from tests.daemon.installation import Installation
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


@pytest.fixture
def responder() -> Iterator[Responder]:
    """Return a running directory of the demo's people."""
    with Responder() as running:
        yield running


@pytest.fixture
def installation(tmp_path: Path, responder: Responder) -> Installation:
    """Return a configured rosterd that reads the demo's people."""
    return Installation(tmp_path, responder)


def source(name: str, rank: int = 0) -> SourceSettings:
    """Return a source that no test ever reads."""
    return SourceSettings(name, "ldap", rank, urls=("ldap://127.0.0.1:1",))
