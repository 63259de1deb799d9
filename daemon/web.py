"""The HTTP server inside the daemon: sockets of our own, an app that can be exchanged while it serves, an end that does not hang."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from daemon.crowding import AT_A_TIME, Crowd
from daemon.handshake import Handshake
from daemon.listening import BACKLOG, Listener

FINISH_WITHIN = 10
"""Seconds that requests have to finish when the daemon ends."""
HEADERS_WITHIN = 30.0
"""Seconds that a client has to send the headers of a request, and again for its body."""
LARGEST_HEADERS = 64 * 1024
"""Octets of headers that are taken, and as many around and after the body."""
_KEEP_ALIVE = 75
_REQUEST_WITHIN = 1.0
"""Seconds that who is connected, and asks nothing just now, has for that when the daemon ends."""


class Exchange:
    """An ASGI app whose inside can be exchanged: a request finishes in the app it began in."""

    def __init__(self) -> None:
        self._app: Any = None
        self._life: _Life | None = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self._app(scope, receive, send)

    async def put(self, app: Any) -> None:
        """Start `app`, send new requests to it, and end the one before."""
        life = _Life(app)
        await life.begin()
        before, self._life, self._app = self._life, life, app
        if before is not None:
            await before.end()

    async def close(self) -> None:
        """End the app."""
        if self._life is not None:
            await self._life.end()
            self._life = None


class _Life:
    """An app's lifespan (ASGI spec, "Lifespan Protocol")."""

    def __init__(self, app: Any) -> None:
        self._to_app: asyncio.Queue[dict[str, str]] = asyncio.Queue()
        self._from_app: asyncio.Queue[dict[str, str]] = asyncio.Queue()
        scope = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}, "state": {}}
        self._going = asyncio.ensure_future(app(scope, self._to_app.get, self._from_app.put))

    async def begin(self) -> None:
        """Start the app. Raises RuntimeError if it does not start."""
        await self._say("lifespan.startup")

    async def end(self) -> None:
        """End the app and wait for it."""
        await self._say("lifespan.shutdown")
        await self._going

    async def _say(self, what: str) -> None:
        await self._to_app.put({"type": what})
        answer = asyncio.ensure_future(self._from_app.get())
        await asyncio.wait({answer, self._going}, return_when=asyncio.FIRST_COMPLETED)
        if not answer.done():
            answer.cancel()
            await self._going
            raise RuntimeError(f"the app ended at {what}")
        said = answer.result()
        if not said["type"].endswith(".complete"):
            raise RuntimeError(f"the app failed at {what}: {said.get('message', '')}")


