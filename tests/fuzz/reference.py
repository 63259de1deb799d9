"""What LDAP messages say, read slowly and by the book: what our decoder is compared with. It shares no code with it.

Where RFC 4511 leaves a choice, both make the same one, and here is where it is written down:

* Lengths are definite and of at most four octets; any form of them will do, not only the shortest (section 5.1, and Active Directory uses long ones).
* Whatever follows the controls of a message, the text of a result, the cookie of a Sync Done, Sync State or Sync Info value, or
  the value of a notice is ignored (section 4, "extensibility implied").
* An entry, an attribute, a control and the paged results control hold nothing beyond what they are defined to hold: to ignore the rest there
  could hide a broken length, and with it values, or the cookie without which a read counts as complete.
* A message id has one to five octets, a result code one to four; both are read as unsigned, which makes a negative one an error.
* The octets of a DN that are not UTF-8 become escapes. Names of attributes are compared in lower case.
* Of two controls with one OID the first counts.
"""

from __future__ import annotations

from typing import NamedTuple

Attributes = dict[str, list[bytes]]


class Bad(Exception):
    """The octets are not what they should be."""


class Message(NamedTuple):
    """One LDAPMessage: `controls` is the raw element, b"" where there is none."""

    number: int
    tag: int
    body: bytes
    controls: bytes


class Entry(NamedTuple):
    """A SearchResultEntry, as sync.sources.ldap.ber.Entry has it."""

    dn: str
    attributes: Attributes
    cut: bool
    rest: int


class Done(NamedTuple):
    """A SearchResultDone, as sync.sources.ldap.ber.Done has it."""

    code: int
    matched: str
    text: str
    cookie: bytes | None
    controls: dict[bytes, bytes]


def element(data: bytes) -> tuple[int, bytes, bytes]:
    """Return (tag, content, whatever follows) of the first element."""
    if len(data) < 2:
        raise Bad("cut off")
    tag, length, rest = data[0], data[1], data[2:]
    if length >= 0x80:
        octets = length - 0x80
        if octets < 1 or octets > 4 or len(rest) < octets:
            raise Bad("length")
        length = 0
        for octet in rest[:octets]:
            length = length * 256 + octet
        rest = rest[octets:]
    if length > len(rest):
        raise Bad("too long")
    return tag, rest[:length], rest[length:]


def the(tag: int, data: bytes) -> tuple[bytes, bytes]:
    """Return (content, whatever follows) of the first element, which must have this tag."""
    found, content, rest = element(data)
    if found != tag:
        raise Bad("tag")
    return content, rest


def only(tag: int, data: bytes) -> bytes:
    """Return the content of the only element."""
    content, rest = the(tag, data)
    if rest:
        raise Bad("more")
    return content


def message(raw: bytes) -> tuple[Message, bytes]:
    """Return the first message, and whatever follows it."""
    content, rest = the(0x30, raw)
    number, content = the(0x02, content)
    if len(number) < 1 or len(number) > 5:
        raise Bad("message id")
    tag, body, controls = element(content)
    return Message(unsigned(number), tag, body, controls), rest


def entry(body: bytes) -> Entry:
    """Read a SearchResultEntry."""
    name, rest = the(0x04, body)
    listed = only(0x30, rest)
    plain: Attributes = {}
    with_option: Attributes = {}
    order: list[str] = []
    parts: list[str] = []
    while listed:
        attribute, listed = the(0x30, listed)
        kind, values_raw = the(0x04, attribute)
        octets = only(0x31, values_raw)
        values = []
        while octets:
            value, octets = the(0x04, octets)
            values.append(value)
        shown = "".join(chr(octet) if octet < 0x80 else f"\\x{octet:02x}" for octet in kind).lower()
        type_name, semicolon, option = shown.partition(";")
        order.append(type_name)
        into = with_option if semicolon else plain
        # Of a type that comes twice without an option, the later stands before the earlier.
        into[type_name] = [*into.get(type_name, []), *values] if semicolon else [*values, *into.get(type_name, [])]
        if option.startswith("range=") and option != "range=0-*":
            parts.append(option)
    attributes = {kind: [*plain.get(kind, []), *with_option.get(kind, [])] for kind in order}
    return Entry(dn_text(name), attributes, bool(parts), max((next_value(part) for part in parts), default=0))


