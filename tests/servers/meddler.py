"""A proxy between a client and a real directory server that understands what it passes on: it counts pages, and a test changes what it likes."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from tests.fuzz.reference import controls, element, message, the
from tests.servers.liar import PAGED
from tests.servers.listener import Listener, close

SYNC = b"1.3.6.1.4.1.4203.1.9.1.1"
"""The control that asks for content synchronisation."""
BIND, SEARCH, ENTRY, DONE, NOTICE = 0x60, 0x63, 0x64, 0x65, 0x79


class HangUp(Exception):
    """Raised by a test's function: both connections are closed."""


class Silence(Exception):
    """Raised by a test's function: nothing more is said, and nothing is closed."""


@dataclass(frozen=True)
class Asked:
    """A search on its way: `page` 1 is the first of a paged search, 0 one that is not paged; `polls` = by content synchronisation."""

    number: int
    base: str
    filter: bytes
    page: int = 0
    cookie: bytes = b""
    polls: bool = False


Answer = Callable[[Asked], "Iterable[bytes] | None"]
"""What to say instead of the server, None to let it speak."""
Change = Callable[[Asked, int, bytes], Iterable[bytes]]
"""Given the search, and the tag and the octets of one message that answers it: what to pass on. May raise HangUp, Silence."""


def let_speak(asked: Asked) -> None:
    """Leave every search to the server."""


def pass_on(asked: Asked, tag: int, raw: bytes) -> Iterable[bytes]:
    """Change nothing."""
    return (raw,)


class Meddler(Listener):
    """Passes on what comes in the clear; `tls` = the server behind it is spoken to over TLS (unverified). `answer` and `change` may be
    replaced at any time."""

    def __init__(self, host: str, port: int, *, tls: bool = False) -> None:
        self._target, self._tls = (host, port), tls
        self.answer: Answer = let_speak
        self.change: Change = pass_on
        self.said = 0
        """Octets that servers have said so far."""
        self.meddled = 0
        """Answers that were invented, changed or broken off so far."""
        super().__init__()

    def behave(self) -> None:
        """Pass everything on as it is."""
        self.answer, self.change = let_speak, pass_on

    def _serve(self, client: socket.socket) -> None:
        try:
            server = socket.create_connection(self._target)
            self._open.append(server)
            if self._tls:
                context = ssl.create_default_context()
                context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
                server = context.wrap_socket(server)
                self._open.append(server)
        except OSError:
            close(client)
            return
        server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        talk = _Talk(self, client, server)
        threading.Thread(target=talk.forward_requests, daemon=True).start()
        talk.forward_answers()


class _Talk:
    """One connection."""

    def __init__(self, meddler: Meddler, client: socket.socket, server: socket.socket) -> None:
        self._meddler, self._client, self._server = meddler, client, server
        self._asked: dict[int, Asked] = {}
        self._page = 0

    def forward_requests(self) -> None:
        with self._ending(), contextlib.suppress(OSError):
            for raw in _messages(self._client):
                asked = self._note(raw)
                instead = self._meddler.answer(asked) if asked else None
                if instead is None:
                    self._server.sendall(raw)
                else:
                    self._meddler.meddled += 1
                    self._client.sendall(b"".join(instead))

    def forward_answers(self) -> None:
        with self._ending(), contextlib.suppress(OSError):
            for raw in _messages(self._server):
                self._meddler.said += len(raw)
                read, _ = message(raw)
                asked = self._asked.get(read.number)
                changed = b"".join(self._meddler.change(asked, read.tag, raw)) if asked else raw
                self._meddler.meddled += changed != raw
                self._client.sendall(changed)

    @contextlib.contextmanager
    def _ending(self) -> Iterator[None]:
        try:
            yield
        except Silence:
            self._meddler.meddled += 1
            return
        except HangUp:
            self._meddler.meddled += 1
        close(self._client)
        close(self._server)

    def _note(self, raw: bytes) -> Asked | None:
        read, _ = message(raw)
        if read.tag != SEARCH:
            return None
        base, rest = the(0x04, read.body)
        for _ in range(5):  # scope, aliases, two limits, types only
            _, _, rest = element(rest)
        tag, content, _ = element(rest)
        asked_by, cookie = controls(read.controls), b""
        if PAGED in asked_by:
            _, rest = the(0x02, the(0x30, asked_by[PAGED])[0])
            cookie, _ = the(0x04, rest)
            self._page = self._page + 1 if cookie else 1
        page = self._page if PAGED in asked_by else 0
        asked = self._asked[read.number] = Asked(read.number, base.decode(), bytes([tag]) + content, page, cookie, SYNC in asked_by)
        return asked


def _messages(origin: socket.socket) -> Iterator[bytes]:
    """Yield whole messages as they come."""
    buffer = b""
    while chunk := origin.recv(65_536):
        buffer += chunk
        while (length := _length(buffer)) and length <= len(buffer):
            yield buffer[:length]
            buffer = buffer[length:]


def _length(data: bytes) -> int:
    if len(data) < 2 or len(data) < 2 + max(0, data[1] - 0x80):
        return 0
    octets = max(0, data[1] - 0x80)
    return 2 + octets + (int.from_bytes(data[2 : 2 + octets], "big") if octets else data[1])
