"""Sockets and the server on them: what is taken is named, what is left over is cleared, TLS changes without a restart."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from daemon.config import HttpSettings
from daemon.crowding import Crowd
from daemon.listening import Listener, listen, load_certificate, make_tls
from daemon.web import Exchange, Web
from sync.errors import CannotListen, ConfigError


def app_saying(word: bytes, log: list[str] | None = None) -> Any:
    """Return an ASGI app that answers with a word, slowly when asked to, and notes when it begins and ends."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            for event in ("startup", "shutdown"):
                assert (await receive())["type"] == f"lifespan.{event}"
                if log is not None:
                    log.append(f"{event} {word.decode()}")
                await send({"type": f"lifespan.{event}.complete"})
            return
        if scope["path"] == "/slow":
            await asyncio.sleep(0.5)
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", str(len(word)).encode())]})
        await send({"type": "http.response.body", "body": word})

    return app


def serving(http: HttpSettings, test: Callable[[Exchange, Web, list[Listener], ssl.SSLContext | None], Awaitable[None]]) -> None:
    """Serve `app_saying(b"one")` as `http` says while `test` runs."""

    async def scenario() -> None:
        listeners, tls, exchange = listen(http), make_tls(http), Exchange()
        await exchange.put(app_saying(b"one"))
        web = Web(exchange, listeners, tls, Crowd(1000))
        going = asyncio.create_task(web.serve())
        try:
            await web.ready()
            await test(exchange, web, listeners, tls)
        finally:
            web.stop()
            await going
            await exchange.close()
            for listener in listeners:
                listener.close()

    asyncio.run(scenario())


