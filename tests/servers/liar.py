"""A little LDAP server that says what a test tells it to, for what no real server does on purpose."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable, Iterable, Mapping, Sequence

from tests.servers.listener import Listener

PAGED = b"1.2.840.113556.1.4.319"

Script = Callable[[int, int], Iterable[bytes]]
"""Given the number of the search on this connection (0 first) and its message id: the messages to answer with. An OSError hangs up."""


def tlv(tag: int, content: bytes) -> bytes:
    """Return one BER element."""
    length = len(content)
    if length < 0x80:
        return bytes([tag, length]) + content
    octets = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(octets)]) + octets + content


def number(value: int, tag: int = 0x02) -> bytes:
    """Return a BER integer (or, with tag 0x0A, an enumeration)."""
    return tlv(tag, value.to_bytes(value.bit_length() // 8 + 1, "big"))


def message(message_id: int, operation: bytes, controls: bytes = b"") -> bytes:
    """Return one LDAPMessage."""
    return tlv(0x30, number(message_id) + operation + (tlv(0xA0, controls) if controls else b""))


def entry(message_id: int, dn: str, attributes: Mapping[str, Sequence[str | bytes]]) -> bytes:
    """Return a SearchResultEntry."""
    listed = b""
    for name, values in attributes.items():
        octets = b"".join(tlv(0x04, value.encode() if isinstance(value, str) else value) for value in values)
        listed += tlv(0x30, tlv(0x04, name.encode()) + tlv(0x31, octets))
    return message(message_id, tlv(0x64, tlv(0x04, dn.encode()) + tlv(0x30, listed)))


def result(code: int, matched: str = "", text: str = "") -> bytes:
    """Return the content of an LDAPResult."""
    return number(code, 0x0A) + tlv(0x04, matched.encode()) + tlv(0x04, text.encode())


def done(message_id: int, cookie: bytes | None = b"", code: int = 0, matched: str = "", text: str = "") -> bytes:
    """Return a SearchResultDone; `cookie` None leaves the paged results control out."""
    controls = b""
    if cookie is not None:
        controls = tlv(0x30, tlv(0x04, PAGED) + tlv(0x04, tlv(0x30, number(0) + tlv(0x04, cookie))))
    return message(message_id, tlv(0x65, result(code, matched, text)), controls)


def bound(message_id: int, code: int = 0, text: str = "") -> bytes:
    """Return a BindResponse."""
    return message(message_id, tlv(0x61, result(code, "", text)))


class Liar(Listener):
    """Accepts every bind (or answers with `bind_code`), shows `root` as its root DSE, and leaves all other searches to the script."""

    def __init__(self, script: Script, *, bind_code: int = 0, bind_text: str = "", root: Mapping[str, Sequence[str]] | None = None) -> None:
        self._script, self._bind, self._root = script, (bind_code, bind_text), root
        self.binds = 0
        self.searches: list[bytes] = []
        super().__init__()

    def _serve(self, client: socket.socket) -> None:
        asked = 0
        with client, contextlib.suppress(OSError, IndexError):
            while request := _read_message(client):
                message_id, operation = _open(request)
                if operation[0] == 0x60:
                    self.binds += 1
                    client.sendall(bound(message_id, *self._bind))
                elif operation[0] == 0x63 and _is_root(operation):
                    shown = entry(message_id, "", self._root) if self._root else b""
                    client.sendall(shown + done(message_id, None))
                elif operation[0] == 0x63:
                    self.searches.append(request)
                    for answer in self._script(asked, message_id):
                        client.sendall(answer)
                    asked += 1


def _read_message(client: socket.socket) -> bytes:
    head = _exactly(client, 2)
    if head[1] < 0x80:
        return head + _exactly(client, head[1])
    length = _exactly(client, head[1] & 0x7F)
    return head + length + _exactly(client, int.from_bytes(length, "big"))


def _exactly(client: socket.socket, length: int) -> bytes:
    octets = b""
    while len(octets) < length:
        chunk = client.recv(length - len(octets))
        if not chunk:
            raise OSError("closed")
        octets += chunk
    return octets


def _content(element: bytes) -> bytes:
    return element[2:] if element[1] < 0x80 else element[2 + (element[1] & 0x7F) :]


def _open(request: bytes) -> tuple[int, bytes]:
    content = _content(request)
    return int.from_bytes(content[2 : 2 + content[1]], "big"), content[2 + content[1] :]


def _is_root(operation: bytes) -> bool:
    return _content(operation)[:2] == b"\x04\x00"
