"""A daemon of one's own that has synced once, and the ledger of what it answered."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from daemon.demo.responder import Responder
from tests.daemon.installation import Installation


@pytest.fixture
def responder() -> Iterator[Responder]:
    """Return a running directory of the demo's people."""
    with Responder() as running:
        yield running


@pytest.fixture
def installation(tmp_path: Path, responder: Responder) -> Installation:
    """Return a configured rosterd that reads the demo's people."""
    return Installation(tmp_path, responder)
