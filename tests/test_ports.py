"""The ports that tests give their servers."""

from __future__ import annotations

import errno
import socket

import pytest

from tests.servers.ports import free_port


def test_a_port_drawn_for_a_server_is_kept_for_it() -> None:
    """Nobody else is given the port before the server listens, and the server can listen there."""
    port = free_port()
    with socket.socket() as other, pytest.raises(OSError) as failure:
        other.bind(("127.0.0.1", port))
    assert failure.value.errno == errno.EADDRINUSE
    with socket.create_server(("127.0.0.1", port)), socket.create_connection(("127.0.0.1", port), 1):
        pass
