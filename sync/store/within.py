"""A store seen from inside one open write transaction: whatever is begun there happens in it, and is committed with it or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection

from sync.store.engine import Store


class Within(Store):
    """For code that opens its own transactions, when all of it has to see and to become one commit.

    A snapshot is the transaction itself; a write transaction is a savepoint of it, undone alone when its block raises.
    """

    def __init__(self, store: Store, connection: Connection) -> None:
        super().__init__(store.database, store.now)
        self._open = connection

    @contextmanager
    def read(self, on: Connection | None = None) -> Iterator[Connection]:
        """Return the open transaction."""
        yield self._open

    @contextmanager
    def write(self, on: Connection | None = None, *, within_ms: int | None = None) -> Iterator[Connection]:
        """Open a savepoint."""
        self._open.exec_driver_sql("SAVEPOINT within")
        try:
            yield self._open
        except BaseException:
            self._open.exec_driver_sql("ROLLBACK TO SAVEPOINT within")
            self._open.exec_driver_sql("RELEASE SAVEPOINT within")
            raise
        self._open.exec_driver_sql("RELEASE SAVEPOINT within")

    @contextmanager
    def dedicated(self) -> Iterator[Connection]:
        """Return the connection of the open transaction."""
        yield self._open
