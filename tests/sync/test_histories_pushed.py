"""Any history of pushes, decisions, pauses and runs ends with the users equal to what was pushed, and no key changes hands."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from sqlalchemy import text

from sync.settings import Policy
from sync.store import runs, sources
from tests.sync.provider import Provider
from tests.sync.world import World

NAMES = [f"p{number}" for number in range(5)]
ADDRESSES = [f"a{number}@corp.example" for number in range(4)]
names = st.sampled_from(NAMES)
addresses = st.lists(st.sampled_from(ADDRESSES), max_size=2, unique=True)


class Pushes(RuleBasedStateMachine):
    """Two providers push what they like; days pass; an admin decides at random."""

    @initialize()
    def begin(self) -> None:
        self.folder = Path(tempfile.mkdtemp())
        self.world = World(self.folder)
        self.world.settings.pop("corp")
        self.providers = [Provider(self.world, "okta"), Provider(self.world, "entra")]
        self.world.policies = (Policy("all", sources=("okta", "entra")), Policy("ai", groups=("AI",), sources=("okta",)))
        for provider in self.providers:
            provider.guard(max_removed=1, max_removed_percent=0, max_disabled=1)
            self.world.sync(provider.name)
        self.group = self.providers[0].group("AI")
        self.ids: dict[tuple[int, str], str] = {}
        self.owners: dict[str, str] = {}
        self.listed: dict[str, set[str]] = {}

    def teardown(self) -> None:
        if hasattr(self, "world"):
            self.finish()
            self.world.store.close()
            shutil.rmtree(self.folder)

    @rule(which=st.integers(0, 1), name=names, listed=addresses, active=st.booleans())
    def write(self, which: int, name: str, listed: list[str], active: bool) -> None:
        provider, known = self.providers[which], self.ids.get((which, name))
        if known is None:
            known = self.ids[which, name] = provider.post(name, *listed, active=active)
        else:
            provider.put(known, name, *listed, active=active)
        self.listed.setdefault(known, set()).update(listed)

    @rule(which=st.integers(0, 1), name=names)
    def delete(self, which: int, name: str) -> None:
        known = self.ids.pop((which, name), None)
        if known is not None:
            self.providers[which].delete(known)

    @rule(chosen=st.lists(names, max_size=3, unique=True), joins=st.booleans())
    def change_members(self, chosen: list[str], joins: bool) -> None:
        found = [self.ids[0, name] for name in chosen if (0, name) in self.ids]
        (self.providers[0].join if joins else self.providers[0].leave)(self.group, *found)

    @rule(days=st.sampled_from([0.0001, 0.01, 1.1, 8]))
    def wait(self, days: float) -> None:
        self.world.clock.forward(days=days)

    @rule(which=st.integers(0, 1), mode=st.sampled_from(["full", "incremental"]), dry=st.booleans())
    def sync(self, which: int, mode: str, dry: bool) -> None:
        assert self.world.sync_any(self.providers[which].name, mode=mode, dry_run=dry).state in ("succeeded", "held")

    @rule(which=st.integers(0, 1), approve=st.booleans(), carried_out=st.booleans())
    def decide(self, which: int, approve: bool, carried_out: bool) -> None:
        name = self.providers[which].name
        hold = sources.get_source(self.world.store, name).open_hold
        if hold is not None:
            (runs.approve if approve else runs.discard)(self.world.store, hold.run, "cli:admin")
            if carried_out:
                self.world.sync_any(name)

    @rule(which=st.integers(0, 1))
    def pause_or_resume(self, which: int) -> None:
        name = self.providers[which].name
        paused = sources.get_source(self.world.store, name).paused_by
        (sources.resume if paused else sources.pause)(self.world.store, name, "cli:admin")
        if paused:
            self.world.sync_any(name, mode="incremental")

    @invariant()
    def no_key_changes_hands(self) -> None:
        if not hasattr(self, "world"):
            return
        with self.world.store.read() as connection:
            for key, value, owner in connection.execute(text("select id, digest, user_id from virtual_key")):
                assert self.owners.setdefault(f"{key}{value!r}", owner) == owner
            held = text('select c.matched, u.external_id from claim c join "user" u on u.id = c.user_id where c.held')
            for matched, external_id in connection.execute(held):
                assert matched in self.listed[external_id], "somebody answers for an address that was never pushed for them"

    @invariant()
    def nobody_works_whom_the_provider_took_back_unless_a_human_is_asked(self) -> None:
        """Whoever works though the provider says otherwise is in the open hold, in one that was decided about, or paused."""
        if not hasattr(self, "world"):
            return
        with self.world.store.read() as connection:
            working = text(
                'select u.id from "user" u join source s on s.name = u.source and s.paused_by is null join pushed_user p on p.source = u.source'
                " and p.id = u.external_id where u.state = 'active' and (not p.active or p.deleted_at is not null) and not exists"
                " (select 1 from hold_item i join hold h using (run_id) where i.user_id = u.id and h.state in ('open', 'discarded', 'approved'))"
            )
            assert connection.execute(working).all() == []

    @invariant()
    def pushes_of_a_minute_are_one_run(self) -> None:
        if not hasattr(self, "world"):
            return
        for provider in self.providers:
            minutes = [run for run in provider.pushes() if run.state == "succeeded"]
            started = [run.requested_at for run in minutes]
            assert len(set(started)) == len(started) and all(run.finished_at for run in minutes)

    def finish(self) -> None:
        """With every hold approved users say what was pushed, and a run over everything has nothing left to do."""
        for provider in self.providers:
            sources.resume(self.world.store, provider.name, "cli:admin")
            for _ in range(6):
                hold = sources.get_source(self.world.store, provider.name).open_hold
                if hold is not None:
                    runs.approve(self.world.store, hold.run, "cli:admin")
                self.world.clock.forward(days=1.5)
                self.world.sync_any(provider.name)
        with self.world.store.read() as connection:
            silencing = text("select i.user_id from hold_item i join hold h using (run_id) where h.state = 'discarded'")
            silenced = {row[0] for row in connection.execute(silencing)}
            for which, provider in enumerate(self.providers):
                rows = connection.execute(text('select external_id, state, id from "user" where source = :s'), {"s": provider.name}).all()
                there = provider.resources()
                for external_id, state, user_id in rows:
                    wanted = ("active",) if there.get(external_id) else ("disabled",) if external_id in there else ("missing", "removed")
                    assert state in wanted or user_id in silenced, (which, external_id, state)
                assert there.keys() <= {row[0] for row in rows}


TestPushes = pytest.mark.filterwarnings("ignore::hypothesis.errors.NonInteractiveExampleWarning")(Pushes.TestCase)
Pushes.TestCase.settings = settings(max_examples=6, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck))
