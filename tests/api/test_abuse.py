"""Whoever means harm: hostile bearers, hostile framing, other people's addresses, floods. Against the daemon's own server on a real socket."""

from __future__ import annotations

import asyncio
import socket
import statistics
import time
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.api.conftest import served
from tests.api.world import Company, send_octets

ME = "/api/users/me/virtual-keys"
REFUSED = {b"400", b"401", b"403", b"429"}


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Company]:
    """One company for all examples of a property."""
    made = Company(tmp_path_factory.mktemp("shared"))
    yield made
    made.close()


@pytest.fixture(scope="module")
def shared_port(shared: Company) -> Iterator[int]:
    """Its app on a real socket."""
    yield from served(shared)


def status(answer: bytes) -> bytes:
    """Return the status of a whole answer."""
    return answer.split()[1]


def ask(port: int, *lines: bytes, target: bytes = b"/health/live", method: bytes = b"GET", host: bytes = b"localhost", body: bytes = b"") -> bytes:
    """Send one request with these header lines as they are."""
    head = [method + b" " + target + b" HTTP/1.1", b"Host: " + host, b"Connection: close", *lines]
    return send_octets(port, b"\r\n".join(head) + b"\r\n\r\n" + body)


def alive(port: int) -> bool:
    """Tell whether the next caller is answered."""
    return status(ask(port)) == b"200"


@settings(max_examples=400, deadline=None)
@given(
    octets=st.binary(max_size=300) | st.text(max_size=100).map(lambda text: text.encode("utf-8", "surrogatepass")),
    where=st.sampled_from([b"Authorization: Bearer ", b"Authorization: ", b"X-Api-Key: ", b"x-bf-vk: ", b"X-Goog-Api-Key:"]),
    target=st.sampled_from([ME.encode(), b"/api/users/email/ann@example.com/virtual-keys", b"/api/users", b"/api/tokens"]),
)
def test_no_octets_as_a_bearer_are_ever_answered(shared_port: int, octets: bytes, where: bytes, target: bytes) -> None:
    """Any octets where a credential belongs, on a real socket: 400, 401, 403 or 429; never an answer, never a 500, never silence."""
    assert status(ask(shared_port, where + octets.replace(b"\r", b"").replace(b"\n", b""), target=target)) in REFUSED


@settings(max_examples=200, deadline=None)
@given(parts=st.lists(st.binary(max_size=60), min_size=1, max_size=5), data=st.data())
def test_no_damaged_token_is_ever_answered(shared: Company, shared_port: int, parts: list[bytes], data: st.DataObject) -> None:
    """A good token with octets changed, left out or put in: refused like any other."""
    good = shared.token("lookup").encode()
    place = data.draw(st.integers(0, len(good)))
    width = data.draw(st.integers(0, 3))
    bad = good[:place] + b"".join(parts).replace(b"\r", b"").replace(b"\n", b"") + good[place + width :]
    if bad.strip() != good:
        assert status(ask(shared_port, b"Authorization: Bearer " + bad, target=b"/api/users/email/a@b.example/virtual-keys")) in REFUSED


def strangers(company: Company) -> list[str]:
    """Return a thousand addresses that are not Ann's: held, aliases, removed, contested, blocked, and of nobody."""
    found = []
    for number in range(100):
        company.add_user(f"held{number}@example.com", f"alias{number}@example.com", keys=())
        company.add_user(f"gone{number}@example.com", keys=(), state="removed")
        company.add_user(f"blocked{number}@example.com", keys=(), blocked_at=1, blocked_by="t")
        for _ in range(2):
            company.claim(company.add_user(keys=()), f"contested{number}@example.com", position=1, held=False)
        found += [f"{kind}{number}@example.com" for kind in ("held", "alias", "gone", "blocked", "contested")]
    return found + [f"nobody{number}@example.com" for number in range(500)]


