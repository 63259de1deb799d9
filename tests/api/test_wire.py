"""What only a real server and a real socket show: the raw path, and that nothing waits for a full segment."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Iterator

import pytest
import uvicorn

from tests.api.world import Company


@pytest.fixture
def port(company: Company) -> Iterator[int]:
    """Serve the company's app on a free port."""
    with socket.socket() as line:
        line.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(company.app, log_config=None, access_log=False))
        thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets=[line])))
        thread.start()
        while not server.started:
            time.sleep(0.01)
        yield line.getsockname()[1]
        server.should_exit = True
        thread.join(10)


def ask(port: int, request: bytes) -> bytes:
    """Send octets as they are and return the whole answer."""
    with socket.create_connection(("127.0.0.1", port), 10) as line:
        line.sendall(request)
        answer = b""
        while chunk := line.recv(65536):
            answer += chunk
        return answer


def look_up(port: int, segment: bytes, token: str) -> int:
    """Return the status of a lookup whose path segment is sent as it is."""
    head = b"GET /api/users/email/" + segment + b"/virtual-keys HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nAuthorization: Bearer "
    return int(ask(port, head + token.encode() + b"\r\n\r\n").split()[1])


def test_the_segment_reaches_the_lookup_as_it_was_sent(company: Company, port: int) -> None:
    """%2F is a slash in the address, %252F is not, a bare slash is another route, rubbish is a 400."""
    company.add_user("a/b@example.com")
    company.add_user("JÖRG@bücher.example")
    token = company.token("lookup")
    assert look_up(port, b"a%2Fb@example.com", token) == 200
    assert look_up(port, b"a%2fb%40example.com", token) == 200
    assert look_up(port, b"a%252Fb@example.com", token) == 404
    assert look_up(port, b"a/b@example.com", token) == 404
    assert look_up(port, "jörg@BÜCHER.example".encode(), token) in (200, 400)
    assert look_up(port, b"j%C3%B6rg@b%C3%BCcher.example", token) == 200
    assert look_up(port, b"%ff@example.com", token) == 400
    assert look_up(port, b"%zz@example.com", token) in (400, 404)
    assert look_up(port, b"..%2F..%2Fme", token) == 400


def test_a_head_is_answered_like_a_get_without_a_body(company: Company, port: int) -> None:
    """Monitoring may ask with HEAD; no secret crosses the wire."""
    company.add_user("ann@example.com")
    token = company.token("lookup")
    head = "HEAD /api/users/email/ann@example.com/virtual-keys HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
    answer = ask(port, f"{head}Authorization: Bearer {token}\r\n\r\n".encode())
    start, _, body = answer.partition(b"\r\n\r\n")
    assert start.startswith(b"HTTP/1.1 200")
    assert body == b""


def test_rubbish_on_the_wire_ends_in_an_error_not_in_silence(port: int) -> None:
    """What is no HTTP is told so, and the next caller is served."""
    assert ask(port, b"\x16\x03\x01\x02\x00 hello\r\n\r\n").startswith(b"HTTP/1.1 400")
    assert ask(port, b"GET /health/live HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").startswith(b"HTTP/1.1 200")
