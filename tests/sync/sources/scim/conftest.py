"""Providers for the tests of SCIM sources."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from sync.sources.scim import patience
from tests.servers.provider import Provider
from tests.servers.scim2 import Scim2
from tests.sync.sources.scim.company import Company


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten the pauses of our own choice; what a provider asks for is waited in full."""
    monkeypatch.setattr(patience, "PAUSE", 0.01)


@pytest.fixture
def provider() -> Iterator[Provider]:
    """Return a provider that plays every quirk on command."""
    with Provider() as started:
        yield started


@pytest.fixture
def scim2() -> Iterator[Scim2]:
    """Return a stock scim2-server, empty."""
    with Scim2() as started:
        yield started


@pytest.fixture
def company(provider: Provider, tmp_path: Path) -> Iterator[Company]:
    """Return a store that follows the provider."""
    with Company(provider.url, tmp_path) as opened:
        yield opened