def test_a_port_in_use_is_named_with_its_remedy() -> None:
    """Exit status 7, the address, and what to do about it."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(CannotListen, match=f"127.0.0.1:{port}: Address already in use.*another .http. port") as caught:
            listen(HttpSettings(port=port))
    assert caught.value.exit_status == 7


@pytest.mark.parametrize("host", ["192.0.2.1", "no-such-host.invalid"])
def test_a_host_that_is_not_ours_is_named(host: str) -> None:
    """An address of another machine, a name that nobody knows."""
    with pytest.raises(CannotListen, match=host):
        listen(HttpSettings(host=host, port=0))


def test_localhost_is_both_addresses_on_one_port() -> None:
    """A name with several addresses is served on all that this machine has, on the same port."""
    listeners = listen(HttpSettings(host="localhost", port=0))
    ports = {listener.socket.getsockname()[1] for listener in listeners}
    names = [listener.name for listener in listeners]
    for listener in listeners:
        listener.close()
    assert len(ports) == 1
    assert any("127.0.0.1" in name or "[::1]" in name for name in names)


def test_a_unix_socket_serves_beside_tcp_and_goes_away(tmp_path: Path) -> None:
    """Its file is for owner and group; what a dead process left is replaced; a living one is respected."""
    path = tmp_path / "rosterd.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))

    async def test(exchange: Exchange, web: Web, listeners: list[Listener], tls: ssl.SSLContext | None) -> None:
        assert path.stat().st_mode & 0o777 == 0o660
        async with httpx.AsyncClient(transport=httpx.AsyncHTTPTransport(uds=str(path))) as client:
            assert (await client.get("http://localhost/")).text == "one"
        async with httpx.AsyncClient() as client:
            assert (await client.get(listeners[0].name)).text == "one"
        with pytest.raises(CannotListen, match=r"rosterd\.sock"):
            listen(HttpSettings(port=0, unix_socket=path))

    serving(HttpSettings(port=0, unix_socket=path), test)
    assert not path.exists()


def test_a_file_that_is_no_socket_is_never_taken_away(tmp_path: Path) -> None:
    """A mistyped unix_socket destroys nothing."""
    path = tmp_path / "precious"
    path.write_text("data")
    with pytest.raises(CannotListen, match="precious"):
        listen(HttpSettings(port=0, unix_socket=path))
    assert path.read_text() == "data"


def certificate(folder: Path, name: str) -> tuple[Path, Path]:
    """Make a certificate and its key."""
    cert, key = folder / f"{name}.crt", folder / f"{name}.key"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    command += ["-subj", f"/CN={name}", "-addext", "subjectAltName=IP:127.0.0.1", "-out", str(cert), "-keyout", str(key)]
    subprocess.run(command, check=True, capture_output=True)
    return cert, key


def shown_by(listener: Listener) -> bytes:
    """Return the certificate that a listener shows."""
    return ssl.get_server_certificate(listener.socket.getsockname()[:2]).encode()


def test_tls_shows_the_new_certificate_without_a_restart(tmp_path: Path) -> None:
    """A renewed certificate is used from the next connection on; one that does not fit its key is refused and the old one stays."""
    cert, key = certificate(tmp_path, "first")
    http = HttpSettings(port=0, tls_cert_file=cert, tls_key_file=key)

    async def test(exchange: Exchange, web: Web, listeners: list[Listener], tls: ssl.SSLContext | None) -> None:
        assert tls is not None
        trusting = ssl.create_default_context(cafile=str(cert))
        async with httpx.AsyncClient(verify=trusting) as client:
            assert (await client.get(listeners[0].name)).text == "one"
        first = await asyncio.to_thread(shown_by, listeners[0])
        new_cert, new_key = certificate(tmp_path, "second")
        with pytest.raises(ConfigError, match="cannot be used together"):
            load_certificate(tls, HttpSettings(tls_cert_file=new_cert, tls_key_file=key))
        assert await asyncio.to_thread(shown_by, listeners[0]) == first
        load_certificate(tls, HttpSettings(tls_cert_file=new_cert, tls_key_file=new_key))
        assert (await asyncio.to_thread(shown_by, listeners[0])).split() == new_cert.read_bytes().split()

    serving(http, test)


def test_an_app_is_exchanged_while_it_serves(tmp_path: Path) -> None:
    """New requests meet the new app, one that is under way ends in the old one, and no app is left running."""
    log: list[str] = []

    async def test(exchange: Exchange, web: Web, listeners: list[Listener], tls: ssl.SSLContext | None) -> None:
        async with httpx.AsyncClient(base_url=listeners[0].name) as client:
            await exchange.put(app_saying(b"two", log))
            slow = asyncio.create_task(client.get("/slow"))
            await asyncio.sleep(0.1)
            await exchange.put(app_saying(b"three", log))
            assert (await client.get("/")).text == "three"
            assert (await slow).text == "two"
            assert "server" not in (await client.get("/")).headers

    serving(HttpSettings(port=0), test)
    assert log == ["startup two", "startup three", "shutdown two", "shutdown three"]


def test_an_app_that_does_not_start_is_not_put(tmp_path: Path) -> None:
    """The one before goes on."""

    async def broken(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "lifespan.startup.failed", "message": "no"})

    async def dying(scope: Any, receive: Any, send: Any) -> None:
        raise ValueError("dead")

    async def test(exchange: Exchange, web: Web, listeners: list[Listener], tls: ssl.SSLContext | None) -> None:
        with pytest.raises(RuntimeError, match="no"):
            await exchange.put(broken)
        with pytest.raises(ValueError, match="dead"):
            await exchange.put(dying)
        async with httpx.AsyncClient() as client:
            assert (await client.get(listeners[0].name)).text == "one"

    serving(HttpSettings(port=0), test)


def until_closed(listener: Listener, sent: bytes) -> bytes:
    """Send octets, and return what comes until the server closes the connection."""
    with socket.create_connection(listener.socket.getsockname()[:2], 30) as line:
        received = b""
        try:
            line.sendall(sent)
            while chunk := line.recv(65536):
                received += chunk
        except ConnectionError:
            pass
        return received


BEGUN = [
    b"",
    b"GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ",
    b"GET / HTTP/1.1\r\nHost: x\r\n\r\nGET / HTTP/1.1\r\nHost:",
    b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 999999\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5",
]


@pytest.mark.parametrize("begun", BEGUN)
def test_whoever_never_finishes_a_request_is_hung_up_on(monkeypatch: pytest.MonkeyPatch, begun: bytes) -> None:
    """Nothing sent, half a request, half a second request, a body that does not come: none of them holds a connection for ever."""
    monkeypatch.setattr("daemon.web.HEADERS_WITHIN", 0.3)

    async def test(exchange: Exchange, web: Web, listeners: list[Listener], tls: ssl.SSLContext | None) -> None:
        received = await asyncio.to_thread(until_closed, listeners[0], begun)
        assert received.count(b"200 OK") == begun.count(b"\r\n\r\n")

    serving(HttpSettings(port=0), test)


def test_headers_without_end_are_not_collected() -> None:
    """A header of many megabytes, or very many headers, end the connection; a long one is fine."""

    async def test(exchange: Exchange, web: Web, listeners: list[Listener], tls: ssl.SSLContext | None) -> None:
        for endless in (b"X: " + b"y" * 9_000_000, b"X: y\r\n" * 500_000):
            assert await asyncio.to_thread(until_closed, listeners[0], b"GET / HTTP/1.1\r\nHost: x\r\n" + endless) == b""
        async with httpx.AsyncClient(base_url=listeners[0].name) as client:
            assert (await client.get("/", headers={"X": "y" * 30_000})).text == "one"
            assert (await client.post("/", content=b"z" * 300_000)).text == "one"

    serving(HttpSettings(port=0), test)


def test_sockets_of_systemd_are_served_instead_of_our_own(tmp_path: Path) -> None:
    """Activated by a TCP and a Unix socket, rosterd serves both, and [http] host and port are not bound."""
    script = """
import os, sys
os.environ["LISTEN_PID"] = str(os.getpid())
from daemon.config import HttpSettings
from daemon.listening import listen
print([listener.name for listener in listen(HttpSettings(port=1))], "LISTEN_FDS" in os.environ)
"""
    with socket.create_server(("127.0.0.1", 0)) as tcp, socket.socket(socket.AF_UNIX) as unix:
        unix.bind(str(tmp_path / "activated"))
        unix.listen()
        given = {3: tcp.fileno(), 4: unix.fileno()}

        def arrange() -> None:
            copies = {number: os.dup(descriptor) for number, descriptor in given.items()}
            for number, descriptor in copies.items():
                os.dup2(descriptor, number)

        said = subprocess.run(
            [sys.executable, "-c", script],
            env=os.environ | {"LISTEN_FDS": "2"},
            preexec_fn=arrange,
            close_fds=False,
            capture_output=True,
            text=True,
        )
        assert said.stdout.split("\n")[0] == f"['http://127.0.0.1:{tcp.getsockname()[1]}', 'unix:{tmp_path / 'activated'}'] False", said.stderr
