"""Runs on a real 389 Directory Server through a proxy that lets them down: they fail or read everything, and nobody is lost."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import ldap3
import pytest

from tests.servers.dirsrv import DirsrvTree
from tests.servers.meddler import Asked, Change, Meddler
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
from tests.sync.faulty import without_samples
from tests.sync.test_with_slapd import connect
from tests.sync.world import World

PEOPLE = 12
FULL = "full"


def second(which: Which) -> Which:
    """Choose the answers to the second page of those."""
    return lambda asked: which(asked) and asked.page == 2


NAMED = second(saying(b"objectClass", b"nsUniqueId"))
"""Whoever was named as changed is then read by id, here in three pages."""
STAMPED = second(saying(b"modifyTimestamp"))


class Scene:
    """Twelve people in pages of five, synced once; then one went, one was locked, all others have another name, and one came."""

    def __init__(self, world: World, tree: DirsrvTree, between: Meddler) -> None:
        self.world, self.between = world, between
        tree.add_people(PEOPLE)
        connect(world, tree, urls=(between.url,), page_size=5, read_timeout=1.0)
        world.sync()
        dns = [f"uid=u{number:06d},{tree.base}" for number in range(1, PEOPLE + 1)]
        with tree.connect() as connection:  # one for all of it: a bind takes longer than what follows
            connection.delete(dns[0])
            connection.modify(dns[1], {"nsAccountLock": [(ldap3.MODIFY_REPLACE, ["TRUE"])]})
            for dn in dns[2:]:
                connection.modify(dn, {"displayName": [(ldap3.MODIFY_REPLACE, ["Renamed"])]})
        tree.add_person("joiner")

    def kept(self) -> list[Any]:
        """Return everything the store keeps about people, addresses and keys."""
        queries = ('select * from "user" order by id', "select * from claim order by user_id, matched", "select * from virtual_key order by id")
        return [tuple(row) for query in queries for row in self.world.store.query(query, {})]

    def working(self) -> list[bool]:
        """Return of each of the twelve whether their key works."""
        return [all(active for _, active in self.world.keys(f"u{number:06d}@example.com")) for number in range(1, PEOPLE + 1)]

    def lets_down(self, change: Change, expected: str, way: str) -> None:
        """Assert that an incremental run with the fault becomes a full one, or fails with a code and changes nothing; and that the next is right."""
        before = self.kept()
        self.between.change = change
        run = self.world.sync_any(mode="incremental")
        assert self.between.meddled > 0
        if expected == FULL:
            assert (run.state, run.mode, self.working()) == ("succeeded", FULL, [False, False] + [True] * 10), run
        else:
            assert (run.state, run.error.code if run.error else "", self.kept() == before) == ("failed", expected, True), run
        self.between.behave()
        run = self.world.sync(mode="incremental")
        assert (run.mode, way in (run.mode_reason or "")) == ("incremental", True)
        assert self.working()[1:] == [False] + [True] * 10
        assert self.world.keys("joiner@example.com")[0][1]


@pytest.fixture
def scene(world: World, dirsrv: DirsrvTree) -> Iterator[Scene]:
    """Return such a source, which can be asked by content synchronisation."""
    with Meddler("127.0.0.1", dirsrv.port) as between, without_samples():
        yield Scene(world, dirsrv, between)


def _first(which: Which) -> Which:
    """Choose only the first of these: a full run asks for a new cookie by a poll of its own."""
    numbers: list[int] = []

    def chosen(asked: Asked) -> bool:
        if which(asked) and not numbers:
            numbers.append(asked.number)
        return asked.number in numbers

    return chosen


POLLS: dict[str, tuple[Change, str]] = {
    **{f"result {code}": (end_with(_first(poll), code), FULL) for code in (4, 51, 53, 4096)},
    "no end": (without_controls(_first(poll)), FULL),
    "ten megabytes": (entries(poll, with_value("description", b"x" * 10_000_000), 1), FULL),
    "an entry without its state": (entries(poll, without_own_controls, 1), "protocol_error"),
    "a DN that is longer": (entries(poll, with_octet_before(b"uid=", 1), 1), "protocol_error"),
    "closed": (hang_up(poll), "connection_lost"),
    "silent": (fall_silent(poll), "read_timeout"),
}


@pytest.mark.parametrize("fault", POLLS)
def test_a_poll_that_goes_wrong(scene: Scene, fault: str) -> None:
    """What ends the poll otherwise is asked for as a whole; a line that breaks fails the run, and the next hears of the same changes."""
    scene.lets_down(*POLLS[fault], "content sync")
    assert not scene.working()[0]


PAGES: dict[str, tuple[Callable[[Which], Change], str, str]] = {
    "size limit": (lambda which: end_with(which, 4), "size_limit", FULL),
    "administrative limit": (lambda which: end_with(which, 11), "admin_limit", FULL),
    "busy": (lambda which: end_with(which, 51), "directory_busy", "directory_busy"),
    "other": (lambda which: end_with(which, 80), "directory_refused", FULL),
    "no paging control": (without_controls, "paging_control_missing", FULL),
    "a name that is longer": (lambda which: entries(which, with_octet_before(b"nsUniqueId", 1), 1), "protocol_error", "protocol_error"),
    "closed": (hang_up, "connection_lost", "connection_lost"),
}
"""What goes wrong on the second page; how that ends where the named are read by id; and where they are searched for by time."""


@pytest.mark.parametrize("fault", PAGES)
def test_a_page_of_the_named_that_goes_wrong_fails_the_run(scene: Scene, fault: str) -> None:
    """All who were named are read, or nothing of it counts."""
    change, code, _ = PAGES[fault]
    scene.lets_down(change(NAMED), code, "content sync")
    assert not scene.working()[0]


@pytest.mark.parametrize("fault", ["administrative limit", "busy", "other", "no paging control", "closed"])
def test_a_page_of_a_search_by_time_that_goes_wrong(world: World, dirsrv: DirsrvTree, fault: str) -> None:
    """Part of the changes is none of them: everything is read, or the run fails. The deleted are noticed by a full read."""
    change, _, expected = PAGES[fault]
    with dirsrv.without_content_sync(), Meddler("127.0.0.1", dirsrv.port) as between, without_samples():
        scene = Scene(world, dirsrv, between)
        scene.lets_down(change(STAMPED), expected, "modifyTimestamp")
        world.sync()
        assert not scene.working()[0]


@pytest.mark.parametrize("fault", ["size limit", "other", "no paging control", "closed"])
def test_a_page_of_a_full_run_that_goes_wrong_fails_it(scene: Scene, fault: str) -> None:
    """Everybody is as before, and the next run is right."""
    change, code, _ = PAGES[fault]
    before = scene.kept()
    scene.between.change = change(lambda asked: asked.page == 2)
    run = scene.world.sync_any()
    assert (run.state, run.error.code if run.error else "", scene.kept() == before) == ("failed", code, True)
    scene.between.behave()
    scene.world.sync()
    assert scene.working() == [False, False] + [True] * 10
