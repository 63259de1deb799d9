"""A Wire whose socket is a list of chunks in memory."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import ldap3

from sync.sources.ldap.wire import Address, Wire

_ADDRESS = Address("ldap://memory", "memory", 389, None, 1.0, 60.0)


class _Chunks:
    """As much of a socket as a Wire uses: it says what it was given, then hangs up."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = iter(chunks)

    def recv(self, size: int) -> bytes:
        return next(self._chunks, b"")

    def shutdown(self, how: int) -> None:
        pass

    def close(self) -> None:
        pass


_connection: Any = ldap3.Connection(ldap3.Server("memory", get_info=ldap3.NONE), client_strategy=ldap3.SYNC)


def wire_fed(chunks: Iterable[bytes], biggest: int) -> Wire:
    """Return an open Wire that will receive these chunks; entries of more than `biggest` octets are too big for it."""
    wire = Wire(_connection, _ADDRESS)
    _connection.strategy, _connection.socket, _connection.closed = wire, _Chunks(chunks), False
    wire.biggest_entry = biggest
    return wire
