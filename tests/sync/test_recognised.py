"""A run that recognises entries instead of reading them ends in every respect as one that reads them all."""

from __future__ import annotations

import itertools
import json
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from sync.address import normalise
from sync.digests import Digests
from sync.directory import Dropped, Listed, Refused
from sync.errors import Conflict, NotFound, SourceUnavailable
from sync.ids import hash_of
from sync.settings import Policy
from sync.store import keychanges, people, recognising, reverting, runs, sources
from tests.sync.world import World

PEOPLE = [f"p{number}" for number in range(5)]
ADDRESSES = [f"a{number}@corp.example" for number in range(4)]
GROUPS = [(), ("ai",), ("other",), ("ai", "other")]
POLICIES = [(Policy("all"), Policy("ai", groups=("ai",))), (Policy("ai", groups=("ai",), expires_after=40 * 86_400),), (Policy("all"),)]
uid = st.sampled_from(PEOPLE)
addresses = st.lists(st.sampled_from(ADDRESSES), max_size=3, unique=True)

Step = tuple[Any, ...]
steps = st.one_of(
    st.tuples(st.just("write"), uid, addresses, st.booleans(), st.sampled_from(GROUPS)),
    st.tuples(st.just("address"), uid, addresses),
    st.tuples(st.just("groups"), uid, st.sampled_from(GROUPS)),
    st.tuples(st.just("expire"), uid, st.sampled_from([None, 1, 3])),
    st.tuples(st.just("drop"), uid, st.integers(0, 3)),
    st.tuples(st.just("bare"), uid),
    st.tuples(st.just("delete"), uid),
    st.tuples(st.just("hide"), uid),
    st.tuples(st.just("refuse"), st.integers(0, 2)),
    st.tuples(st.just("wait"), st.sampled_from([0.1, 1.5, 8])),
    st.tuples(st.just("policies"), st.sampled_from(POLICIES)),
    st.tuples(st.just("configure"), st.integers(0, 1)),
    st.tuples(
        st.just("cut"),
    ),
    st.tuples(st.just("decide"), st.booleans()),
    st.tuples(st.just("revert"), st.integers(0, 3)),
    st.tuples(st.just("key"), st.integers(0, 9), st.sampled_from(["on", "off", "ending", "deleted"])),
    st.tuples(st.just("block"), uid, st.booleans()),
    *[st.tuples(st.just("sync"), st.booleans(), st.sampled_from(["full", "full", "incremental"]))] * 8,
)


