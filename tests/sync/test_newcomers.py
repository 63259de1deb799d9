"""Whoever is new is written in one piece, and the store ends as if they had been written row by row like everybody else."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from sync import commit, plan
from sync.address import normalise
from sync.directory import Dropped, Listed, Person
from sync.store import staging
from sync.store.views import RunView
from sync.user import spelt
from tests.sync.world import World

ADDRESSES = st.sampled_from(["Ann@Corp.example", "ann@corp.example", "bob@corp.example", "cy@corp.example", "dee@corp.example", "eve@corp.example"])
LISTED = st.builds(lambda spelling, marked: Listed(spelling, normalise(spelling), marked), ADDRESSES, st.booleans())
TEXTS = st.sampled_from(["", "ann", 'a "quoted" näme', "\\"])
PERSONS = st.builds(
    Person,
    external_id=st.sampled_from([f"id-{number}" for number in range(8)]),
    place=TEXTS,
    username=TEXTS,
    name=TEXTS,
    emails=st.lists(LISTED, max_size=4).map(tuple),
    groups=st.lists(st.sampled_from(["staff", "admins"]), max_size=3).map(tuple),
    enabled=st.booleans(),
    expires_at=st.sampled_from([None, None, 1, 3_000_000_000_000]),
    dropped=st.lists(st.builds(Dropped, st.just("mail"), TEXTS, st.just("is no address")), max_size=1).map(tuple),
    bare=st.sampled_from([False, False, False, True]),
)
DIRECTORIES = st.lists(PERSONS, max_size=8, unique_by=lambda person: person.external_id)


def _lister(uid: str, *names: str) -> Person:
    listed = tuple(Listed(f"{name}@corp.example", f"{name}@corp.example") for name in names)
    return Person(f"id-{uid}", "", uid, "", listed, (), True)


@given(PERSONS.filter(lambda person: not person.bare))
def test_somebody_new_is_introduced_as_a_whole_comparison_would(person: Person) -> None:
    """The short way finds the addresses, the primary one and the changes that comparing with nobody finds."""
    emails, primary, after = plan.introduce(person)
    whole = plan.compare(None, person, user_id="u", now=1)
    assert [email.matched for email in emails] == [claim.matched for claim in whole.claims]
    assert [(email.spelt, email.marked) for email in emails] == [(claim.spelt, claim.marked) for claim in whole.claims]
    assert [place == primary for place, _ in enumerate(emails)] == [claim.is_primary for claim in whole.claims]
    assert after == whole.after
    assert whole.kinds == ("added",)
    assert after.get("emails", []) == spelt(whole.claims)


@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(DIRECTORIES, min_size=1, max_size=2), st.lists(DIRECTORIES, min_size=1, max_size=2), st.booleans())
@example([[_lister("a", "ann"), _lister("b"), _lister("c", "cy"), _lister("z", "ann")]], [[_lister("a", "cy", "eve")]], False)
def test_the_store_is_as_if_all_were_written_row_by_row(corp: list[list[Person]], branch: list[list[Person]], dry_first: bool) -> None:
    """Whatever people list the same addresses, join, change and leave over several syncs of two directories: users, addresses, keys, changes
    and events are the same whichever way newcomers are written, batch by batch."""
    assert _history(corp, branch, dry_first, in_one_piece=True) == _history(corp, branch, dry_first, in_one_piece=False)


def _history(corp: list[list[Person]], branch: list[list[Person]], dry_first: bool, *, in_one_piece: bool) -> list[object]:
    before = commit.Commit._welcome, staging.BATCH
    with tempfile.TemporaryDirectory() as folder:
        world = World(Path(folder))
        world.add_source("branch")
        world.guard(max_removed=1000, max_removed_total=1000, max_disabled=1000)
        try:
            staging.BATCH = 2  # so that those who list one address often come in different batches
            if not in_one_piece:
                commit.Commit._welcome = lambda self, batch: list(batch)  # type: ignore[method-assign]
            ended = [_sync(world, "corp", corp[0], dry_run=True)] if dry_first else []
            for number in range(2):
                for name, read in (("corp", corp), ("branch", branch)):
                    if number < len(read):
                        ended.append(_sync(world, name, read[number]))
                        world.clock.forward(seconds=60)
            return [_told(world, run) for run in ended] + _dump(world)
        finally:
            commit.Commit._welcome, staging.BATCH = before  # type: ignore[method-assign]
            world.store.close()


def _sync(world: World, source: str, people: list[Person], *, dry_run: bool = False) -> RunView:
    world.directories[source].people = {person.external_id: person for person in people}
    return world.sync_any(source, dry_run=dry_run)


def _told(world: World, run: RunView) -> object:
    """Return what a run says that it did, without the ids that are made anew each time."""
    changes = [
        (one.kind, one.external_id or "", one.email or "", one.before or None, _nameless(one.after), one.reason or "", one.evidence or "")
        for one in world.changes(run)
    ]
    return run.state, sorted(run.counts.items()), sorted(map(repr, changes))


def _nameless(after: object) -> object:
    return {name: value for name, value in after.items() if name != "key_id"} if isinstance(after, dict) else after


def _dump(world: World) -> list[object]:
    whose = 'join "user" u on u.id = x.user_id'
    with world.store.read() as connection:
        return [
            sorted(map(repr, connection.execute(text(query)).all()))
            for query in (
                "select source, external_id, place, username, name, email, state, expires_at, fingerprint, dropped, created_at, updated_at,"
                ' last_seen_at, unproven_since, inactive_since, missing_since, missing_reads, removed_at from "user"',
                "select u.source, u.external_id, x.matched, x.spelt, x.position, x.marked, x.is_primary, x.since, x.dropped_at, x.held"
                f" from claim x {whose}",
                f"select u.source, u.external_id, g.external_id from membership x {whose} join directory_group g on g.id = x.group_id",
                f"select u.source, u.external_id, x.policy, x.enabled, x.created_at, x.created_by from virtual_key x {whose}",
                f"select u.source, u.external_id, x.kind, x.at, x.detail from event x {whose}",
            )
        ]
