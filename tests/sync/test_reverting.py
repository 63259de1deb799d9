"""A revert puts back whom a run changed and nobody else, takes no address from its holder, and lets no key change its value or its owner."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from sync.address import normalise
from sync.directory import Listed
from sync.errors import Conflict
from sync.settings import Policy, StoreSettings
from sync.store import forgetting, keychanges, lease, people, runs, sources
from sync.store.engine import open_store
from sync.store.reverting import Asked, revert
from sync.store.views import RunView, UserView
from tests.sync.world import World


def undo(world: World, run: RunView, *, dry_run: bool = False) -> RunView:
    return revert(world.store, run.id, Asked("cli:ann", "cli", dry_run))


def user(world: World, address: str) -> UserView:
    return people.find_user(world.store, address)


def pictures(world: World) -> dict[str, Any]:
    """Return {external id: (state, name, groups, listed addresses, held ones)} of everybody."""
    with world.store.read() as connection:
        claims: dict[str, list[Any]] = {}
        query = "select user_id, matched, is_primary, dropped_at is null, held from claim order by matched"
        for user_id, matched, primary, listed, held in connection.execute(text(query)):
            claims.setdefault(user_id, []).append((matched, bool(primary), bool(listed), bool(held)))
        rows = connection.execute(text('select * from "user"')).all()
        groups = {row.id: [] for row in rows}
        for user_id, group in connection.execute(text("select user_id, external_id from membership join directory_group g on g.id = group_id")):
            groups[user_id].append(group)
    return {row.external_id: (row.state, row.name, row.expires_at, row.email, sorted(groups[row.id]), claims.get(row.id, [])) for row in rows}


def test_a_run_is_undone_and_its_source_waits(world: World) -> None:
    """Who was added, changed, disabled or gone is as before; what was issued is off, what was switched off works, with the value it had."""
    world.policies = (Policy("default", groups=("ai",)),)
    world.people(4)
    for number in range(4):
        world.directory.change(f"id-p{number}", groups=("ai",))
    world.sync()
    before, keys = pictures(world), {number: world.keys(f"p{number}@corp.example") for number in range(4)}
    world.directory.add("new", "new@corp.example", groups=("ai",))
    world.directory.change("id-p0", emails=(Listed("other@corp.example", "other@corp.example"),), name="Other")
    world.directory.change("id-p1", enabled=False)
    world.directory.people.pop("id-p2")
    world.directory.change("id-p3", groups=())
    run = world.sync()
    assert world.keys("p3@corp.example") != keys[3]

    preview = undo(world, run, dry_run=True)
    assert (preview.dry_run, sources.get_source(world.store, "corp").paused_by) == (True, None)
    undone = undo(world, run)
    assert {kind: n for kind, n in undone.counts.items() if n} == {kind: n for kind, n in preview.counts.items() if n}
    assert (undone.trigger, undone.mode_reason, undone.state) == ("cli", f"revert of {run.id}", "succeeded")
    after = pictures(world)
    assert after.pop("id-new")[0] == "removed"
    assert after == before
    assert {number: world.keys(f"p{number}@corp.example") for number in range(4)} == keys
    assert world.lookup("new@corp.example").outcome == "user_removed"
    assert sources.get_source(world.store, "corp").paused_by == "cli:ann"
    kinds = {change.kind for change in world.changes(undone)}
    assert kinds == {"removed", "changed", "enabled", "returned", "key_issued", "key_disabled"}

    again = world.sync(mode="incremental")  # whoever lets it go on has everybody read, and the directory still says so
    assert again.mode == "full"
    assert pictures(world)["id-p1"][0] == "disabled"
    assert [active for _, active in world.keys("new@corp.example")] == [True]


def test_a_revert_can_be_reverted(world: World) -> None:
    """Undoing an undoing is where one was before, and then the run itself can be undone again."""
    world.people(2)
    world.sync()
    first = pictures(world)
    world.directory.add("new", "new@corp.example")
    world.directory.change("id-p1", enabled=False)
    run = world.sync()
    second, keys = pictures(world), world.keys("new@corp.example")
    undone = undo(world, run)
    undo(world, undone)
    assert (pictures(world), world.keys("new@corp.example")) == (second, keys)
    again = undo(world, run)
    assert again.counts["refused"] == 0
    assert pictures(world)["id-p1"] == first["id-p1"]


def test_what_changed_since_stays(world: World) -> None:
    """A later run's, an admin's, an eraser's word stands, and each is named."""
    world.people(4)
    world.sync()
    for number in range(4):
        world.directory.change(f"id-p{number}", name="Wrong")
    run = world.sync()
    world.directory.change("id-p0", name="Right")
    later = world.sync()
    world.directory.people.pop("id-p1")
    world.sync()
    erased = user(world, "p1@corp.example").id
    forgetting.erase(world.store, erased, "cli:bob")
    people.block(world.store, user(world, "p2@corp.example").id, "cli:bob")
    undone = undo(world, run)
    refused = {change.user_id: change.reason for change in world.changes(undone, "refused")}
    assert refused.keys() == {user(world, "p0@corp.example").id, erased}
    assert later.id in (refused[user(world, "p0@corp.example").id] or "")
    assert (user(world, "p0@corp.example").name, user(world, "p3@corp.example").name) == ("Right", "P3")
    assert user(world, "p2@corp.example").blocked


