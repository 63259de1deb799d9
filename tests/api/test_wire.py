"""What only a real server and a real socket show: the raw path, and that nothing waits for a full segment."""

from __future__ import annotations

from tests.api.world import Company, send_octets


def look_up(port: int, segment: bytes, token: str) -> int:
    """Return the status of a lookup whose path segment is sent as it is."""
    head = b"GET /api/users/email/" + segment + b"/virtual-keys HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nAuthorization: Bearer "
    return int(send_octets(port, head + token.encode() + b"\r\n\r\n").split()[1])


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
    answer = send_octets(port, f"{head}Authorization: Bearer {token}\r\n\r\n".encode())
    start, _, body = answer.partition(b"\r\n\r\n")
    assert start.startswith(b"HTTP/1.1 200")
    assert body == b""


def test_rubbish_on_the_wire_ends_in_an_error_not_in_silence(port: int) -> None:
    """What is no HTTP is told so, and the next caller is served."""
    assert send_octets(port, b"\x16\x03\x01\x02\x00 hello\r\n\r\n").startswith(b"HTTP/1.1 400")
    assert send_octets(port, b"GET /health/live HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").startswith(b"HTTP/1.1 200")