class _Server(uvicorn.Server):
    """uvicorn without its signal handlers: the daemon decides what a signal means; and with an end that resets nobody."""

    def __init__(self, config: uvicorn.Config, crowd: Crowd) -> None:
        super().__init__(config)
        self._crowd = crowd

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen no more, and let open requests finish. Whoever waits to be accepted is taken in first: a listener that closes resets them."""
        self._crowd.is_leaving = True
        loop = asyncio.get_running_loop()
        for line in sockets or []:
            with suppress(OSError):  # nobody waits any more
                while True:
                    accepted, _ = line.accept()
                    accepted.setblocking(False)
                    entering = loop.connect_accepted_socket(self._make_protocol, accepted)
                    self.server_state.tasks.add(task := loop.create_task(_come_in(entering)))
                    task.add_done_callback(self.server_state.tasks.discard)
        await super().shutdown(sockets)

    def _make_protocol(self) -> asyncio.BaseProtocol:
        return self.config.http_protocol_class(  # type: ignore[call-arg]
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )


async def _come_in(entering: Coroutine[Any, Any, Any]) -> None:
    with suppress(OSError):  # gone meanwhile, or no TLS
        _, protocol = await entering
        if isinstance(protocol, Handshake):
            await protocol.secured


class _Bounded(HttpToolsProtocol):
    """uvicorn's protocol, which by itself waits for headers for ever, however many they are, and takes trailers for headers."""

    _waiting = True
    """For the end of headers."""
    _whole = False
    """The last request has come to its end."""
    _octets = 0
    _late: asyncio.TimerHandle | None = None
    _leaving = False
    handshake: Handshake | None = None
    """What stands in the crowd until TLS has begun."""

    def __init__(self, *given: Any, crowd: Crowd, **more: Any) -> None:
        super().__init__(*given, **more)
        self._crowd = crowd

    @property
    def is_sending(self) -> bool:
        """Tell whether some of an answer has not left us; TLS shows no more than what it has not taken yet."""
        return self.transport.get_write_buffer_size() > 0

    def hang_up(self) -> None:
        """End the connection now."""
        self.transport.abort()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        super().connection_made(transport)
        if self.handshake is not None:
            self._crowd.leave(self.handshake)
            self.handshake = None
        self._crowd.enter(self)
        if self._crowd.is_leaving:
            self.shutdown()
        self._late = self.loop.call_later(HEADERS_WITHIN, transport.abort)
        if self.client is None and transport.get_extra_info("socket").family != socket.AF_UNIX:
            transport.abort()  # reset already: to the app nobody at the other end means the Unix socket, whose word is believed

    def connection_lost(self, exc: Exception | None) -> None:
        self._crowd.leave(self)
        self._in_time()
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        self._waiting, self._whole, self._octets = True, False, 0
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._waiting:  # else it is a trailer, which no proxy has looked at as at a header (RFC 9110 section 6.5.1)
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._waiting, self._octets = False, 0
        self._crowd.begin(self)
        self._in_time()
        if not self.url.startswith((b"/", b"*")):
            raise ValueError("a target in absolute form, whose host would go before the Host that is checked (RFC 9112 section 3.2.2)")
        if sum(len(name) + len(value) for name, value in self.headers) > LARGEST_HEADERS:
            raise ValueError("too many headers, though they came at once")
        super().on_headers_complete()
        if self._leaving:
            self.cycle.keep_alive = False

    def on_body(self, body: bytes) -> None:
        self._octets -= len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._whole = True
        super().on_message_complete()

    def on_response_complete(self) -> None:
        if not self.pipeline:
            self._crowd.rest(self)
        super().on_response_complete()

    def data_received(self, data: bytes) -> None:
        if self.transport.is_closing():
            return
        before, idle = self.scope, self._whole
        super().data_received(data)
        if self._waiting or self.scope is before:  # what comes after the headers and is no body: chunks' sizes, trailers
            self._octets += len(data)
        if self._octets > LARGEST_HEADERS:
            self.transport.abort()
        elif self._whole and not (idle and self.scope is before):  # an empty line between requests is none
            self._in_time()
        elif self._late is None:
            self._late = self.loop.call_later(HEADERS_WITHIN, self.transport.abort)

    def shutdown(self) -> None:
        """End the connection when its answer is sent. A request may be here unread, or on its way: ending now would be a reset."""
        at_rest = self.cycle is None or self.cycle.response_complete
        if at_rest and not self._leaving:
            self.loop.call_later(_REQUEST_WITHIN, self.shutdown)
        else:
            super().shutdown()
        self._leaving = True

    def _in_time(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None


def _secured(*, tls: ssl.SSLContext, crowd: Crowd, **more: Any) -> Handshake:
    inside = _Bounded(crowd=crowd, **more)
    inside.handshake = Handshake(inside, tls, crowd, HEADERS_WITHIN)
    return inside.handshake


class Web:
    """Serves one app on all listeners, with TLS on those that want it. `tls` may load another certificate at any time."""

    def __init__(self, app: Exchange, listeners: list[Listener], tls: ssl.SSLContext | None, crowd: Crowd) -> None:
        self._servers: list[tuple[_Server, list[socket.socket]]] = []
        self._ended = False
        for secure in (True, False):
            sockets = [listener.socket for listener in listeners if listener.tls == secure]
            if sockets:
                self._servers.append((_Server(_config(app, tls if secure else None, crowd), crowd), sockets))

    async def serve(self) -> None:
        """Serve until `stop`, then until open requests have ended (at most FINISH_WITHIN)."""
        try:
            async with asyncio.TaskGroup() as group:
                for server, sockets in self._servers:
                    group.create_task(server.serve(sockets))
        finally:
            self._ended = True

    async def ready(self) -> None:
        """Return once every server answers, or `serve` has ended."""
        while not self._ended and not all(server.started for server, _ in self._servers):
            await asyncio.sleep(0.005)
        for _, sockets in self._servers:
            for line in sockets:
                line.listen(BACKLOG)  # more than are accepted at a time may wait; asyncio knows one number for both

    def stop(self) -> None:
        """Accept nothing more and come to an end."""
        for server, _ in self._servers:
            server.should_exit = True


def _config(app: Exchange, tls: ssl.SSLContext | None, crowd: Crowd) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=partial(_secured, tls=tls, crowd=crowd) if tls else partial(_Bounded, crowd=crowd),  # type: ignore[arg-type]  # whatever makes a protocol
        backlog=AT_A_TIME,
        ws="none",
        lifespan="off",
        interface="asgi3",
        log_config=None,
        access_log=False,
        proxy_headers=False,  # the API decides whom to believe
        server_header=False,
        timeout_keep_alive=_KEEP_ALIVE,
        timeout_graceful_shutdown=FINISH_WITHIN,
    )
