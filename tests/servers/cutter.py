"""A TCP proxy that stands between a client and a real server, and lets them down on purpose."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable

from tests.servers.listener import Listener

Mangle = Callable[[int, bytes], tuple[bytes, bool]]
"""Given how many octets the server has sent before, and a chunk: what to pass on, and whether the connection stays."""


class Cutter(Listener):
    """Forwards connections to the port `target`; what the server says goes through `mangle`."""

    def __init__(self, target: int, mangle: Mangle) -> None:
        self._target, self._mangle = target, mangle
        self.connections = 0
        super().__init__()

    def _serve(self, client: socket.socket) -> None:
        self.connections += 1
        try:
            server = socket.create_connection(("127.0.0.1", self._target))
        except OSError:  # nobody there just now
            client.close()
            return
        self._open.append(server)
        threading.Thread(target=self._forward, args=(client, server, None), daemon=True).start()
        self._forward(server, client, self._mangle)

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
