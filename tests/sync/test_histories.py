"""Any history of edits, syncs, crashes and decisions ends with the store equal to the directory, and no key changes hands."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from sqlalchemy import text

from sync.address import normalise
from sync.directory import Listed
from sync.errors import Conflict, NotFound, SourceUnavailable
from sync.run import perform
from sync.settings import Policy
from sync.store import addresses as store_addresses
from sync.store import forgetting, people, reverting, runs, sources
from sync.store.lease import Progress
from sync.store.views import RunView
from tests.sync.world import World

UIDS = [f"p{n}" for n in range(5)]
ADDRESSES = [f"a{n}@corp.example" for n in range(5)]
uids = st.sampled_from(UIDS)
addresses = st.lists(st.sampled_from(ADDRESSES), max_size=3, unique=True)


class Crash(BaseException):
    """The process dies here."""


class Histories(RuleBasedStateMachine):
    """People come, change, hide and go; syncs succeed, are held, cut off or killed; an admin decides at random."""

    @initialize()
    def begin(self) -> None:
        self.folder = Path(tempfile.mkdtemp())
        self.world = World(self.folder)
        self.world.policies = (Policy("all"), Policy("ai", groups=("ai",)))
        self.world.directory.tells = True
        self.world.guard(max_removed=1, max_removed_percent=0, max_disabled=2)
        self.owners: dict[str, str] = {}
        self.listed: dict[str, set[str]] = {}

    def teardown(self) -> None:
        if hasattr(self, "world"):
            self.finish()
            self.world.store.close()
            shutil.rmtree(self.folder)

    @rule(uid=uids, listed=addresses, enabled=st.booleans())
    def write_entry(self, uid: str, listed: list[str], enabled: bool) -> None:
        self.world.directory.add(uid, *listed, enabled=enabled)
        self.listed.setdefault(f"id-{uid}", set()).update(listed)

    @rule(uid=uids, listed=addresses)
    def change_addresses(self, uid: str, listed: list[str]) -> None:
        if f"id-{uid}" in self.world.directory.people:
            self.world.directory.change(f"id-{uid}", emails=tuple(Listed(a, normalise(a)) for a in listed))
            self.listed[f"id-{uid}"].update(listed)

    @rule(uid=uids)
    def delete_entry(self, uid: str) -> None:
        self.world.directory.people.pop(f"id-{uid}", None)
        self.world.directory.hidden.discard(f"id-{uid}")

    @rule(uid=uids)
    def hide_or_show(self, uid: str) -> None:
        if f"id-{uid}" in self.world.directory.people:
            self.world.directory.hidden ^= {f"id-{uid}"}

    @rule(days=st.sampled_from([0.01, 1.5, 8]))
    def wait(self, days: float) -> None:
        self.world.clock.forward(days=days)

    @rule(dry=st.booleans(), mode=st.sampled_from(["full", "incremental"]))
    def sync(self, dry: bool, mode: str) -> None:
        self._sync(dry_run=dry, mode=mode)

    @rule()
    def lose_the_cursors(self) -> None:
        """The server is put back, or its log is trimmed."""
        self.world.directory.marks.clear()

    @rule()
    def follow_changes(self) -> None:
        """An incremental run that withholds nothing leaves nothing for a full one to change, but for what only a full one may end."""
        hidden = self.world.directory.hidden
        self._sync(mode="incremental")
        run = self._sync(mode="incremental")  # an address that somebody gave up may bring somebody else their first key
        if run.state == "succeeded" and run.mode == "incremental" and not hidden and not run.counts.get("withheld"):
            again = runs.request(self.world.store, "corp", trigger="cli", requested_by="test", dry_run=True)
            ended = perform(self.world.setting(), again.id)
            counts = ended.counts if ended.state != "failed" else {}  # an empty answer is never believed
            kinds = ("added", "disabled", "enabled", "missing", "returned", "keys_issued", "keys_disabled")
            assert not {kind: counts[kind] for kind in kinds if counts.get(kind)}

    @rule()
    def sync_cut_off(self) -> None:
        self.world.directory.error, self.world.directory.error_after = SourceUnavailable("cut", "The line was cut."), 0
        if self.world.directory.people:
            self._sync()
        self.world.directory.error = None

    @rule(phase=st.sampled_from(["read", "plan", "evidence", "keys", "apply"]), mode=st.sampled_from(["full", "incremental"]))
    def sync_killed(self, phase: str, mode: str) -> None:
        before = self._dump()

        def die(progress: Progress) -> None:
            if progress.phase == phase:
                raise Crash

        run = runs.request(self.world.store, "corp", trigger="cli", requested_by="test", mode=mode)
        setting = self.world.setting()
        try:
            perform(type(setting)(**{name: getattr(setting, name) for name in setting.__slots__} | {"progress": die}), run.id)
        except Crash:
            assert self._dump() == before

    @rule()
    def tidy_up(self) -> None:
        """Housekeeping forgets all it may, at any moment."""
        runs.prune(self.world.store, 0)
        forgetting.forget_removed(self.world.store, 0)

    @rule(blocked=st.booleans(), place=st.integers(0, 9))
    def block(self, blocked: bool, place: int) -> None:
        users = people.list_users(self.world.store).users
        if users:
            (people.block if blocked else people.unblock)(self.world.store, users[place % len(users)].id, "cli:admin")

    @rule(place=st.integers(0, 9))
    def settle(self, place: int) -> None:
        """An admin gives a contested address to one who lists it, if they may have it."""
        found = store_addresses.conflicts(self.world.store)
        if found:
            conflict = found[place % len(found)]
            with contextlib.suppress(Conflict):
                store_addresses.give(self.world.store, conflict.address, conflict.claimants[place % len(conflict.claimants)].user_id, "cli:admin")

    @rule(uid=uids, groups=st.sampled_from([(), ("ai",), ("ai", "other"), ("other",)]))
    def change_groups(self, uid: str, groups: tuple[str, ...]) -> None:
        if f"id-{uid}" in self.world.directory.people:
            self.world.directory.change(f"id-{uid}", groups=groups)

    @rule(uid=uids)
    def sync_only(self, uid: str) -> None:
        person = self.world.directory.people.get(f"id-{uid}")
        if person is not None and person.emails:
            run = runs.request(self.world.store, "corp", trigger="cli", requested_by="test", only=person.emails[0].spelt)
            assert perform(self.world.setting(), run.id).state == "succeeded"

    @rule(approve=st.booleans())
    def decide(self, approve: bool) -> None:
        hold = sources.get_source(self.world.store, "corp").open_hold
        if hold is None:
            return
        (runs.approve if approve else runs.discard)(self.world.store, hold.run, "cli:admin")
        self._sync()

    @rule(place=st.integers(0, 5), dry=st.booleans())
    def revert(self, place: int, dry: bool) -> None:
        """An admin undoes any run, lately or long ago, another revert too, and lets the source go on."""
        done, _ = runs.list_runs(self.world.store, limit=6)
        before = self._dump()
        with contextlib.suppress(Conflict, NotFound):
            reverting.revert(self.world.store, done[place % len(done)].id if done else "none-yet", reverting.Asked("cli:admin", "cli", dry))
        if dry:
            assert self._dump() == before
        sources.resume(self.world.store, "corp", "cli:admin")

    @invariant()
    def no_key_changes_hands(self) -> None:
        if not hasattr(self, "world"):
            return
        with self.world.store.read() as connection:
            for key, value, owner in connection.execute(text("select id, digest, user_id from virtual_key")):
                assert self.owners.setdefault(f"{key}{value!r}", owner) == owner
            for matched, external_id in connection.execute(
                text('select c.matched, u.external_id from claim c join "user" u on u.id = c.user_id where c.held')
            ):
                assert matched in self.listed[external_id], "somebody answers for an address their entry never listed"
            wrong = connection.execute(
                text(
                    "select count(*) from \"user\" u where u.email <> ''"
                    " and not exists (select 1 from claim c where c.user_id = u.id and c.spelt = u.email and c.held)"
                )
            ).scalar_one()
            assert wrong == 0, "a primary address that its user does not hold"

    def finish(self) -> None:
        """With everything shown and every hold approved the store says what the directory says."""
        directory = self.world.directory
        directory.hidden.clear()
        if not directory.people:
            return
        for _ in range(6):
            hold = sources.get_source(self.world.store, "corp").open_hold
            if hold is not None:
                runs.approve(self.world.store, hold.run, "cli:admin")
            self.world.clock.forward(days=1.5)
            self._sync()
        with self.world.store.read() as connection:
            users = {row[0]: row for row in connection.execute(text('select external_id, state, id from "user"'))}
            silenced = {
                row[0] for row in connection.execute(text("select user_id from hold_item join hold using (run_id) where state = 'discarded'"))
            }
        for external_id, person in directory.people.items():
            if users[external_id].id not in silenced:
                assert users[external_id].state == ("active" if person.enabled else "disabled")
        if not silenced:
            self._check_addresses()
        for external_id, user in users.items():
            if external_id not in directory.people and user.id not in silenced:
                assert user.state in ("missing", "removed"), external_id

    def _check_addresses(self) -> None:
        """Nine quiet days later an address listed by one entry answers for it, and one listed by nobody answers for nobody."""
        for address in ADDRESSES:
            listing = [p for p in self.world.directory.people.values() if any(e.matched == address for e in p.emails)]
            found = self.world.lookup(address)
            if len(listing) == 1:
                assert (found.outcome, people.get_user(self.world.store, found.user_id).external_id) == ("found", listing[0].external_id)
            elif not listing:
                assert found.outcome in ("user_not_found", "user_removed")

    def _sync(self, *, dry_run: bool = False, mode: str = "full") -> RunView:
        before = self._dump() if dry_run else None
        run = runs.request(self.world.store, "corp", trigger="cli", requested_by="test", mode=mode, dry_run=dry_run)
        ended = perform(self.world.setting(), run.id)
        if dry_run:
            assert self._dump() == before
        return ended

    def _dump(self) -> list[object]:
        with self.world.store.read() as connection:
            return [
                connection.execute(text(f'select * from "{table}" order by 1, 2')).all()
                for table in ("user", "claim", "virtual_key", "membership", "loss")
            ]


@pytest.fixture(autouse=True)
def small_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    """Five people would all be looked at every time."""
    monkeypatch.setattr("sync.intake.SAMPLE", 1)


TestHistories = pytest.mark.filterwarnings("ignore::hypothesis.errors.NonInteractiveExampleWarning")(Histories.TestCase)
Histories.TestCase.settings = settings(max_examples=25, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck))