class Pair:
    """Two worlds in which the same happens; only in the first are entries recognised."""

    def __init__(self, folder: Path) -> None:
        self.worlds = []
        for name in ("recognising", "reading"):
            (folder / name).mkdir()
            world = World(folder / name)
            world.directory.recognises, world.directory.tells = name == "recognising", True
            world.policies = POLICIES[0]
            world.guard(max_removed=1, max_removed_percent=0, max_disabled=0)
            self.worlds.append(world)
        self._ids = [itertools.count(), itertools.count()]
        self.current = 0

    def new_ids(self) -> Iterator[str]:
        return (f"u{number:04}" for number in self._ids[self.current])

    def take(self, step: Step) -> None:
        """Let it happen in both, and compare what came of it. Time passes, for runs of one moment are in no order."""
        ends = []
        for number, world in enumerate(self.worlds):
            self.current = number
            ends.append(getattr(self, "_" + step[0])(world, *step[1:]))
            world.clock.forward(seconds=1)
        assert ends[0] == ends[1], step
        assert story(self.worlds[0]) == story(self.worlds[1]), step

    def _write(self, world: World, one: str, listed: list[str], enabled: bool, groups: tuple[str, ...]) -> None:
        world.directory.add(one, *listed, enabled=enabled, groups=groups)

    def _address(self, world: World, one: str, listed: list[str]) -> None:
        self._change(world, one, emails=tuple(Listed(address, normalise(address)) for address in listed))

    def _groups(self, world: World, one: str, groups: tuple[str, ...]) -> None:
        self._change(world, one, groups=groups)

    def _expire(self, world: World, one: str, days: int | None) -> None:
        self._change(world, one, expires_at=None if days is None else world.clock.now + days * 86_400_000)

    def _drop(self, world: World, one: str, count: int) -> None:
        self._change(world, one, dropped=tuple(Dropped("mail", f"bad {number}", "is bad") for number in range(count)))

    def _bare(self, world: World, one: str) -> None:
        self._change(world, one, username="", name="", emails=(), groups=(), dropped=(), bare=True)

    def _change(self, world: World, one: str, **facts: object) -> None:
        if f"id-{one}" in world.directory.people:
            world.directory.change(f"id-{one}", **facts)

    def _delete(self, world: World, one: str) -> None:
        world.directory.people.pop(f"id-{one}", None)
        world.directory.hidden.discard(f"id-{one}")

    def _hide(self, world: World, one: str) -> None:
        if f"id-{one}" in world.directory.people:
            world.directory.hidden ^= {f"id-{one}"}

    def _show(self, world: World) -> None:
        world.directory.hidden.clear()

    def _refuse(self, world: World, count: int) -> None:
        world.directory.refused = [Refused(f"cn={number}", "has no id") for number in range(count)]

    def _wait(self, world: World, days: float) -> None:
        world.clock.forward(days=days)

    def _policies(self, world: World, policies: tuple[Policy, ...]) -> None:
        world.policies = policies
        world.declare()

    def _configure(self, world: World, number: int) -> None:
        world.configure(digest=f"d{number}", parts={"base": f"b{number}"})

    def _cut(self, world: World) -> object:
        world.directory.error, world.directory.error_after = SourceUnavailable("cut", "The line was cut."), 0
        try:
            return self._sync(world, False, "full") if world.directory.people else None
        finally:
            world.directory.error = None

    def _decide(self, world: World, approve: bool) -> None:
        hold = sources.get_source(world.store, "corp").open_hold
        if hold is not None:
            (runs.approve if approve else runs.discard)(world.store, hold.run, "cli:admin")

    def _revert(self, world: World, place: int) -> None:
        done, _ = runs.list_runs(world.store, limit=4)
        with suppress(Conflict, NotFound):
            reverting.revert(world.store, done[place % len(done)].id if done else "none-yet", reverting.Asked("cli:admin", "cli", False))
        sources.resume(world.store, "corp", "cli:admin")

    def _key(self, world: World, place: int, what: str) -> None:
        """An admin switches, ends or deletes a key."""
        query = 'select k.id from virtual_key k join "user" u on u.id = k.user_id where k.deleted_at is null'
        with world.store.read() as connection:
            keys = connection.execute(text(f"{query} order by u.external_id, k.policy, k.created_at")).scalars().all()
        if not keys:
            return
        key, stamp = keys[place % len(keys)], keychanges.Stamp("cli:admin")
        if what == "deleted":
            keychanges.delete(world.store, key, stamp)
        elif what == "ending":
            keychanges.change(world.store, key, keychanges.Wanted(expires_at=world.clock.now + 20 * 86_400_000), stamp)
        else:
            keychanges.change(world.store, key, keychanges.Wanted(is_active=what == "on"), stamp)

    def _block(self, world: World, one: str, blocked: bool) -> None:
        found = world.lookup(f"a{one[1:]}@corp.example")
        if found.user_id:
            (people.block if blocked else people.unblock)(world.store, found.user_id, "cli:admin")

    def _sync(self, world: World, dry: bool, mode: str) -> object:
        ended = world.sync_any(mode=mode, dry_run=dry)
        log = sorted(json.dumps(_without_ids(msgspec.to_builtins(change)), sort_keys=True) for change in world.changes(ended))
        return ended.state, ended.mode, ended.complete, ended.entries, ended.counts, ended.error and ended.error.code, log


def _without_ids(change: dict[str, Any]) -> dict[str, Any]:
    after = change.get("after") or {}
    return {**change, "id": None, "run": None, "after": {**after, "key_id": bool(after.get("key_id"))}}


def story(world: World) -> list[object]:
    """Return all that the store says but for ids made at random, what is sealed, and by what entries are recognised."""
    columns = {
        '"user"': "external_id, id, place, username, name, email, state, blocked_at, expires_at, fingerprint, dropped, created_at, updated_at,"
        " last_seen_at, unproven_since, inactive_since, missing_since, missing_reads, removed_at",
        "claim": "*",
        "membership m join directory_group g on g.id = m.group_id": "m.user_id, g.external_id",
        "virtual_key": "user_id, policy, name, origin, enabled, expires_at, created_at, rotated_at, disabled_by, disabled_at, deleted_at",
        "user_before": "user_id, image",
        "loss": "user_id, what, at",
        "hold_item": "user_id, what",
        "source": "read_at, succeeded_at, cursor, paused_by",
    }
    with world.store.read() as connection:
        return [(table, sorted(map(repr, connection.execute(text(f"select {wanted} from {table}"))))) for table, wanted in columns.items()]


@settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(steps, min_size=10, max_size=40))
def test_recognising_changes_nothing_but_the_time_it_takes(monkeypatch: pytest.MonkeyPatch, history: list[Step]) -> None:
    """Through any history of edits, cut reads, holds, decisions and reverts, both ways give the same store, change logs and counts."""
    with tempfile.TemporaryDirectory() as folder:
        pair = Pair(Path(folder))
        monkeypatch.setattr("sync.run.new_ids", pair.new_ids)
        monkeypatch.setattr("sync.intake.SAMPLE", 1)
        everybody = [("write", one, [f"a{number}@corp.example"], True, ("ai",)) for number, one in enumerate(PEOPLE[:4])]
        end = [("show",), ("sync", False, "full"), ("decide", True), ("sync", False, "full"), ("sync", False, "full")]
        for step in (*everybody, *history, *end):
            pair.take(step)
        for world in pair.worlds:
            world.store.close()


