"""Good messages, and what a broken proxy or a hostile server makes of them."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import TypeAlias

from tests.fuzz.reference import Bad, element
from tests.servers import liar

Tree: TypeAlias = "list[tuple[int, bytes | Tree]]"
"""Elements: (tag, content), which is itself a list where the tag says so."""

_TAGS = (0x30, 0x31, 0x04, 0x02, 0x0A, 0x01, 0x64, 0x65, 0x73, 0x79, 0x78, 0x61, 0xA0, 0xA1, 0xA3, 0x80, 0x81, 0x24, 0x00, 0xFF)
_LENGTHS = (0, 1, 2, 0x7F, 0x80, 0x81, 0x82, 0x83, 0x84, 0x85, 0x88, 0xFF)
_NAMES = (
    "mail",
    "MAIL",
    "uid",
    "entryUUID",
    "mail;lang-en",
    "mail;x-old",
    "member;range=0-1499",
    "member;range=1500-*",
    "member;range=0-*",
    "näme",
    ";",
    "",
)
_OIDS = (liar.PAGED, b"1.3.6.1.4.1.4203.1.9.1.2", b"1.3.6.1.4.1.4203.1.9.1.3", b"1.2.3")
SYNC_INFO = b"1.3.6.1.4.1.4203.1.9.1.4"


def octets(random: Random, most: int) -> bytes:
    """Return random octets: ASCII, UTF-8 or anything."""
    size = random.choice((0, 1, 3, most // 4, most))
    kind = random.random()
    if kind < 0.6:
        return b"abcdefghijklmnopqrstuvwxyz@.=,0123456789" * (size // 40) + b"u7@example.com"[: size % 40]
    return "ä日".encode() * (size // 5) if kind < 0.8 else random.randbytes(size)


def an_entry(random: Random, number: int) -> bytes:
    """Return an entry with attributes of every kind, and perhaps the state that content synchronisation adds."""
    names = random.sample(_NAMES, random.randrange(5))
    attributes = {name: [octets(random, 160 if random.random() < 0.2 else 24) for _ in range(random.randrange(4))] for name in names}
    whole = liar.entry(number, "uid=u7,ou=people,dc=example", attributes)
    if random.random() < 0.5:
        return whole
    value = liar.tlv(0x30, liar.number(random.randrange(4), 0x0A) + liar.tlv(0x04, random.randbytes(16)))
    _, content, _ = element(whole)
    return liar.tlv(0x30, content + liar.tlv(0xA0, _control(_OIDS[1], value)))


def a_done(random: Random, number: int) -> bytes:
    """Return the end of a search, with controls."""
    cookie = liar.tlv(0x04, octets(random, 40))
    values = {
        _OIDS[0]: liar.tlv(0x30, liar.number(random.randrange(300)) + cookie),
        _OIDS[2]: liar.tlv(0x30, cookie + liar.tlv(0x01, b"\xff")),
        _OIDS[3]: b"",
    }
    controls = b"".join(
        _control(oid, values[oid], b"\x01\x01\xff" if random.random() < 0.3 else b"") for oid in random.sample(list(values), random.randrange(4))
    )
    return liar.message(number, liar.tlv(0x65, liar.result(random.choice((0, 0, 0, 3, 4, 11, 32, 53, 80)), "dc=x", "said")), controls)


def a_notice(random: Random, number: int) -> bytes:
    """Return a Sync Info Message."""
    cookie, flag = liar.tlv(0x04, b"rid=000,csn=2"), liar.tlv(0x01, random.choice((b"\xff", b"\0")))
    ids = liar.tlv(0x31, b"".join(liar.tlv(0x04, random.randbytes(16)) for _ in range(random.randrange(4))))
    content = random.choice((flag + ids, cookie + flag + ids))
    said = random.choice((liar.tlv(0x80, b"rid=000,csn=1"), liar.tlv(0xA1, cookie + flag), liar.tlv(0xA2, flag), liar.tlv(0xA3, content)))
    return liar.message(number, liar.tlv(0x79, liar.tlv(0x80, SYNC_INFO) + liar.tlv(0x81, said)))


def a_reference(random: Random, number: int) -> bytes:
    """Return a referral to elsewhere."""
    return liar.message(number, liar.tlv(0x73, liar.tlv(0x04, b"ldap://elsewhere/dc=x")))


def an_answer(random: Random, number: int) -> list[bytes]:
    """Return all messages of one answer."""
    makers = random.choices((an_entry, a_notice, a_reference), (8, 2, 1), k=random.randrange(5))
    return [*(make(random, number) for make in makers), a_done(random, number)]


def _control(oid: bytes, value: bytes, criticality: bytes = b"") -> bytes:
    return liar.tlv(0x30, liar.tlv(0x04, oid) + criticality + (liar.tlv(0x04, value) if value else b""))


# -- octets changed where they stand: lengths no longer fit ----------------------------------------------------------------


def headers(data: bytes, at: int = 0) -> list[int]:
    """Return where the elements of a good message begin, those inside others too."""
    found: list[int] = []
    while data:
        tag, content, rest = element(data)
        inner = at + len(data) - len(rest) - len(content)
        found.append(at)
        if tag & 0x20 and content:
            found += headers(content, inner)
        at += len(data) - len(rest)
        data = rest
    return found


def spoil(random: Random, raw: bytes, spots: list[int]) -> bytes:
    """Return a message with one thing wrong somewhere; `spots` = where its elements begin."""
    data = bytearray(raw)
    if len(data) < 2:
        return raw
    inside = [spot for spot in spots if spot + 1 < len(data)]
    random.choice(_SPOILS)(random, data, random.choice(inside) if inside else 0)
    return bytes(data)


def _bit(random: Random, data: bytearray, spot: int) -> None:
    data[random.randrange(len(data))] ^= 1 << random.randrange(8)


def _octet(random: Random, data: bytearray, spot: int) -> None:
    data[random.randrange(len(data))] = random.randrange(256)


def _tag(random: Random, data: bytearray, spot: int) -> None:
    data[spot] = random.choice(_TAGS)


def _length(random: Random, data: bytearray, spot: int) -> None:
    data[spot + 1] = random.choice(_LENGTHS)


def _length_nearby(random: Random, data: bytearray, spot: int) -> None:
    data[spot + 1] = (data[spot + 1] + random.choice((-2, -1, 1, 2))) % 256


def _absurd_length(random: Random, data: bytearray, spot: int) -> None:
    data[spot + 1 : spot + 2] = random.choice((b"\x84\xff\xff\xff\xff", b"\x80", b"\x84\x7f\xff\xff\xff", b"\x88" + b"\xff" * 8, b"\x83\x01\0\0"))


def _missing(random: Random, data: bytearray, spot: int) -> None:
    at = random.randrange(len(data))
    del data[at : at + random.randrange(1, 12)]


def _more(random: Random, data: bytearray, spot: int) -> None:
    at = random.randrange(len(data))
    data[at:at] = random.randbytes(random.randrange(1, 12))


def _twice(random: Random, data: bytearray, spot: int) -> None:
    at = random.randrange(len(data))
    data[at:at] = data[at : at + random.randrange(1, 12)]


def _cut(random: Random, data: bytearray, spot: int) -> None:
    del data[random.randrange(len(data)) :]


def _deep(random: Random, data: bytearray, spot: int) -> None:
    at = random.randrange(len(data))
    data[at:at] = random.choice((b"\x30\x80", b"\x30\x7f", b"\xa0\x84\0\0\xff\xff")) * random.choice((1, 20, 300))


_SPOILS = (_bit, _octet, _tag, _length, _length_nearby, _absurd_length, _missing, _more, _twice, _cut, _deep)


# -- changes after which every length fits ---------------------------------------------------------------------------------


def tree(data: bytes) -> Tree:
    """Return the elements of octets. Raises Bad."""
    found: Tree = []
    while data:
        tag, content, data = element(data)
        found.append((tag, tree(content) if tag & 0x20 else content))
    return found


def flat(random: Random, elements: Tree) -> bytes:
    """Return elements as octets, with lengths in any form that is allowed."""
    out = b""
    for tag, content in elements:
        inner = content if isinstance(content, bytes) else flat(random, content)
        size, form = len(inner), random.random()
        if size < 0x80 and form < 0.9:
            out += bytes((tag, size)) + inner
        else:
            width = max((size.bit_length() + 7) // 8, random.choice((1, 2, 4)) if form > 0.7 else 1)
            out += bytes((tag, 0x80 + width)) + size.to_bytes(width, "big") + inner
    return out


def reshape(random: Random, raw: bytes) -> bytes:
    """Return a message of which one element is another, is missing, or stands twice; all lengths fit."""
    try:
        whole = tree(raw)
    except Bad:
        return raw
    if not whole:
        return raw
    level: Tree = whole
    while random.random() < 0.8 and (inner := [content for _, content in level if isinstance(content, list) and content]):
        level = random.choice(inner)
    place = random.randrange(len(level))
    tag, content = level[place]
    changes: tuple[Callable[[], object], ...] = (
        lambda: level.__setitem__(place, (random.choice(_TAGS), content)),
        lambda: level.__setitem__(place, (tag, octets(random, 60))),
        lambda: level.__setitem__(place, (tag, b"")),
        lambda: level.__setitem__(place, (tag, [(tag, content)])),
        lambda: level.__delitem__(place),
        lambda: level.insert(place, (tag, content)),
        lambda: level.insert(place, (random.choice(_TAGS), octets(random, 20))),
        lambda: level.append(level.pop(place)),
        lambda: None,
    )
    random.choice(changes)()
    return flat(random, whole)