@pytest.mark.parametrize("kind", ["key", "device"])
def test_a_bearer_of_one_user_learns_nothing_about_a_thousand_others(company: Company, kind: str) -> None:
    """Octet for octet the same 403 but for the id, header for header, and no slower for those who exist."""
    ann = company.add_user("ann@example.com", keys=())
    bearer = company.add_key(ann, "k") if kind == "key" else company.token("device", user_id=ann)
    addresses = strangers(company)
    assert len(addresses) == 1000
    seen = set()

    async def ask_all() -> float:
        """Return by how much the medians differ, as a share of the one for addresses that nobody holds."""
        spent: dict[bool, list[float]] = {True: [], False: []}
        async with company.client(bearer) as client:
            for number, (one, other) in enumerate(zip(addresses[:500], addresses[500:], strict=True)):
                for address in (one, other) if number % 2 else (other, one):
                    began = time.perf_counter()
                    answer = await client.get(f"/api/users/email/{address}/virtual-keys")
                    spent[address is one].append(time.perf_counter() - began)
                    event = answer.headers["x-request-id"]
                    headers = tuple((name, value.replace(event, "ID")) for name, value in answer.headers.multi_items())
                    seen.add((answer.status_code, headers, answer.text.replace(event, "ID")))

        return abs(statistics.median(spent[True]) / statistics.median(spent[False]) - 1)

    # What the machine does meanwhile is never the same three times; what an address gives away would be.
    differences = [asyncio.run(ask_all()) for _ in range(3)]
    ((code, _, body),) = seen
    assert code == 403 and "other_user" in body
    assert min(differences) < 0.1, differences


def failing(company: Company, peer: str, **headers: str) -> int:
    """Return the status of one more failure from a peer."""
    return company.ask("GET", ME, "wrong", peer=peer, **headers).status_code


def exhaust(company: Company, peer: str, **headers: str) -> None:
    """Fail until failures are slowed."""
    for _ in range(40):
        if failing(company, peer, **headers) == 429:
            return
    raise AssertionError("never slowed")


def test_a_header_does_not_make_a_stranger_another_client(company: Company) -> None:
    """X-Forwarded-For of a peer that is no trusted proxy neither helps whoever sends it nor hurts whoever is named in it."""
    exhaust(company, "192.0.2.7", x_forwarded_for="192.0.2.99")
    assert failing(company, "192.0.2.7", x_forwarded_for="198.51.100.1") == 429, "another name in the header is no other client"
    assert failing(company, "192.0.2.99") == 401, "whom the header named has not failed"


def test_behind_a_trusted_proxy_each_client_is_its_own(company: Company) -> None:
    """The nearest address that is no proxy of ours counts; what a client itself put before it does not."""
    company.configure(trusted_proxies=("10.0.0.0/8",))
    exhaust(company, "10.1.1.1", x_forwarded_for="203.0.113.5")
    assert failing(company, "10.1.1.1", x_forwarded_for="1.2.3.4, 203.0.113.5") == 429, "a hop that the client invented"
    assert failing(company, "10.1.1.1", x_forwarded_for="203.0.113.6") == 401


def test_an_ipv6_client_is_its_network(company: Company) -> None:
    """One machine may own a whole /64: moving about in it does not help; the network beside it is not hurt."""
    exhaust(company, "2001:db8:1:2::1")
    assert failing(company, "2001:db8:1:2:ffff::9") == 429
    assert failing(company, "2001:db8:1:3::1") == 401


def test_valid_bearers_are_served_while_a_client_is_slowed(company: Company) -> None:
    """Token, key and administrator behind the same address: all answered, all through a flood of failures."""
    ann = company.add_user("ann@example.com", keys=())
    bearers = (company.add_key(ann, "k"), company.token("device", user_id=ann))
    admin = company.token()
    exhaust(company, "192.0.2.7")
    for _ in range(30):
        assert failing(company, "192.0.2.7") == 429
        assert [company.ask("GET", ME, bearer, peer="192.0.2.7").status_code for bearer in bearers] == [200, 200]
        assert company.ask("GET", "/api/users", admin, peer="192.0.2.7").status_code == 200