def test_an_address_stays_with_its_holder(world: World) -> None:
    """An address that went to somebody else meanwhile is not taken back; who holds it is named."""
    world.add_source("other")
    world.people(2)
    world.directories["other"].add("x", "x@corp.example", "p1@corp.example")
    world.sync()
    world.sync("other")
    world.directory.people.pop("id-p1")
    world.sync()
    world.clock.forward(days=8)
    world.sync()
    world.clock.forward(days=1)
    run = world.sync()
    assert run.counts["removed"] == 1
    holder = world.lookup("p1@corp.example").user_id
    assert holder == user(world, "x@corp.example").id
    undone = undo(world, run)
    assert world.lookup("p1@corp.example").user_id == holder
    assert world.lookup("alias1@corp.example").outcome == "found"  # missing again, and holds what is free
    (contested,) = world.changes(undone, "contested")
    assert "p1@corp.example" in (contested.reason or "") and "x" in (contested.evidence or "")


def test_a_quarantine_that_ended_goes_on(world: World) -> None:
    """An address that a run set free is its holder's again, as long as nobody has taken it."""
    world.people(2)
    world.sync()
    for number in range(2):
        world.directory.change(f"id-p{number}", emails=(Listed(f"p{number}@corp.example", f"p{number}@corp.example"),))
    world.sync()
    before = pictures(world)
    world.clock.forward(days=8)
    run = world.sync()
    assert world.lookup("alias0@corp.example").outcome == "user_not_found"
    world.directory.add("x", "x@corp.example", "alias1@corp.example")
    world.sync()
    undone = undo(world, run)
    assert undone.counts["contested"] == 1
    assert world.lookup("alias0@corp.example").user_id == user(world, "p0@corp.example").id
    assert world.lookup("alias1@corp.example").user_id == user(world, "x@corp.example").id
    assert pictures(world)["id-p0"] == before["id-p0"]


def test_an_admins_switch_stays(world: World) -> None:
    """A key that an admin switched off after the run did stays off."""
    world.policies = (Policy("default", groups=("ai",)),)
    world.people(3)
    for number in range(3):
        world.directory.change(f"id-p{number}", groups=("ai",))
    world.sync()
    for number in range(2):
        world.directory.change(f"id-p{number}", groups=())
    run = world.sync()
    (key,) = user(world, "p0@corp.example").virtual_keys
    keychanges.change(world.store, key.id, keychanges.Wanted(is_active=False), keychanges.Stamp("cli:bob"))
    undo(world, run)
    assert [[active for _, active in world.keys(f"p{number}@corp.example")] for number in range(2)] == [[False], [True]]


def test_what_cannot_be_reverted_is_refused(world: World) -> None:
    """Not a dry run, not a failed one, not while a run of the source waits or goes on, and never twice the same."""
    world.people(1)
    dry = world.sync(dry_run=True)
    run = world.sync()
    with pytest.raises(Conflict, match="dry run"):
        undo(world, dry)
    waiting = runs.request(world.store, "corp", trigger="api", requested_by="bob")
    with pytest.raises(Conflict, match=waiting.id):
        undo(world, run)
    lease.start(world.store, waiting.id, lease.this_process())
    with pytest.raises(Conflict, match="running"):
        undo(world, run)
    runs.cancel(world.store, waiting.id, "bob")
    with world.store.write() as connection:
        held = lease.Lease("corp", waiting.id, connection.execute(text("select fence from source")).scalar_one())
        connection.execute(text("update run set state = 'failed' where id = :id"), {"id": waiting.id})
        lease.release(connection, held)
    undo(world, run)
    again = undo(world, run)
    assert (again.counts["removed"], again.counts["refused"]) == (0, 1)


