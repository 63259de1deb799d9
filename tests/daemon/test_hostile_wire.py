"""What is sent to mislead: it reaches no app as something that it is not, and is not collected without end."""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from daemon.config import HttpSettings
from daemon.crowding import Crowd
from daemon.listening import listen
from daemon.web import Exchange, Web
from tests.daemon.test_serve_web import certificate

HEAD = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n"


class Noting:
    """An app that keeps what reaches it: the peer, the headers, the body."""

    def __init__(self, answer: bytes = b"") -> None:
        self.answer = answer
        self.peers: list[Any] = []
        self.headers: list[dict[bytes, bytes]] = []
        self.bodies: list[bytes] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            for event in ("startup", "shutdown"):
                await receive()
                await send({"type": f"lifespan.{event}.complete"})
            return
        body, more = b"", True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body, more = body + message.get("body", b""), message.get("more_body", False)
        self.peers.append(scope["client"])
        self.headers.append(dict(scope["headers"]))
        self.bodies.append(body)
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(self.answer))]})
        await send({"type": "http.response.body", "body": self.answer})


def served(test: Callable[[int], None], app: Noting | None = None, room: int = 1000, tls: ssl.SSLContext | None = None) -> Noting:
    """Serve an app with the daemon's server and `room` for connections while `test` runs with its port; return the app."""
    app = app or Noting()

    async def scenario() -> None:
        exchange = Exchange()
        listeners = [replace(listener, tls=tls is not None) for listener in listen(HttpSettings(port=0))]
        await exchange.put(app)
        web = Web(exchange, listeners, tls, Crowd(room))
        going = asyncio.create_task(web.serve())
        try:
            await web.ready()
            await asyncio.to_thread(test, listeners[0].socket.getsockname()[1])
        finally:
            web.stop()
            await going
            await exchange.close()
            listeners[0].close()

    asyncio.run(scenario())
    return app


def exchange_octets(port: int, pieces: Iterator[bytes]) -> bytes:
    """Send pieces, and return what comes until the server closes the connection."""
    received = b""
    with socket.create_connection(("127.0.0.1", port), 10) as line:
        try:
            for piece in pieces:
                line.sendall(piece)
            while chunk := line.recv(65536):
                received += chunk
        except ConnectionError:
            pass
    return received


def test_a_trailer_is_no_header() -> None:
    """What comes after a body has passed a proxy that looked at the headers only: it asserts nobody and bears nothing."""
    wanted = HEAD + b"Connection: close\r\nX-Own: 1\r\n\r\n5\r\nhello\r\n0\r\nX-Remote-User: boss\r\nX-Own: 2\r\nAuthorization: Bearer x\r\n\r\n"
    app = served(lambda port: [exchange_octets(port, iter(pieces)) for pieces in ([wanted], [wanted[:80], wanted[80:-9], wanted[-9:]])] and None)
    assert app.bodies == [b"hello"] * 2
    assert app.headers == [{b"host": b"x", b"transfer-encoding": b"chunked", b"connection": b"close", b"x-own": b"1"}] * 2


@pytest.mark.parametrize("begun", [b"0\r\nX: ", b"0\r\nX", b"0;x=", b"5\r\nhello\r\n0\r\nX: "])
def test_trailers_and_chunk_extensions_without_end_are_not_collected(begun: bytes) -> None:
    """Nobody need be known here to send them, so they end the connection as headers without end do."""
    sent = []

    def flood() -> Iterator[bytes]:
        yield HEAD + b"\r\n" + begun
        for _ in range(400):
            sent.append(1)
            yield b"a" * 65536

    app = served(lambda port: exchange_octets(port, flood()) and None)
    assert (app.bodies, len(sent) < 400) == ([], True), "the connection ended before everything was sent"


def test_a_body_in_many_chunks_is_taken_whole() -> None:
    """The sizes of chunks count no more than they weigh."""
    chunks = (b"64\r\n" + b"z" * 100 + b"\r\n" for _ in range(3000))
    sent = iter([HEAD + b"Connection: close\r\n\r\n", *chunks, b"0\r\n\r\n"])
    app = served(lambda port: exchange_octets(port, sent) and None)
    assert app.bodies == [b"z" * 300_000]


def test_empty_lines_hold_no_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    """After an answer they are no request, however often they come."""
    monkeypatch.setattr("daemon.web.HEADERS_WITHIN", 0.3)

    def drip() -> Iterator[bytes]:
        yield b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
        for _ in range(40):
            time.sleep(0.05)
            sent.append(1)
            yield b"\r\n"

    sent: list[int] = []
    served(lambda port: exchange_octets(port, drip()) and None)
    assert len(sent) < 40


def test_a_connection_that_was_reset_is_not_taken_for_the_unix_socket() -> None:
    """Its peer can be told no more, and a request without a peer would be believed whatever it says of others."""

    def reset(port: int) -> None:
        for _ in range(30):
            with socket.socket() as line:
                line.connect(("127.0.0.1", port))
                line.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nX-Remote-User: boss\r\n\r\n")
                line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        exchange_octets(port, iter([b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"]))

    app = served(reset)
    assert app.peers and all(peer is not None for peer in app.peers)


def test_whoever_never_reads_the_answers_is_hung_up_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """Asking again and again without reading holds no connection for ever; the kernel sees to it."""
    monkeypatch.setattr("daemon.listening.UNREAD_MS", 500)

    def ask_on(port: int) -> None:
        with socket.socket() as line:
            line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            line.connect(("127.0.0.1", port))
            line.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            with pytest.raises(ConnectionError):
                for _ in range(50):
                    time.sleep(0.2)
                    line.sendall(b"\r\n")

    served(ask_on, Noting(b"z" * 20_000_000))


def test_a_crowd_cuts_no_answer_short() -> None:
    """Who reads slowly gets the whole of an answer, however many come meanwhile; whoever there is no room for is hung up on."""
    size = 16_000_000

    def test(port: int) -> None:
        with socket.create_connection(("127.0.0.1", port), 10) as slow:
            slow.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            begun = len(slow.recv(1000))
            others = [socket.create_connection(("127.0.0.1", port), 10) for _ in range(3)]
            assert others[0].recv(1) == b""
            while begun <= size and (octets := len(slow.recv(1 << 20))):
                begun += octets
            for line in others:
                line.close()
        assert begun > size

    served(test, Noting(b"x" * size), room=2)


def test_whoever_never_says_hello_counts_like_anybody(tmp_path: Path) -> None:
    """Connections that do not begin TLS take no more files than there is room for: the oldest are closed, and who does begin it is answered."""
    cert, key = certificate(tmp_path, "localhost")
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context(cafile=cert)
    server.load_cert_chain(cert, key)
    client.check_hostname = False

    def test(port: int) -> None:
        with ExitStack() as stack:
            mute = [stack.enter_context(socket.create_connection(("127.0.0.1", port), 10)) for _ in range(6)]
            assert [line.recv(1) for line in mute[:3]] == [b""] * 3
            with client.wrap_socket(socket.create_connection(("127.0.0.1", port), 10)) as line:
                line.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
                assert line.recv(1000).startswith(b"HTTP/1.1 200")
                assert mute[3].recv(1) == b""
                for other in mute[4:]:
                    other.setblocking(False)
                    with pytest.raises(BlockingIOError):
                        other.recv(1)

    served(test, room=3, tls=server)
