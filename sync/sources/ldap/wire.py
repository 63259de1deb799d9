"""The socket under an ldap3 connection: our own timeouts and TLS, entries decoded one by one as they arrive, none of them too big."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ldap3.strategy.base import RESPONSE_COMPLETE
from ldap3.strategy.sync import SyncStrategy
from ldap3.utils.asn1 import decode_message_fast, encode

from sync.sources.ldap import ber, translate
from sync.sources.ldap.ber import Done, Entry, Garbled
from sync.sources.ldap.skim import openings, skim

PATIENCE = 10
"""One answer may take so many times read_timeout altogether, however steadily it trickles."""
BIGGEST_ENTRY = 4 * 1024 * 1024
"""Octets of an entry that are read; of a bigger one only the DN is kept."""
BIGGEST_MESSAGE = 1024**3
"""Octets that are skipped of an entry that is too big; whoever sends more does not speak LDAP."""
BIGGEST_ANSWER = 64 * 1024
"""Octets of an answer to a bind or an extended request."""
_CHUNK = 256 * 1024
_DN_WITHIN = 64 * 1024


@dataclass(frozen=True, slots=True)
class Address:
    """Where one server listens. `context` is set where TLS begins with the first octet. Timeouts in seconds."""

    url: str
    host: str
    port: int
    context: ssl.SSLContext | None
    connect_timeout: float
    read_timeout: float


class Wire(SyncStrategy):  # type: ignore[misc]  # ldap3 has no types
    """ldap3's synchronous strategy, with the receiving half replaced.

    ldap3 builds the requests; this opens the socket (ldap3 passes floats to SO_RCVTIMEO, loses the cause of a failed
    handshake and never verifies one by default), bounds every wait, and hands each entry of a search to `take`
    instead of keeping them all. Raises SourceError.
    """

    def __init__(self, connection: Any, address: Address) -> None:
        super().__init__(connection)
        self.address = address
        self.biggest_entry = BIGGEST_ENTRY
        self.take: Callable[[Entry], None] = lambda entry: None
        self.overhear: Callable[[int, bytes], None] | None = None
        """Told what comes beside the entries, if set: (tag of the operation, an entry's controls or the content of a notice)."""
        self.recognise: Callable[[bytes], bool] | None = None
        """Asked once, if set, with the octets of each entry (its DN and its attributes) that is not too big: True = it need not be decoded."""
        self.skim = skim
        self.references = 0
        self.done: Done | None = None
        self._buffer = b""
        self._at = 0
        self._deadline = 0.0
        self._reader = ber.EntryReader()

    def open(self, reset_usage: bool = True, read_server_info: bool = True) -> None:
        """Connect, with TLS at once where the address says so."""
        self._outstanding: dict[int, Any] = {}
        self._buffer, self._at = b"", 0
        where = self.address
        try:
            self.connection.socket = socket.create_connection((where.host, where.port), where.connect_timeout)
            self.connection.closed = False
            self.connection.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if where.context:
                self.secure(where.context)
            self.connection.socket.settimeout(where.read_timeout)
        except (OSError, UnicodeError) as error:
            self.close()
            raise translate.unreachable(where.url, error if isinstance(error, OSError) else socket.gaierror(str(error))) from error
        self.connection.listening = True

    def secure(self, context: ssl.SSLContext) -> None:
        """Put TLS around the socket; the certificate and the host name are verified. Raises OSError."""
        if self._at < len(self._buffer):  # sent before the handshake, by whoever sits in between
            raise ssl.SSLError("data in the clear after the answer to StartTLS")
        self.connection.socket.settimeout(self.address.connect_timeout)
        self.connection.socket = context.wrap_socket(self.connection.socket, server_hostname=self.address.host)
        self.connection.socket.settimeout(self.address.read_timeout)

    def _get_response(self, message_id: int, timeout: float) -> list[Any]:
        """Receive the whole answer to one request."""
        patience = PATIENCE * self.address.read_timeout
        self._deadline = time.monotonic() + patience
        self.references = 0
        self.done = None
        opening = openings(message_id)
        try:
            while True:
                if self.recognise and not self.overhear:
                    self._at = self.skim(self._buffer, self._at, opening, self.biggest_entry, self.recognise, self._take)
                result = self._receive_one(message_id)
                if result is not None:
                    return [result, RESPONSE_COMPLETE]
        except Garbled as error:
            self.close()
            raise translate.garbled(self.address.url, str(error)) from error

    def _take(self, data: bytes, at: int, end: int) -> None:
        self.take(self._reader.read(data, at, end))

    def _receive_one(self, message_id: int) -> dict[str, Any] | None:
        """Receive one message; return it if it ends the answer."""
        length = ber.message_length(self._buffer, self._at)
        if not length or self._at + length > len(self._buffer):
            length = self._await_message()
        if length > self.biggest_entry:
            self.take(self._skip(length, message_id))
            return None
        data, begin = self._buffer, self._at
        self._at = stop = begin + length
        number, tag, at, end = ber.open_message(data, begin, stop)
        if number != message_id:
            self._refuse_other(number)
        if tag == ber.ENTRY and (self.recognise is None or not self.recognise(data[at:end])):
            self._take(data, at, end)
        if tag in (ber.ENTRY, ber.INTERMEDIATE):
            if self.overhear:
                self.overhear(tag, data[end:stop] if tag == ber.ENTRY else data[at:end])
            return None
        if tag == ber.REFERENCE:
            self.references += 1
            return None
        if tag == ber.DONE:
            self.done = ber.read_done(data, at, end, stop)
            return {"result": self.done.code, "description": "", "dn": "", "message": "", "referrals": None, "type": "searchResDone"}
        return self._decode_other(data[begin:stop], ber.read_done(data, at, end, stop))

    def _refuse_other(self, number: int) -> None:
        """Raise for a message that answers something else; number 0 is the server's good-bye (RFC 4511 section 4.4.1)."""
        if number:
            raise Garbled("an answer to a question that was not asked")
        self.close()
        raise translate.broken_off(self.address.url, None, self.address.read_timeout)

    def _decode_other(self, message: bytes, checked: Done) -> dict[str, Any]:
        """Return the answer to a bind or an extended request, as ldap3 reads it; `checked` is the same, read by us."""
        if len(message) > BIGGEST_ANSWER:  # ldap3 takes quadratic time for long numbers
            raise Garbled(f"an answer of {len(message)} octets that is no entry")
        try:
            decoded: dict[str, Any] = self.decode_response_fast(decode_message_fast(message))
        except Exception as error:  # ldap3's decoder trusts its input: IndexError, KeyError, TypeError …
            raise Garbled("a malformed answer") from error
        if decoded.get("result") != checked.code:  # it does not check lengths either
            raise Garbled("a malformed answer")
        return decoded

    def _await_message(self) -> int:
        """Return the length of the next message, which is in the buffer as a whole unless it is too big."""
        length = ber.message_length(self._buffer, self._at)
        while not length:
            self._buffer = self._buffer[self._at :] + self._receive()
            self._at = 0
            length = ber.message_length(self._buffer, 0)
        if self._at + length > len(self._buffer) and length <= self.biggest_entry:
            self._buffer = self._gather(length)
            self._at = 0
        return length

    def _gather(self, length: int) -> bytes:
        """Return what is left of the buffer and as much more as makes it `length` octets long."""
        parts = [self._buffer[self._at :]]
        have = len(parts[0])
        while have < length:
            parts.append(self._receive())
            have += len(parts[-1])
        return b"".join(parts)

    def _skip(self, length: int, message_id: int) -> Entry:
        """Read past an entry that is too big, and return it with nothing but its DN."""
        if length > BIGGEST_MESSAGE:
            raise Garbled(f"a message of {length} octets")
        head = self._gather(min(length, _DN_WITHIN))
        number, tag, at, end = ber.open_message(head, 0, length)
        if number != message_id or tag != ber.ENTRY:
            raise Garbled(f"an answer of {length} octets that is no entry")
        start, stop = ber.content(head, at, min(end, len(head)), ber.OCTETS)
        have = len(head)
        self._buffer, self._at = b"", 0
        while have < length:
            chunk = self._receive()
            have += len(chunk)
            self._buffer = chunk
        excess = have - length
        source = self._buffer or head
        self._buffer, self._at = source[len(source) - excess :] if excess else b"", 0
        return Entry(ber.read_dn(head[start:stop]), too_big=True)

    def _receive(self) -> bytes:
        """Return some octets; raise when none come within read_timeout, or the answer as a whole takes too long."""
        url = self.address.url
        if time.monotonic() > self._deadline:
            self.close()
            raise translate.too_slow(url, PATIENCE * self.address.read_timeout)
        try:
            chunk: bytes = self.connection.socket.recv(_CHUNK)
        except OSError as error:
            self.close()
            raise translate.broken_off(url, error, self.address.read_timeout) from error
        if not chunk:
            self.close()
            raise translate.broken_off(url, None, self.address.read_timeout)
        return chunk

    def sending(self, ldap_message: Any) -> None:
        """Send one request. (ldap3's own loses the cause when the socket is broken.)"""
        try:
            self.connection.socket.sendall(encode(ldap_message))
        except OSError as error:
            self.close()
            raise translate.broken_off(self.address.url, error, self.address.read_timeout) from error
