"""One case of the fuzzer: a mutated message or answer, read by our decoder and by the reference; they must agree, and nothing else may be raised."""

from __future__ import annotations

from random import Random
from typing import Any

from sync.errors import CursorLost, SourceUnavailable
from sync.sources.ldap import ber
from sync.sources.ldap.ber import EntryReader, Garbled
from sync.sources.ldap.contentsync import Poll
from sync.sources.ldap.wire import Wire
from tests.fuzz import mutate, reference
from tests.fuzz.memory_wire import wire_fed
from tests.servers import liar

NUMBER = 7
"""The message id of what we asked."""
REFUSED = "refused"
"""What both say of octets that are not to be understood."""


class Disagreement(AssertionError):
    """Our decoder and the reference read the same octets differently."""


class Fuzzer:
    """Makes and checks cases by one seed; `run(cases)` returns how many of them our decoder accepted."""

    def __init__(self, seed: int) -> None:
        self._random = Random(seed)
        self._reader = EntryReader()
        self.accepted = 0

    def run(self, cases: int) -> int:
        """Check so many mutated messages. Raises Disagreement, or whatever our decoder should not raise."""
        before, left = self.accepted, cases
        while left > 0:
            answer = mutate.an_answer(self._random, NUMBER)
            for raw in answer:
                spots = mutate.headers(raw)
                for _ in range(min(left, 12)):
                    self.one_message(self._mutated(raw, spots))
                    left -= 1
            for check in (self.one_poll, self.one_stream, self.one_known_stream):
                if left > 0:
                    which = self._random.randrange(len(answer))
                    check([*answer[:which], self._mutated(answer[which], mutate.headers(answer[which])), *answer[which + 1 :]])
                    left -= 1
        return self.accepted - before

    def _mutated(self, raw: bytes, spots: list[int]) -> bytes:
        for _ in range(self._random.choice((1, 1, 1, 2, 4))):
            raw = mutate.reshape(self._random, raw) if self._random.random() < 0.4 else mutate.spoil(self._random, raw, spots)
        return raw

    def one_message(self, raw: bytes) -> None:
        """Check one message that stands between others in the buffer: nothing of them may be read."""
        behind = b"\x30\x05\x02\x01\x07\x42\0" if self._random.random() < 0.5 else b""
        self._compare(ours(self._reader, b"\x04\x02hi" + raw + behind, 4), plain(raw + behind), raw)

    def one_poll(self, messages: list[bytes]) -> None:
        """Check the answer to a poll by content synchronisation."""
        self._compare(polled(messages), plainly_polled(messages), b"|".join(messages))

    def one_stream(self, messages: list[bytes]) -> None:
        """Check an answer that comes off the wire in chunks of any size, and with a bound for entries that is easily reached."""
        raw, biggest = b"".join(messages), self._random.choice((60, 4096))
        size = self._random.choice((1, 7, 100, 65_536))
        wire = wire_fed([raw[at : at + size] for at in range(0, len(raw), size)], biggest)
        self._compare(streamed(wire), plainly_streamed(raw, biggest), raw)

    def one_known_stream(self, messages: list[bytes]) -> None:
        """Check the quick way past entries that are recognised: it asks and hands out what the plain reading does, in the same order."""
        long = [liar.entry(NUMBER, "uid=u7", {"mail": [bytes(self._random.randrange(90, 450))]}) for _ in range(4)]
        self._random.shuffle(stream := [*long, self._mutated(long[0], mutate.headers(long[0]))])
        raw, biggest = b"".join([*stream, *messages]), self._random.choice((400, 4096))
        size = self._random.choice((300, 1000, 65_536))
        chunks = [raw[at : at + size] for at in range(0, len(raw), size)]
        self._compare(recognised(wire_fed(chunks, biggest)), plainly_recognised(wire_fed(chunks, biggest)), raw)

    def _compare(self, found: object, expected: object, raw: bytes) -> None:
        if found != expected:
            raise Disagreement(f"{raw.hex()}\n  ours:      {found}\n  reference: {expected}")
        self.accepted += found != REFUSED


def ours(reader: EntryReader, data: bytes, at: int) -> Any:
    """Return what our decoder reads at `at`."""
    try:
        length = ber.message_length(data, at)
        if not length or at + length > len(data):
            return REFUSED
        number, tag, begin, end = ber.open_message(data, at, at + length)
        if tag == ber.ENTRY:
            entry = reader.read(data, begin, end)
            return length, number, (entry.dn, entry.attributes, entry.cut, entry.rest)
        if tag == ber.DONE:
            done = ber.read_done(data, begin, end, at + length)
            return length, number, (done.code, done.matched, done.text, done.cookie, done.controls)
        return length, number, (tag, data[begin:end])
    except Garbled:
        return REFUSED


