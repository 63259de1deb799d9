"""The push source: what one provider has pushed, as the configuration describes it, not looked at yet."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager

from sync.directory import Reading
from sync.settings import SourceSettings
from sync.sources.push.reading import PushReading
from sync.store.engine import Connection

Snapshot = Callable[[], AbstractContextManager[Connection]]
"""Opens what is read in: a snapshot of the store, or the transaction of a push."""


class PushSource:
    """Our reader of what one provider has pushed."""

    def __init__(self, settings: SourceSettings, groups: Sequence[str], snapshot: Snapshot) -> None:
        self._settings, self._groups, self._snapshot = settings, groups, snapshot

    @contextmanager
    def open(self) -> Iterator[Reading]:
        """Return the conversation, with ourselves."""
        with self._snapshot() as connection:
            yield PushReading(self._settings, self._groups, connection)
