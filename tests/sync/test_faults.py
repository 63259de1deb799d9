"""Full runs through a proxy that lets them down: each fault ends in a run that says so, takes nobody's key, and is over with the next run."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.servers import liar
from tests.servers.cutter import Cutter, close_after
from tests.servers.meddler import ENTRY, Asked, Change
from tests.servers.meddling import (
    Repeat,
    empty_pages,
    end_with,
    entries,
    fall_silent,
    hang_up,
    late,
    page,
    saying,
    with_octet_before,
    with_tag,
    with_value,
    without_controls,
)
from tests.servers.slapd import Slapd
from tests.sync.faulty import Faulty, faulty
from tests.sync.test_with_slapd import connect
from tests.sync.world import World

SECOND = page(2)
DEEP = b"\x30\x84\x00\x01\x86\xa0" + b"\x30\x80" * 50_000


@pytest.fixture
def scene(world: World, slapd: Slapd) -> Iterator[Faulty]:
    """Return a source that was read once, and has changed since."""
    with faulty(world, slapd) as made:
        yield made


def failed(scene: Faulty, code: str) -> None:
    """Assert that a run fails with this code and changes nothing, and that the next one is right."""
    before = scene.kept()
    run = scene.run()
    assert run.state == "failed"
    assert run.error is not None
    assert (run.error.code, bool(run.error.remedy)) == (code, True)
    assert scene.kept() == before
    scene.between.behave()
    assert scene.run().state == "succeeded"
    scene.agrees()


CODES = {
    3: "time_limit",
    4: "size_limit",
    11: "admin_limit",
    51: "directory_busy",
    52: "directory_busy",
    53: "directory_refused",
    80: "directory_refused",
}


@pytest.mark.parametrize(("code", "number"), [*((code, 2) for code in CODES), (11, 1), (80, 3)])
def test_a_page_that_ends_with_an_error_fails_the_run(scene: Faulty, code: int, number: int) -> None:
    """Whichever page it is, and whatever the result: half a directory is an error, not a hundred leavers."""
    scene.between.change = end_with(page(number), code)
    failed(scene, CODES[code])


BROKEN: dict[str, tuple[Change, str]] = {
    "no paging control": (without_controls(SECOND), "paging_control_missing"),
    "closed": (hang_up(SECOND), "connection_lost"),
    "silent": (fall_silent(SECOND), "read_timeout"),
    "a DN that is longer": (entries(SECOND, with_octet_before(b"uid=", 1), 3), "protocol_error"),
    "a DN that is shorter": (entries(SECOND, with_octet_before(b"uid=", -1), 3), "protocol_error"),
    "an attribute that is longer": (entries(SECOND, with_octet_before(b"mail", 1), 3), "protocol_error"),
    "an attribute that is shorter": (entries(SECOND, with_octet_before(b"mail", -4), 3), "protocol_error"),
    "an address that is longer": (entries(SECOND, with_octet_before(b"person.", 4), 3), "protocol_error"),
    "a DN with another tag": (entries(SECOND, with_tag(0, 0x0C), 3), "protocol_error"),
    "attributes with another tag": (entries(SECOND, with_tag(1, 0x31), 3), "protocol_error"),
    "deep nesting": (entries(SECOND, lambda raw: (DEEP,), 3), "protocol_error"),
    "two gigabytes": (entries(SECOND, lambda raw: (b"\x30\x84\x7f\xff\xff\xff" + raw,), 3), "protocol_error"),
    "another question's answer": (entries(SECOND, lambda raw: (liar.done(90),), 3), "protocol_error"),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_an_answer_that_is_broken_fails_the_run(scene: Faulty, fault: str) -> None:
    """Lengths, tags, controls, nesting, the connection itself: whatever breaks in the middle, nothing of the read is believed."""
    change, code = BROKEN[fault]
    scene.between.change = change
    failed(scene, code)


def test_a_page_repeated_for_ever_fails_the_run(scene: Faulty) -> None:
    """The same entries with the same cookie again and again come to an end."""
    repeat = Repeat(SECOND)
    scene.between.answer, scene.between.change = repeat.answer, repeat.change
    failed(scene, "paging_loop")


def test_empty_pages_for_ever_fail_the_run(scene: Faulty) -> None:
    """Zero entries and a cookie, a million times: the run ends after a thousand."""
    scene.between.answer = empty_pages(SECOND, 1_000_000)
    failed(scene, "paging_loop")


def twice(raw: bytes) -> tuple[bytes, bytes]:
    return raw, raw


HARMLESS: dict[str, Change] = {
    "late": late(SECOND, 0.03),
    "ten megabytes": entries(SECOND, with_value("description", b"x" * 10_000_000), 3),
    "an address that is not UTF-8": entries(SECOND, with_value("mail;x-bad", b"\xff\xfe@example.com"), 3),
    "an address of a megabyte": entries(SECOND, with_value("mail;x-bad", b"x" * 1_000_000), 3),
    "a nameless attribute": entries(SECOND, with_value("", b""), 3),
    "everybody twice": entries(SECOND, twice),
}


@pytest.mark.parametrize("fault", HARMLESS)
def test_one_bad_entry_or_a_slow_line_keeps_nobody_else_waiting(scene: Faulty, fault: str) -> None:
    """The run succeeds, joiner, leaver and disabled included, and whose entry it was loses nothing."""
    scene.between.change = HARMLESS[fault]
    assert scene.run().state == "succeeded"
    assert scene.between.meddled or fault == "late"
    scene.nobody_lost()
    assert scene.world.keys("joiner@example.com")[0][1]
    assert not scene.world.keys("u000005@example.com")[0][1]
    assert not scene.world.keys("u000015@example.com")[0][1]
    scene.between.behave()
    assert scene.run().state == "succeeded"
    scene.agrees()


def test_a_page_without_entries_is_read_past(scene: Faulty) -> None:
    """A few empty pages are no end: everybody behind them is read."""
    scene.between.answer = empty_pages(SECOND, 3)
    assert scene.run().state == "succeeded"
    assert scene.between.meddled == 3
    scene.agrees()


@pytest.mark.parametrize("lost", ["one", "a page", "all but one page"])
def test_entries_that_are_swallowed_on_the_way_are_no_leavers(scene: Faulty, lost: str) -> None:
    """Whoever a complete read did not show is asked for by id, found, and kept as unproven; only who really left is missing."""
    which = {"one": (SECOND, 3), "a page": (SECOND, 0), "all but one page": (lambda asked: asked.page > 1, 0)}[lost]
    scene.between.change = entries(which[0], lambda raw: (), which[1])
    run = scene.run()
    assert (run.state, run.counts["missing"], run.counts["unproven"] > 0) == ("succeeded", 1, True)
    scene.nobody_lost()
    scene.between.behave()
    assert scene.run().state == "succeeded"
    scene.agrees()


@pytest.mark.parametrize("code", [3, 11, 50, 51, 80])
def test_an_inquiry_that_is_not_answered_proves_no_departure(scene: Faulty, code: int) -> None:
    """When the question about somebody absent ends with any error, they are not missing, whatever else becomes of the run."""
    scene.between.change = end_with(lambda asked: asked.page == 0 and asked.base != "", code)
    before = scene.kept()
    run = scene.run()
    assert scene.between.meddled
    assert run.counts.get("missing", 0) == 0
    assert scene.world.keys("u000005@example.com")[0][1]
    assert run.state == "succeeded" or scene.kept() == before
    scene.nobody_lost()
    scene.between.behave()
    assert scene.run().state == "succeeded"
    scene.agrees()


CUTS: dict[str, Callable[[], Change]] = {"closed": lambda: hang_up(inquiry), "silent": lambda: fall_silent(inquiry)}


def inquiry(asked: Asked) -> bool:
    """Choose the questions about somebody absent."""
    return asked.page == 0 and saying(b"entryUUID")(asked)


@pytest.mark.parametrize("fault", CUTS)
def test_a_line_that_is_cut_at_the_evidence_takes_nobody(scene: Faulty, fault: str) -> None:
    """The read was complete and the line breaks at the question: the run fails, or keeps them as unproven."""
    scene.between.change = CUTS[fault]()
    run = scene.run()
    assert (run.counts.get("missing", 0), scene.between.meddled) == (0, 1)
    scene.nobody_lost()
    scene.between.behave()
    assert scene.run().state == "succeeded"
    scene.agrees()


@pytest.mark.faults
def test_a_line_cut_at_every_octet(world: World, slapd: Slapd) -> None:
    """Wherever in its answers the server is cut off: the run fails and changes nothing, or it had heard everything."""
    slapd.add_people(3)
    slapd.modify(slapd.suffix, description="loaded")
    connect(world, slapd, page_size=2)
    world.sync()
    unchanged, octets, ends = world.store.query('select * from "user" order by id', {}), 0, set[str]()
    while "succeeded" not in ends or octets < 200:
        with Cutter(slapd.port, close_after(octets)) as between:
            connect(world, slapd, page_size=2, urls=(between.url,))
            run = world.sync_any()
        ends.add(run.state)
        assert (run.error.code if run.error else "") in ("", "connection_lost", "unreachable"), octets
        assert run.counts.get("missing", 0) == 0
        assert all(world.keys(f"u{number:06d}@example.com")[0][1] for number in (1, 2, 3))
        octets += 1
        world.clock.forward(seconds=1)  # of thousands of runs of one moment, two would be drawn the same id
    assert octets > 1000
    assert world.store.query('select * from "user" order by id', {}) == unchanged


def test_memory_does_not_follow_an_entry() -> None:
    """A hundred megabytes of one entry pass through without being kept."""
    import tracemalloc

    from tests.fuzz.memory_wire import wire_fed

    size = 100_000_000
    dn = liar.tlv(0x04, b"uid=huge")
    operation = bytes([ENTRY, 0x84]) + size.to_bytes(4, "big") + dn
    head = b"\x30\x84" + (size + 3 + 6).to_bytes(4, "big") + b"\x02\x01\x07" + operation

    def chunks() -> Iterator[bytes]:
        yield head
        chunk, left = bytes(200_000), size - len(dn)
        while left:
            yield chunk[:left]
            left -= len(chunk[:left])
        yield liar.done(7)

    seen: list[str] = []
    wire = wire_fed(chunks(), 4 * 1024 * 1024)
    wire.take = lambda entry: seen.append(f"{entry.dn} {entry.too_big}")
    tracemalloc.start()
    try:
        wire._get_response(7, 0)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert seen == ["uid=huge True"]
    assert peak < 2_000_000
