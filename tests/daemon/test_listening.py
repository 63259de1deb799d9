"""The sockets that the daemon makes for itself."""

from __future__ import annotations

import socket

from daemon.config import HttpSettings
from daemon.listening import listen


def test_an_answer_never_waits_for_an_acknowledgement() -> None:
    """Accepted connections send at once (TCP_NODELAY): otherwise every answer over a kept connection takes 40 ms."""
    (listener,) = listen(HttpSettings(port=0))
    with socket.create_connection(listener.socket.getsockname()), listener.socket.accept()[0] as accepted:
        assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    listener.close()