@pytest.mark.parametrize("length", [8 * 1024 + 1, 30_000, 66_000, 400_000])
@pytest.mark.parametrize("where", ["path", "query", "header"])
def test_what_is_too_long_is_refused_and_hurts_nobody(shared: Company, shared_port: int, where: str, length: int) -> None:
    """A long path, query or header is an error or the end of the connection, never a 500; the next caller is answered."""
    filling = b"a" * length
    target = {"path": b"/api/users/" + filling, "query": b"/api/users?search=" + filling, "header": b"/api/users"}[where]
    lines = [b"Authorization: Bearer " + shared.token().encode(), *([b"X-Long: " + filling] if where == "header" else [])]
    try:
        assert status(ask(shared_port, *lines, target=target)) in {b"400", b"404", b"413"} | (
            {b"200"} if where == "header" and length < 65_536 else set()
        )
    except (ConnectionError, IndexError):
        assert length > 64 * 1024
    assert alive(shared_port)


@pytest.mark.parametrize("path", ["/api/sync/runs", "/api/sources/corp/pause", "/api/tokens"])
@pytest.mark.parametrize("framing", ["length", "chunks", "announced only"])
def test_bodies_over_the_limit_are_not_taken(shared: Company, shared_port: int, path: str, framing: str) -> None:
    """More than 64 KiB is a 413, whether its length was said or not, and before it is all there."""
    chunk = b"1000\r\n" + b" " * 4096 + b"\r\n"
    frames = {
        "length": (b"Content-Length: 70000", b" " * 70_000),
        "announced only": (b"Content-Length: 70000", b""),
        "chunks": (b"Transfer-Encoding: chunked", chunk * 20 + b"0\r\n\r\n"),
    }
    line, body = frames[framing]
    lines = (b"Authorization: Bearer " + shared.token().encode(), b"Content-Type: application/json", line)
    answer = ask(shared_port, *lines, method=b"POST", target=path.encode(), body=body)
    assert status(answer) == b"413" and b"body_too_large" in answer


def test_a_body_that_ends_early_is_no_bug(shared: Company, shared_port: int, caplog: pytest.LogCaptureFixture) -> None:
    """A client that goes away leaves no traceback in the log."""
    head = b"POST /api/sync/runs HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 50\r\nAuthorization: Bearer "
    with socket.create_connection(("127.0.0.1", shared_port), 10) as line:
        line.sendall(head + shared.token().encode() + b'\r\n\r\n{"source"')
        time.sleep(0.2)
    assert alive(shared_port)
    time.sleep(0.2)
    assert [record.message for record in caplog.records if record.exc_info] == []


SMUGGLED = b"0\r\n\r\nGET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.mark.parametrize(
    "lines",
    [
        (b"Content-Length: 5", b"Transfer-Encoding: chunked"),
        (b"Transfer-Encoding: chunked", b"Content-Length: 5"),
        (b"Content-Length: 5", b"Content-Length: 60"),
        (b"Content-Length: 5, 5",),
        (b"Content-Length: +5",),
        (b"Content-Length: 0x5",),
        (b"Content-Length: -1",),
        (b"Transfer-Encoding: xchunked",),
        (b"Transfer-Encoding: chunked, identity",),
        (b"Transfer-Encoding : chunked", b"Content-Length: 5"),
        (b"X: a", b" Transfer-Encoding: chunked"),
    ],
)
def test_framing_that_two_could_read_differently_is_refused(shared: Company, shared_port: int, lines: tuple[bytes, ...]) -> None:
    """Request smuggling: one 400, the connection ends, and what was hidden behind is never answered."""
    sent = (b"Content-Type: application/json", b"Authorization: Bearer " + shared.token().encode(), *lines)
    answer = send_octets(shared_port, b"\r\n".join([b"POST /api/sync/runs HTTP/1.1", b"Host: localhost", *sent]) + b"\r\n\r\n" + SMUGGLED)
    assert status(answer) == b"400"
    assert answer.count(b"HTTP/1.1 ") == 1 and b'"live"' not in answer


