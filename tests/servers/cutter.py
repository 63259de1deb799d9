"""A TCP proxy that stands between a client and a real server, and lets them down on purpose."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

Mangle = Callable[[int, bytes], tuple[bytes, bool]]
"""Given how many octets the server has sent before, and a chunk: what to pass on, and whether the connection stays."""


class Cutter:
    """Forwards connections from a free loopback port to `target`; what the server says goes through `mangle`."""

    def __init__(self, target: int, mangle: Mangle) -> None:
        self._target, self._mangle = target, mangle
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open: list[socket.socket] = []
        self.connections = 0
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        """Where to connect to in the clear."""
        return f"ldap://127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for one in [self._listener, *self._open]:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self.connections += 1
                try:
                    server = socket.create_connection(("127.0.0.1", self._target))
                except OSError:  # nobody there just now
                    client.close()
                    continue
                self._open += [client, server]
                threading.Thread(target=self._forward, args=(client, server, None), daemon=True).start()
                threading.Thread(target=self._forward, args=(server, client, self._mangle), daemon=True).start()

    def _forward(self, origin: socket.socket, target: socket.socket, mangle: Mangle | None) -> None:
        sent = 0
        with contextlib.suppress(OSError):
            while chunk := origin.recv(4096):
                passed, stays = mangle(sent, chunk) if mangle else (chunk, True)
                sent += len(chunk)
                target.sendall(passed)
                if not stays:
                    break
        for one in (origin, target):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)


def close_after(octets: int) -> Mangle:
    """Let so many octets of the server's through, then close the connection in the middle of whatever it is."""
    return lambda sent, chunk: (chunk[: max(0, octets - sent)], sent + len(chunk) < octets)


def hang_after(octets: int) -> Mangle:
    """Let so many octets of the server's through, then none, without closing."""
    return lambda sent, chunk: (chunk[: max(0, octets - sent)], True)


def garble_after(octets: int) -> Mangle:
    """Let so many octets of the server's through, then turn every bit around."""
    return lambda sent, chunk: (chunk if sent + len(chunk) <= octets else bytes(octet ^ 0xFF for octet in chunk), True)
