"""Loopback ports for servers that must be told theirs: drawn, and kept from everybody else until the server listens."""

from __future__ import annotations

import os
import socket
from collections import deque

_kept: deque[int] = deque()
"""Descriptors of bound sockets that hold the last ports drawn. Without them another server of the tests is given a port
before ours listens there, is taken for ours, and ends in the middle of a test."""

_MOST_KEPT = 64


def free_port() -> int:
    """Return a loopback port that nobody listens on, and that the kernel gives to nobody else for now.

    A server that sets SO_REUSEADDR, as all of them do, can listen there.
    """
    if len(_kept) == _MOST_KEPT:
        os.close(_kept.popleft())
    holder = socket.socket()
    holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    holder.bind(("127.0.0.1", 0))
    port = int(holder.getsockname()[1])
    _kept.append(holder.detach())
    return port