def next_value(option: str) -> int:
    """Return where the values after a range begin."""
    last = option.split("-")[-1]
    return int(last) + 1 if 0 < len(last) < 10 and all(letter in "0123456789" for letter in last) else 0


def done(read: Message) -> Done:
    """Read a SearchResultDone, or what begins like one."""
    code, rest = the(0x0A, read.body)
    matched, rest = the(0x04, rest)
    text, _ = the(0x04, rest)
    if len(code) < 1 or len(code) > 4:
        raise Bad("code")
    found = controls(read.controls)
    paged = found.get(b"1.2.840.113556.1.4.319")
    cookie = None
    if paged is not None:
        _, rest = the(0x02, only(0x30, paged))
        cookie = only(0x04, rest)
    return Done(unsigned(code), dn_text(matched), text.decode("utf-8", "replace"), cookie, found)


def controls(raw: bytes) -> dict[bytes, bytes]:
    """Read the controls of a message."""
    found: dict[bytes, bytes] = {}
    listed = the(0xA0, raw)[0] if raw else b""
    while listed:
        control, listed = the(0x30, listed)
        oid, rest = the(0x04, control)
        if rest and rest[0] == 0x01:
            _, _, rest = element(rest)
        value = only(0x04, rest) if rest else b""
        if oid not in found:
            found[oid] = value
    return found


def polled(messages: list[Message]) -> tuple[set[str], str]:
    """Read the answer to a poll by content synchronisation (RFC 4533) that ends with a SearchResultDone: (ids touched, cookie).
    Raises LookupError when nothing says that it was all, the deleted included."""
    touched: set[str] = set()
    cookie = ""
    for read in messages:
        if read.tag == 0x64:
            value = controls(read.controls).get(b"1.3.6.1.4.1.4203.1.9.1.2", b"")
            state, rest = the(0x0A, the(0x30, value)[0])
            which, _ = the(0x04, rest)
            if state == b"\x00":
                raise LookupError
            touched.add(dashed(which))
        elif read.tag == 0x79:
            cookie = _notice(read.body, touched, cookie)
        elif read.tag == 0x65:
            found = done(read).controls
            if b"1.3.6.1.4.1.4203.1.9.1.3" not in found:
                raise LookupError
            return touched, _leading_cookie(the(0x30, found[b"1.3.6.1.4.1.4203.1.9.1.3"])[0], cookie)[0]
    raise Bad("no end")


def _notice(body: bytes, touched: set[str], cookie: str) -> str:
    name, rest = the(0x80, body)
    if name != b"1.3.6.1.4.1.4203.1.9.1.4":
        return cookie
    tag, content, _ = element(the(0x81, rest)[0])
    if tag == 0x80:
        return content.decode("utf-8", "replace")
    if tag in (0xA1, 0xA2):
        return _leading_cookie(content, cookie)[0]
    if tag != 0xA3:
        raise Bad("kind")
    cookie, content = _leading_cookie(content, cookie)
    deletes = b"\x00"
    if content and content[0] == 0x01:
        deletes, content = the(0x01, content)
    which, _ = the(0x31, content)
    if which and deletes == b"\x00":
        raise LookupError
    while which:
        one, which = the(0x04, which)
        touched.add(dashed(one))
    return cookie


def _leading_cookie(content: bytes, cookie: str) -> tuple[str, bytes]:
    if content and content[0] == 0x04:
        said, content = the(0x04, content)
        return said.decode("utf-8", "replace"), content
    return cookie, content


def unsigned(octets: bytes) -> int:
    """Return a number of any length."""
    return sum(octet << 8 * place for place, octet in enumerate(reversed(octets)))


def dashed(raw: bytes) -> str:
    """Return a UUID as text."""
    if len(raw) != 16:
        raise Bad("UUID")
    text = raw.hex()
    return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))


def dn_text(raw: bytes) -> str:
    """Return a DN as text, with escapes for what is not UTF-8."""
    text = raw.decode("utf-8", "surrogateescape")
    return "".join(f"\\{ord(letter) - 0xDC00:02x}" if 0xDC80 <= ord(letter) <= 0xDCFF else letter for letter in text)