@pytest.mark.parametrize(
    "host",
    [
        b"evil.example", b"localhost.evil.example", b"127.0.0.1.evil.example", b"127.1", b"2130706433", b"0x7f.0.0.1", b"localhost:80a", b"[::1",
        b"[::1]evil", b"localhost@evil.example", b"evil.example#localhost", b"localhost,evil.example", b"localhost evil.example", b"localhost/", b"",
        b"127.0.0.1%00", b"\xff", b"localh\xc3\xb6st", b"localhost\r\nHost: evil.example", b"evil.example\r\nHost: localhost",
        b"localhost\r\nHost: localhost",
    ],
)  # fmt: skip
def test_a_host_that_is_not_ours_is_not_answered(shared_port: int, host: bytes) -> None:
    """Odd spellings, lists, none, two: 421, also where no token is needed."""
    assert status(ask(shared_port, host=host)) == b"421"


@pytest.mark.parametrize("host", [b"localhost", b"LOCALHOST.", b"localhost:1", b"127.0.0.1", b"127.9.9.9:80", b"[::1]:80", b"[::ffff:127.0.0.1]"])
def test_a_host_that_is_ours_is_answered_however_it_is_spelt(shared_port: int, host: bytes) -> None:
    """Case, the dot of the root, ports, loopback addresses."""
    assert status(ask(shared_port, host=host)) == b"200"


@pytest.mark.parametrize("target", [b"http://evil.example/health/live", b"http://localhost/health/live", b"//evil.example/health/live", b"evil"])
def test_a_target_that_brings_its_own_host_is_not_answered(shared_port: int, target: bytes) -> None:
    """The absolute form would go before the Host that was checked."""
    assert status(ask(shared_port, target=target)) in (b"400", b"404")


@pytest.mark.parametrize(
    "origin",
    [
        b"null", b"", b"http://evil.example", b"http://localhost.evil.example", b"http://evil.example/http://localhost", b"http://x@localhost",
        b"http://localhost:1", b"http://localhost/", b"file://", b"http://localhost http://evil.example",
        b"http://localhost\r\nOrigin: http://evil.example", b"http://evil.example\r\nOrigin: http://localhost",
    ],
)  # fmt: skip
def test_a_page_of_another_origin_may_not_write(shared: Company, shared_port: int, origin: bytes) -> None:
    """Odd spellings and a second header beside our own: 403."""
    lines = (b"Content-Type: application/json", b"Authorization: Bearer " + shared.token().encode(), b"Origin: " + origin)
    assert status(ask(shared_port, *lines, method=b"POST", target=b"/api/sources/corp/pause")) == b"403"


@pytest.mark.parametrize(
    "kind",
    [
        b"text/plain", b"application/x-www-form-urlencoded", b"multipart/form-data; boundary=x", b"application/json-evil",
        b"text/plain;application/json", b"application/json\r\nContent-Type: text/plain", b"text/plain\r\nContent-Type: application/json", b"",
    ],
)  # fmt: skip
def test_what_a_form_could_send_is_no_write(shared: Company, shared_port: int, kind: bytes) -> None:
    """Only JSON, and only JSON: what a page can send without asking first is refused."""
    lines = (b"Content-Length: 2", b"Authorization: Bearer " + shared.token().encode(), b"Content-Type: " + kind)
    assert status(ask(shared_port, *lines, method=b"POST", target=b"/api/sources/corp/pause", body=b"{}")) == b"400"


def test_a_flood_of_half_open_requests_leaves_room(shared_port: int) -> None:
    """Two hundred clients that begin a request and say no more: the next one is answered at once."""
    lines = [socket.create_connection(("127.0.0.1", shared_port), 10) for _ in range(200)]
    try:
        for line in lines:
            line.sendall(b"GET /health/live HTTP/1.1\r\nHost: localhost\r\nX: ")
        began = time.monotonic()
        assert alive(shared_port)
        assert time.monotonic() - began < 2
    finally:
        for line in lines:
            line.close()
