"""A small LDAP server on loopback, for the demo and for tests; it can misbehave on command."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator

from daemon.demo.ber import SEQUENCE, elements, encode, integer, take_message
from daemon.demo.misbehaviour import Misbehaviour
from daemon.demo.people import add_people
from daemon.demo.session import BIND, ENTRY, SEARCH, Out, Session
from daemon.demo.tree import GROUPS, PEOPLE, SUFFIX, Tree

_GARBAGE = b"HTTP/1.1 400 Bad Request\r\n\r\n"
_BATCH = 64 * 1024


class Responder:
    """Listens on 127.0.0.1 while its context is open; a thread for each client.

    `tree` may be changed, and `misbehave` set, at any time; the next request meets it. `people(tree)` fills the tree
    (by default the demo's people). `binds` and `searches` count what was asked.
    """

    people = PEOPLE
    groups = GROUPS
    suffix = SUFFIX
    bind_dn = f"cn=rosterd,{SUFFIX}"
    usual_password = "demo"  # noqa: S105 – of a directory of invented people, on loopback

    def __init__(
        self, people: Callable[[Tree], None] = add_people, *, misbehave: Misbehaviour | None = None, password: str = usual_password, port: int = 0
    ) -> None:
        self.tree = Tree()
        people(self.tree)
        self.password = password
        self.misbehave = misbehave or Misbehaviour()
        self.binds = self.searches = 0
        self._wanted_port = port
        self._stopping = threading.Event()
        self._clients: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()

    @property
    def port(self) -> int:
        """The port it listens on."""
        return int(self._listener.getsockname()[1])

    @property
    def url(self) -> str:
        """Where it listens: in the clear, on loopback only."""
        return f"ldap://127.0.0.1:{self.port}"

    def __enter__(self) -> Responder:
        self._listener = socket.create_server(("127.0.0.1", self._wanted_port))
        self._start(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._close(self._listener)
        with self._lock:
            for client in self._clients:
                self._close(client)
        for thread in list(self._threads):
            thread.join()
        self._listener.close()

    def _start(self, work: Callable[[], None]) -> None:
        thread = threading.Thread(target=work, name="responder", daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while not self._stopping.is_set():
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            with self._lock:
                self._clients.add(client)
                self._threads = [thread for thread in self._threads if thread.is_alive()]
                self._start(_Line(self, client).serve)

    def count(self, *, binds: int = 0, searches: int = 0) -> None:
        """Add to what was asked."""
        with self._lock:
            self.binds += binds
            self.searches += searches

    def forget(self, client: socket.socket) -> None:
        """Let go of a client whose conversation has ended."""
        with self._lock:
            self._clients.discard(client)
        client.close()

    def wait(self, seconds: float | None = None) -> bool:
        """Sleep; return at once, and True, when the responder stops."""
        return self._stopping.wait(seconds)

    def _close(self, sock: socket.socket) -> None:
        with contextlib.suppress(OSError):
            sock.shutdown(socket.SHUT_RDWR)


class _Line:
    """One client's connection."""

    def __init__(self, responder: Responder, client: socket.socket) -> None:
        self._responder, self._client = responder, client
        self._session = Session(responder.tree, responder.bind_dn, responder.password)
        self._entries = 0

    def serve(self) -> None:
        """Answer until the client leaves, breaks off, or talks nonsense."""
        buffer = bytearray()
        with contextlib.suppress(OSError, ValueError, LookupError):
            while chunk := self._client.recv(_BATCH):
                buffer += chunk
                while message := take_message(buffer):
                    kind = message.parts()[1].tag
                    self._responder.count(binds=kind == BIND, searches=kind == SEARCH)
                    answer = self._session.answer(message, self._responder.misbehave)
                    if answer is None or not self._send(answer):
                        return self._responder.forget(self._client)
        return self._responder.forget(self._client)

    def _send(self, answer: Iterator[Out]) -> bool:
        """Send an answer, or what misbehaviour makes of it; False when the conversation is over."""
        wrong = self._responder.misbehave
        ready = bytearray()
        for out in answer:
            if out.is_entry:
                fault = self._fault(out.octets, wrong)
                if fault is not None:
                    self._write(bytes(ready) + fault, wrong)
                    if self._entries == wrong.hang_after:
                        self._responder.wait()
                    return False
                self._entries += 1
            ready += out.octets
            if len(ready) > _BATCH:
                self._write(bytes(ready), wrong)
                ready.clear()
        self._write(bytes(ready), wrong)
        return True

    def _fault(self, octets: bytes, wrong: Misbehaviour) -> bytes | None:
        """Return the last octets of the conversation if it is time to go wrong, else None."""
        if self._entries == wrong.hang_after:
            return b""
        if self._entries == wrong.close_after:
            return octets[: len(octets) // 2]
        if self._entries == wrong.garbage_after:
            return _GARBAGE
        if self._entries == wrong.wrong_length_after:
            return _overlong(octets)
        return None

    def _write(self, octets: bytes, wrong: Misbehaviour) -> None:
        if not wrong.drip:
            self._client.sendall(octets)
            return
        for octet in octets:
            self._client.sendall(bytes((octet,)))
            if self._responder.wait(wrong.drip):
                return


def _overlong(octets: bytes) -> bytes:
    """Return the entry with a DN that claims to be longer than the message it stands in."""
    number = next(elements(octets)).parts()[0]
    return encode(SEQUENCE, integer(number.number()), encode(ENTRY, b"\x04\x7fcn=far,dc=away"))