def plain(data: bytes) -> Any:
    """Return what the reference reads at the beginning."""
    try:
        read, rest = reference.message(data)
        length = len(data) - len(rest)
        if read.tag == ber.ENTRY:
            return length, read.number, reference.entry(read.body)
        return length, read.number, reference.done(read) if read.tag == ber.DONE else (read.tag, read.body)
    except reference.Bad:
        return REFUSED


def polled(messages: list[bytes]) -> Any:
    """Return what our decoder gathers from a poll."""
    poll = Poll()
    try:
        for raw in messages:
            length = ber.message_length(raw, 0)
            if length != len(raw):
                return REFUSED
            _, tag, begin, end = ber.open_message(raw, 0, length)
            if tag in (ber.ENTRY, ber.INTERMEDIATE):
                poll.overhear(tag, raw[end:] if tag == ber.ENTRY else raw[begin:end])
            elif tag == ber.DONE:
                poll.end(ber.read_done(raw, begin, end, length).controls)
                return poll.touched, poll.cookie
    except (Garbled, CursorLost):
        pass
    return REFUSED


def plainly_polled(messages: list[bytes]) -> Any:
    """Return what the reference gathers from a poll."""
    try:
        read = [reference.message(raw) for raw in messages]
        ends = next((at for at, (message, _) in enumerate(read) if message.tag == ber.DONE), len(read))
        if any(rest for _, rest in read[: ends + 1]):
            return REFUSED
        return reference.polled([message for message, _ in read])
    except (reference.Bad, LookupError):
        return REFUSED


def streamed(wire: Wire) -> Any:
    """Return the entries that a wire hands out, the referrals it counts, and how the answer ends."""
    entries: list[Any] = []
    wire.take = lambda entry: entries.append((entry.dn, entry.attributes, entry.cut, entry.rest, entry.too_big))
    try:
        wire._get_response(NUMBER, 0)
    except SourceUnavailable:
        return entries, REFUSED
    done = wire.done
    return entries, (wire.references, done.code, done.matched, done.text, done.cookie, done.controls) if done else REFUSED


def recognised(wire: Wire) -> Any:
    """Return all that a wire asks and hands out when it may pass over entries, and how the answer ends; about half of the entries are recognised."""
    asked: list[Any] = []

    def recognise(octets: bytes) -> bool:
        asked.append((octets, len(octets) % 2))
        return bool(len(octets) % 2)

    wire.recognise = recognise
    return asked, streamed(wire)


def plainly_recognised(wire: Wire) -> Any:
    """Return the same, every message being opened."""
    wire.skim = lambda data, at, *facts: at
    return recognised(wire)


def plainly_streamed(data: bytes, biggest: int) -> Any:
    """Return the same as `streamed`, by the reference."""
    entries: list[Any] = []
    references = 0
    try:
        while data:
            if (length := _length(data)) > biggest:
                dn, data = _too_big(data, length)
                entries.append((dn, {}, False, 0, True))
                continue
            read, data = reference.message(data)
            if read.number != NUMBER:
                break
            if read.tag == ber.ENTRY:
                entries.append((*reference.entry(read.body), False))
            elif read.tag == ber.REFERENCE:
                references += 1
            elif read.tag == ber.DONE:
                return entries, (references, *reference.done(read))
            elif read.tag != ber.INTERMEDIATE:
                break
    except reference.Bad:
        pass
    return entries, REFUSED


def _length(data: bytes) -> int:
    """Return how long the message says it is, or raise."""
    if data[0] != 0x30 or len(data) < 2 or data[1] == 0x80 or data[1] > 0x84 or len(data) < 2 + max(0, data[1] - 0x80):
        raise reference.Bad("head")
    octets = max(0, data[1] - 0x80)
    return 2 + octets + (int.from_bytes(data[2 : 2 + octets], "big") if octets else data[1])


def _too_big(data: bytes, length: int) -> tuple[str, bytes]:
    """Return the DN of an entry that is too big, and what follows the entry: only its DN need be right."""
    if length > len(data):
        raise reference.Bad("cut off")
    head = 2 + max(0, data[1] - 0x80)
    number, rest = reference.the(0x02, data[head:length])
    body, _ = reference.the(ber.ENTRY, rest)
    if reference.unsigned(number) != NUMBER or not 1 <= len(number) <= 5:
        raise reference.Bad("another")
    return reference.dn_text(reference.the(0x04, body)[0]), data[length:]
