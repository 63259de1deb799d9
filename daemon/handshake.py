"""The beginning of TLS: whoever has connected is in the crowd already, whatever comes of it."""

from __future__ import annotations

import asyncio
import ssl
from asyncio.sslproto import SSLProtocol
from typing import Any

from daemon.crowding import Crowd


class Handshake(SSLProtocol):
    """asyncio's TLS, but in the crowd from its first octet on: whoever connects and never says hello takes a file like anybody else.

    `inside` has to `leave` for it when TLS has begun, which takes `within` seconds at most; it is in the crowd itself from then on."""

    def __init__(self, inside: asyncio.Protocol, tls: ssl.SSLContext, crowd: Crowd, within: float) -> None:
        loop = asyncio.get_running_loop()
        self.secured: asyncio.Future[Any] = loop.create_future()
        """Done when TLS has begun, or cannot."""
        self.secured.add_done_callback(lambda secured: secured.cancelled() or secured.exception())  # mostly nobody asks
        super().__init__(loop, inside, tls, self.secured, server_side=True, ssl_handshake_timeout=within)  # type: ignore[arg-type]  # asyncio takes fractions
        self._crowd = crowd
        self._line: asyncio.Transport | None = None

    @property
    def is_sending(self) -> bool:
        """Tell that nobody waits for an answer yet."""
        return False

    def hang_up(self) -> None:
        """End the connection now."""
        if self._line is not None:
            self._line.abort()

    def connection_made(self, transport: Any) -> None:
        self._line = transport
        super().connection_made(transport)
        self._crowd.enter(self)

    def connection_lost(self, exc: BaseException | None) -> None:
        self._crowd.leave(self)
        super().connection_lost(exc)
