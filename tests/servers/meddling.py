"""What a meddler may do to the answer to one search: each function returns a Change for the messages of that answer."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from tests.fuzz import reference
from tests.servers import liar
from tests.servers.meddler import DONE, ENTRY, Answer, Asked, Change, HangUp, Silence

Which = Callable[[Asked], bool]


def page(number: int) -> Which:
    """Choose the answers to one page of any search."""
    return lambda asked: asked.page == number


def poll(asked: Asked) -> bool:
    """Choose the answers to polls by content synchronisation."""
    return asked.polls


def saying(*words: bytes) -> Which:
    """Choose the answers to searches whose filter holds all of these words."""
    return lambda asked: all(word in asked.filter for word in words)


def end_with(which: Which, code: int) -> Change:
    """End the answer with another result code; its controls stay."""
    return _at_the_end(which, lambda done: replace_code(done, code))


def without_controls(which: Which) -> Change:
    """Leave the controls out of the end of the answer."""
    return _at_the_end(which, lambda done: liar.message(done.number, liar.tlv(0x65, done.body)))


def entries(which: Which, change: Callable[[bytes], Iterable[bytes]], only: int = 0) -> Change:
    """Change the entry number `only` (1 is the first, 0 = each)."""
    counted: dict[int, int] = {}

    def changed(asked: Asked, tag: int, raw: bytes) -> Iterable[bytes]:
        if not which(asked) or tag != ENTRY:
            return (raw,)
        counted[asked.number] = counted.get(asked.number, 0) + 1
        return change(raw) if only in (0, counted[asked.number]) else (raw,)

    return changed


def hang_up(which: Which) -> Change:
    """Close the connection instead of ending the answer."""
    return _at_the_end(which, _raise(HangUp))


def fall_silent(which: Which) -> Change:
    """Never end the answer, and close nothing."""
    return _at_the_end(which, _raise(Silence))


def late(which: Which, seconds: float) -> Change:
    """Say everything, each message a little later."""

    def changed(asked: Asked, tag: int, raw: bytes) -> Iterable[bytes]:
        if which(asked):
            time.sleep(seconds)
        return (raw,)

    return changed


def empty_pages(which: Which, how_many: int) -> Answer:
    """Answer so many times with a cookie and no entry, then let the server speak. The cookie is the one that the client sent."""
    left = how_many

    def answered(asked: Asked) -> Iterable[bytes] | None:
        nonlocal left
        if not left or not (which(asked) or (left < how_many and asked.page > 1)):
            return None
        left -= 1
        return (liar.done(asked.number, asked.cookie),)

    return answered


class Repeat:
    """Says one page again and again, cookie and all, whatever is asked next."""

    def __init__(self, which: Which) -> None:
        self._which = which
        self._page: list[bytes] = []
        self._complete = False

    def answer(self, asked: Asked) -> Iterable[bytes] | None:
        """Answer whatever comes after the page with the page."""
        return [renumbered(raw, asked.number) for raw in self._page] if self._complete and asked.page > 1 else None

    def change(self, asked: Asked, tag: int, raw: bytes) -> Iterable[bytes]:
        """Learn the page."""
        if self._which(asked):
            self._page.append(raw)
            self._complete = tag == DONE
        return (raw,)


def renumbered(raw: bytes, number: int) -> bytes:
    """Return a message as the answer to another request."""
    _, _, rest = reference.element(reference.the(0x30, raw)[0])
    return liar.tlv(0x30, liar.number(number) + rest)


def replace_code(done: reference.Message, code: int) -> bytes:
    """Return the end of an answer with another code."""
    _, _, rest = reference.element(done.body)
    return liar.tlv(0x30, liar.number(done.number) + liar.tlv(0x65, liar.number(code, 0x0A) + rest) + done.controls)


def with_value(name: str, value: bytes) -> Callable[[bytes], Iterable[bytes]]:
    """Return what gives an entry one more attribute."""

    def changed(raw: bytes) -> Iterable[bytes]:
        read, _ = reference.message(raw)
        dn, rest = reference.the(0x04, read.body)
        more = liar.tlv(0x30, liar.tlv(0x04, name.encode()) + liar.tlv(0x31, liar.tlv(0x04, value)))
        body = liar.tlv(0x04, dn) + liar.tlv(0x30, reference.only(0x30, rest) + more)
        return (liar.tlv(0x30, liar.number(read.number) + liar.tlv(0x64, body) + read.controls),)

    return changed


def with_octet_before(word: bytes, by: int) -> Callable[[bytes], Iterable[bytes]]:
    """Return what changes the octet before a word, which is the length of it."""

    def changed(raw: bytes) -> Iterable[bytes]:
        at = raw.index(word) - 1
        return (raw[:at] + bytes([(raw[at] + by) % 256]) + raw[at + 1 :],)

    return changed


def with_tag(number: int, tag: int) -> Callable[[bytes], Iterable[bytes]]:
    """Return what gives another tag to the DN (0) or the list of attributes (1) of an entry; all lengths fit."""

    def changed(raw: bytes) -> Iterable[bytes]:
        read, _ = reference.message(raw)
        dn, rest = reference.the(0x04, read.body)
        listed = reference.only(0x30, rest)
        tags = [0x04, 0x30]
        tags[number] = tag
        return (liar.message(read.number, liar.tlv(0x64, liar.tlv(tags[0], dn) + liar.tlv(tags[1], listed))),)

    return changed


def without_own_controls(raw: bytes) -> Iterable[bytes]:
    """Leave out what content synchronisation says of an entry."""
    read, _ = reference.message(raw)
    return (liar.message(read.number, liar.tlv(0x64, read.body)),)


def _at_the_end(which: Which, change: Callable[[reference.Message], bytes]) -> Change:
    return lambda asked, tag, raw: (change(reference.message(raw)[0]),) if tag == DONE and which(asked) else (raw,)


def _raise(error: type[Exception]) -> Callable[[reference.Message], bytes]:
    def changed(done: reference.Message) -> bytes:
        raise error

    return changed