def test_a_run_that_finds_nothing_new_compares_nobody_and_writes_no_row(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second full read of the same people makes no plan for anybody, seals nothing, and touches no user, address, group or key."""
    world.policies = (Policy("all"), Policy("ai", groups=("ai",), expires_after=90 * 86_400))
    world.declare()
    world.people(30)
    for number in range(10):
        world.directory.change(f"id-p{number}", groups=("ai",))
    world.directory.change("id-p20", emails=(), enabled=False)
    world.directory.change("id-p21", dropped=(Dropped("mail", "bad", "is bad"), Dropped("mail", "worse", "is bad")))
    world.sync()
    world.clock.forward(days=1)
    tables = ("user", "claim", "membership", "directory_group", "virtual_key")
    on_server = world.store.engine.dialect.name == "postgresql"
    if not on_server:  # PostgreSQL marks each row with the transaction that wrote it
        with world.store.write() as connection:
            for table, event in itertools.product(tables, ("insert", "update", "delete")):
                connection.exec_driver_sql(
                    f"create trigger no_{event}_{table} before {event} on \"{table}\" begin select raise(abort, 'touched'); end"
                )

    def rows() -> list[object]:
        mark = "xmin::text, t.*" if on_server else "*"
        with world.store.read() as connection:
            return [sorted(map(repr, connection.execute(text(f'select {mark} from "{table}" t')))) for table in tables]

    def nobody(*whoever: object) -> None:
        raise AssertionError("everybody is compared")

    monkeypatch.setattr("sync.weigh.known_users", nobody)
    monkeypatch.setattr("sync.sealing.Sealer._stage", nobody)
    before = rows()
    counts = world.sync().counts
    assert {kind: count for kind, count in counts.items() if count} == {"unchanged": 30, "refused": 2}
    assert rows() == before


@given(st.sets(st.binary(min_size=16, max_size=16) | st.integers(0, 255).map(lambda last: b"at one place" + bytes([0, 0, 0, last]))), st.data())
def test_what_was_met_and_what_was_not_are_all_that_is_known(known: set[bytes], data: st.DataObject) -> None:
    """Digests are found at places of their own, also where many would stand at the same one, and none is lost between met and not met."""
    digests = Digests(b"", len(known))
    for digest in known:
        digests.add(digest, digest.hex())
    taken = {digest for digest in known if digest[:8] != bytes(8)}  # 0 means that nothing stands there
    shown = {digest for digest in taken if data.draw(st.booleans())}
    digests.meet(digests.place(digest) for digest in shown)
    assert (digests.count, digests.met_count) == (len(taken), len(shown))
    assert set(digests.unmet()) == taken - shown
    assert all(digests.met(digest) == (digest in shown) for digest in known)
    assert all(digests.whose(digests.place(digest)) == hash_of(digest.hex()) for digest in taken)


def test_when_users_and_digests_do_not_match_everybody_is_compared(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever becomes of what entries are recognised by, nobody is left out by mistake."""
    world.people(6)
    world.sync()
    left_out = recognising.leave_out
    outcomes = []

    def after_a_change(*facts: Any) -> int | None:
        digest = facts[0].execute(text("select entry_digest from \"user\" where external_id = 'id-p3'")).scalar_one()
        change = text("update \"user\" set entry_digest = :digest where external_id = 'id-p3'")
        facts[0].execute(change, {"digest": None})
        outcomes.append(left_out(*facts))
        facts[0].execute(change, {"digest": digest})
        return outcomes[-1]

    monkeypatch.setattr(recognising, "leave_out", after_a_change)
    assert world.sync().counts["unchanged"] == 6
    assert outcomes == [None]


def test_whose_loss_is_withheld_is_weighed_in_every_run(world: World) -> None:
    """An entry that was not believed is not recognised: its people stay held until somebody decides, though it says the same each time."""
    world.guard(max_disabled=0)
    world.people(2)
    world.sync()
    world.directory.change("id-p0", enabled=False)
    for _ in range(3):
        assert world.sync(expect="held").counts["withheld"] == 1
    hold = sources.get_source(world.store, "corp").open_hold
    assert hold is not None
    runs.approve(world.store, hold.run, "cli:admin")
    assert world.sync().counts["disabled"] == 1
    assert world.sync().counts["unchanged"] == 2


def test_who_was_not_shown_lately_is_looked_at_when_shown_again(world: World) -> None:
    """Somebody unproven whose entry comes back as it was stands as seen again."""
    world.people(2)
    world.sync()
    world.directory.hidden.add("id-p0")
    assert world.sync().counts["unproven"] == 1
    world.directory.hidden.clear()
    world.sync()
    with world.store.read() as connection:
        assert connection.execute(text('select count(*) from "user" where unproven_since is not null')).scalar_one() == 0