@pytest.fixture(scope="module")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty store with all tables: migrating takes longer than a whole history."""
    path = tmp_path_factory.mktemp("migrated") / "rosterd.db"
    store = open_store(StoreSettings(f"sqlite:///{path}"))
    store.close()
    return path


ADDRESSES = [f"a{n}@corp.example" for n in range(4)]
EDITS = st.lists(
    st.tuples(
        st.integers(0, 3),
        st.sampled_from(["gone", "listed", "disabled", "renamed", "grouped"]),
        st.lists(st.sampled_from(ADDRESSES), max_size=3, unique=True),
    ),
    max_size=4,
)


def edit(world: World, edits: list[tuple[int, str, list[str]]]) -> None:
    for number, what, listed in edits:
        known = world.directory.people.get(f"id-p{number}")
        if what == "gone":
            world.directory.people.pop(f"id-p{number}", None)
        elif known is None or what == "listed":
            world.directory.add(f"p{number}", *listed, groups=known.groups if known else ("ai",))
        elif what == "disabled":
            world.directory.change(f"id-p{number}", enabled=not known.enabled)
        elif what == "renamed":
            world.directory.change(f"id-p{number}", name=f"{known.name}x", emails=tuple(Listed(a, normalise(a)) for a in listed))
        else:
            world.directory.change(f"id-p{number}", groups=() if known.groups else ("ai",))
    world.directory.add("stays", "stays@corp.example", groups=("ai",))  # nobody believes an empty answer


@given(history=st.lists(st.tuples(EDITS, st.sampled_from([0.1, 8])), min_size=2, max_size=5), which=st.integers(0, 4))
@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
def test_any_run_of_any_history(migrated: Path, tmp_path_factory: pytest.TempPathFactory, history: Any, which: int) -> None:
    """Whoever was not touched since is as before the run; nobody else moves; no two hold one address; no key changes its value or owner."""
    folder = tmp_path_factory.mktemp("world")
    shutil.copy(migrated, folder / "rosterd.db")
    world = World(folder)
    world.policies = (Policy("all"), Policy("ai", groups=("ai",)))
    world.guard(max_removed=9)
    done: list[tuple[RunView, dict[str, Any], dict[str, Any]]] = []
    for edits, days in history:
        edit(world, edits)
        world.clock.forward(days=days)
        before = pictures(world)
        done.append((world.sync_any(), before, pictures(world)))
    run, before, left = done[which % len(done)]
    now, keys = pictures(world), owners(world)
    undone = undo(world, run)
    after = pictures(world)
    stays = {change.external_id for change in world.changes(undone, "refused")}
    lost = {change.external_id for change in world.changes(undone, "contested")}
    touched = {change.external_id for change in world.changes(run) if change.kind not in ("contested", "withheld", "unproven", "refused")}
    for external_id in now:
        if external_id not in before and external_id in touched - stays:
            assert after[external_id][0] == "removed"
        elif external_id in touched - stays - lost:
            assert settled(after[external_id], before[external_id]), external_id
        elif external_id not in touched:
            assert after[external_id][:3] == now[external_id][:3]
    if run.id == done[-1][0].id:
        assert not stays, "nobody can have been changed since the last run"
    assert now == left or run.id != done[-1][0].id
    assert owners(world) == keys
    world.store.close()


def settled(after: Any, before: Any) -> bool:
    """Tell whether somebody is as before; a free address that they list may have become theirs."""
    held = {matched for matched, _, _, holds in before[5] if holds}
    now = {matched for matched, _, _, holds in after[5] if holds}
    return bool(after[:3] == before[:3] and after[4] == before[4] and [c[:3] for c in after[5]] == [c[:3] for c in before[5]] and held <= now)


def owners(world: World) -> list[Any]:
    with world.store.read() as connection:
        return list(connection.execute(text("select id, digest, user_id from virtual_key order by id")).all())
