"""Incremental runs through a proxy that lets them down: each fault fails the run or makes it a full one, and nobody is lost over it."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator

import pytest

from sync.settings import Attributes
from tests.fuzz.mutate import SYNC_INFO
from tests.servers import liar
from tests.servers.branch import Branch
from tests.servers.meddler import DONE, Asked, Change, Meddler
from tests.servers.meddling import (
    Which,
    end_with,
    entries,
    fall_silent,
    hang_up,
    poll,
    saying,
    with_octet_before,
    with_value,
    without_controls,
    without_own_controls,
)
from tests.servers.slapd import Slapd, person_id
from tests.sync.faulty import PEOPLE, Faulty, faulty
from tests.sync.test_with_samba import connect as connect_domain
from tests.sync.world import World


@pytest.fixture
def scene(world: World, slapd: Slapd) -> Iterator[Faulty]:
    """Return a source that was read once, and has changed since; it can be asked by content synchronisation."""
    with faulty(world, slapd) as made:
        yield made


def test_without_a_fault_an_incremental_run_is_right(scene: Faulty) -> None:
    """The scene itself: whatever changed is named and applied."""
    run = scene.run("incremental")
    assert (run.state, run.mode, run.mode_reason) == ("succeeded", "incremental", "content sync (RFC 4533)")
    scene.agrees()


def becomes_full(scene: Faulty, words: str = "") -> None:
    """Assert that an incremental run reads everything instead, says why, and is right."""
    run = scene.run("incremental")
    assert (run.state, run.mode, scene.between.meddled > 0) == ("succeeded", "full", True)
    assert words in (run.mode_reason or "")
    scene.agrees()
    scene.between.behave()
    assert scene.run("incremental").mode == "incremental"
    scene.agrees()


def fails(scene: Faulty, *codes: str) -> None:
    """Assert that an incremental run fails and changes nothing, and that the next one is right, incremental again."""
    before = scene.kept()
    run = scene.run("incremental")
    assert (run.state, scene.between.meddled > 0) == ("failed", True)
    assert run.error is not None
    assert run.error.code in codes
    assert scene.kept() == before
    scene.between.behave()
    run = scene.run("incremental")
    assert (run.state, run.mode) == ("succeeded", "incremental")
    scene.agrees()


@pytest.mark.parametrize("code", [3, 4, 11, 51, 52, 53, 80, 4096])
def test_a_poll_that_ends_with_an_error_becomes_a_full_run(scene: Faulty, code: int) -> None:
    """Whatever ends the poll but success, all of it is asked again."""
    scene.between.change = end_with(poll, code)
    becomes_full(scene, f"({code})")


def test_a_poll_without_its_end_becomes_a_full_run(scene: Faulty) -> None:
    """Result 0 without the Sync Done Control does not say that it was all."""
    scene.between.change = without_controls(poll)
    becomes_full(scene, "without saying that it was all")


def test_an_entry_of_a_poll_too_big_to_read_becomes_a_full_run(scene: Faulty) -> None:
    """Who it is cannot be told, and it is not passed over."""
    scene.between.change = entries(poll, with_value("description", b"x" * 10_000_000), 1)
    becomes_full(scene, "too big")


BROKEN: dict[str, tuple[Change, str]] = {
    "closed": (hang_up(poll), "connection_lost"),
    "silent": (fall_silent(poll), "read_timeout"),
    "an entry without its state": (entries(poll, without_own_controls, 1), "protocol_error"),
    "a DN that is longer": (entries(poll, with_octet_before(b"uid=", 1), 1), "protocol_error"),
    "a control that is longer": (entries(poll, with_octet_before(b"1.3.6.1.4.1.4203.1.9.1.2", 3), 1), "protocol_error"),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_a_poll_that_is_broken_fails_the_run(scene: Faulty, fault: str) -> None:
    """The cursor stays, and the next run hears of the same changes."""
    scene.between.change, code = BROKEN[fault]
    fails(scene, code)


def test_a_server_that_calls_everybody_deleted_takes_nobody(scene: Faulty) -> None:
    """Whoever is named as deleted is asked for by id, and found."""
    ids = b"".join(liar.tlv(0x04, uuid.UUID(person_id(number)).bytes) for number in range(1, PEOPLE + 1))
    value = liar.tlv(0xA3, liar.tlv(0x01, b"\xff") + liar.tlv(0x31, ids))
    said = liar.tlv(0x79, liar.tlv(0x80, SYNC_INFO) + liar.tlv(0x81, value))

    def change(asked: Asked, tag: int, raw: bytes) -> Iterable[bytes]:
        return (liar.message(asked.number, said), raw) if asked.polls and tag == DONE else (raw,)

    scene.between.change = change
    run = scene.run("incremental")
    assert (run.state, run.mode, run.counts["missing"], run.counts["unproven"]) == ("succeeded", "incremental", 1, 0)
    scene.agrees()


LOOKED_UP = saying(b"objectClass", b"entryUUID")
"""Whoever was named is then read by id."""


@pytest.mark.parametrize(
    ("code", "expected"), [(3, "time_limit"), (4, "size_limit"), (11, "admin_limit"), (51, "directory_busy"), (80, "directory_refused")]
)
def test_reading_who_was_named_is_all_or_nothing(scene: Faulty, code: int, expected: str) -> None:
    """When the people who were named cannot be read to the end, nothing of it counts."""
    scene.between.change = end_with(LOOKED_UP, code)
    fails(scene, expected)


@pytest.mark.parametrize("fault", ["closed", "silent", "no paging control"])
def test_a_line_that_breaks_while_the_named_are_read_fails_the_run(scene: Faulty, fault: str) -> None:
    """The line breaks between what changed and who it is: nothing of it counts."""
    change = {"closed": hang_up, "silent": fall_silent, "no paging control": without_controls}[fault]
    scene.between.change = change(LOOKED_UP)
    fails(scene, "connection_lost", "read_timeout", "paging_control_missing")


def test_named_people_swallowed_on_the_way_are_not_missing(scene: Faulty) -> None:
    """Who is named and then not shown, though there, is asked for, found, and kept as unproven."""
    scene.between.change = entries(lambda asked: LOOKED_UP(asked) and asked.page > 0, lambda raw: ())
    run = scene.run("incremental")
    assert (run.state, run.mode, run.counts["missing"]) == ("succeeded", "incremental", 1)
    assert run.counts["unproven"] > 1
    scene.nobody_lost()
    scene.between.behave()
    assert scene.run("full").state == "succeeded"
    scene.agrees()


# -- by modifyTimestamp -----------------------------------------------------------------------------------------------------

STAMPED = saying(b"modifyTimestamp")
CONVERTED: dict[str, Change] = {
    "size limit": end_with(lambda asked: STAMPED(asked) and asked.page == 2, 4),
    "administrative limit": end_with(lambda asked: STAMPED(asked) and asked.page == 2, 11),
    "unwilling": end_with(lambda asked: STAMPED(asked) and asked.page == 1, 53),
    "other": end_with(lambda asked: STAMPED(asked) and asked.page == 1, 80),
    "no paging control": without_controls(lambda asked: STAMPED(asked) and asked.page == 2),
    "ten megabytes": entries(lambda asked: STAMPED(asked) and asked.page == 2, with_value("description", b"x" * 10_000_000), 1),
}


@pytest.fixture
def stamped(world: World, slapd: Slapd) -> Iterator[Faulty]:
    """Return a source that was read once, has changed since, and can be asked by modifyTimestamp only."""
    with faulty(world, slapd, attributes=Attributes(id="uid")) as made:
        yield made


@pytest.mark.parametrize("fault", CONVERTED)
def test_a_search_by_time_that_does_not_end_well_becomes_a_full_run(stamped: Faulty, fault: str) -> None:
    """Part of the changes is none of them: everything is read."""
    stamped.between.change = CONVERTED[fault]
    run = stamped.run("incremental")
    assert (run.state, run.mode, run.counts["missing"], stamped.between.meddled > 0) == ("succeeded", "full", 1, True)
    stamped.nobody_lost()
    stamped.between.behave()
    run = stamped.run("incremental")
    assert (run.state, run.mode) == ("succeeded", "incremental")
    stamped.nobody_lost()


@pytest.mark.parametrize(
    ("change", "code"), [(hang_up, "connection_lost"), (fall_silent, "read_timeout"), (lambda which: end_with(which, 51), "directory_busy")]
)
def test_a_search_by_time_that_breaks_fails_the_run(stamped: Faulty, change: object, code: str) -> None:
    """Nothing of it counts, and the next run asks for the same changes."""
    before = stamped.kept()
    assert callable(change)
    stamped.between.change = change(STAMPED)
    run = stamped.run("incremental")
    assert (run.state, run.error.code if run.error else "", stamped.kept() == before) == ("failed", code, True)
    stamped.between.behave()
    run = stamped.run("incremental")
    assert (run.state, run.mode, run.counts["disabled"], run.counts["added"]) == ("succeeded", "incremental", 1, 1)
    stamped.nobody_lost()


# -- Active Directory, by uSNChanged ----------------------------------------------------------------------------------------

NUMBERED = saying(b"uSNChanged")


def second(which: Which) -> Which:
    return lambda asked: which(asked) and asked.page == 2


@pytest.mark.parametrize(
    ("change", "state", "mode"),
    [
        (end_with(second(NUMBERED), 11), "succeeded", "full"),
        (end_with(NUMBERED, 53), "succeeded", "full"),
        (entries(second(NUMBERED), with_value("description", b"x" * 10_000_000), 1), "succeeded", "full"),
        (end_with(second(NUMBERED), 51), "failed", ""),
        (hang_up(second(NUMBERED)), "failed", ""),
        (entries(second(NUMBERED), with_octet_before(b"CN=", 1), 1), "failed", ""),
    ],
    ids=["administrative limit", "unwilling", "ten megabytes", "busy", "closed", "a DN that is longer"],
)
def test_a_domain_controller_that_breaks_off_among_the_changes(world: World, branch: Branch, change: Change, state: str, mode: str) -> None:
    """Read everything or fail: the leaver goes, the disabled lose their key, and nobody else does, with the fault or with the next run."""
    dns = [branch.add_person(f"p{number:02d}") for number in range(14)]
    with Meddler(branch.samba.address, 636, tls=True) as between:
        connect_domain(world, branch, urls=(between.url,), tls="plain", allow_plaintext=True, page_size=5, read_timeout=20.0)
        world.sync()
        branch.samba.delete(dns[0])
        for number in range(1, 13):
            branch.samba.modify(dns[number], displayName="Renamed", userAccountControl=546 if number == 1 else 544)
        between.change = change
        run = world.sync_any(mode="incremental")
        assert (run.state, run.mode if mode else "", between.meddled > 0) == (state, mode, True), run
        assert all(world.keys(f"p{number:02d}@example.com")[0][1] for number in range(2, 14))
        assert world.keys("p01@example.com")[0][1] == (state == "failed")
        between.behave()
        assert world.sync_any(mode="incremental").state == "succeeded"
        world.sync()
        assert [world.keys(f"p{number:02d}@example.com")[0][1] for number in range(14)] == [False, False] + [True] * 12
