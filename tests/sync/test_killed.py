"""Killing a sync at any moment is safe by design."""

from __future__ import annotations

import os
import random
import signal
import subprocess
from functools import cache
from pathlib import Path

import msgspec
import pytest
from sqlalchemy import text

from sync.settings import Policy, SourceSettings
from sync.store import runs, sources
from sync.store.engine import Store, open_store
from sync.store.lease import Holder, reap, start, this_process
from sync.vault import generate_key_line
from tests.daemon.forked import Fork, Forked
from tests.servers.slapd import Slapd
from tests.stores import STORES
from tests.sync.dying_child import Order

TIMES = int(os.environ.get("ROSTERD_KILLS", "5"))
BEATS = {"connect": 1, "read": 5, "plan": 1, "evidence": 1, "keys": 1, "apply": 4}
"""How many beats each phase has to die at in this scenario."""
TABLES = ("user", "claim", "virtual_key", "membership", "directory_group", "loss", "hold", "hold_item", "approval")


class Victim:
    """A store, a slapd and children that sync the one from the other."""

    def __init__(self, folder: Path, slapd: Slapd) -> None:
        self.slapd, self.folder = slapd, folder
        (folder / "vault.keys").write_text(generate_key_line())
        self.store: Store = open_store(STORES.settings(folder / "store.db"))
        sources.declare(self.store, [SourceSettings("corp", "ldap", 0)], (Policy("default"),))

    def order(self, phase: str = "", beat: int = 0) -> Order:
        run = runs.request(self.store, "corp", trigger="cli", requested_by="test")
        server = self.slapd
        return Order(
            STORES.settings(self.folder / "store.db").url,
            str(self.folder / "vault.keys"),
            server.url,
            server.base,
            server.bind_dn,
            server.password,
            run.id,
            phase,
            beat,
        )

    def start(self, order: Order) -> Forked:
        return _fork().start((msgspec.json.encode(order).decode(),), dict(os.environ), self.folder, 1, 2)

    def run(self, order: Order) -> int:
        return self.start(order).wait(60)

    def dump(self) -> list[object]:
        with self.store.read() as connection:
            return [connection.execute(text(f'select * from "{table}" order by 1, 2')).all() for table in TABLES]


@cache
def _fork() -> Fork:
    imports = ("ldap3", "sqlalchemy.dialects.postgresql.psycopg", "sqlalchemy.dialects.sqlite.pysqlite", "sync.store.postgres", "sync.store.sqlite")
    return Fork(dict(os.environ), imports, "tests.sync.dying_child:main")


@pytest.fixture
def victim(tmp_path: Path, slapd: Slapd) -> Victim:
    """A store that has synced 200 people once."""
    slapd.add_people(200)
    made = Victim(tmp_path, slapd)
    assert made.run(made.order()) == 0
    return made


@pytest.mark.parametrize("phase", BEATS)
def test_a_child_killed_in_any_phase_leaves_the_last_committed_state(victim: Victim, phase: str) -> None:
    """SIGKILL, again and again: not a row differs, the run is recorded as killed, and the next run starts at once and succeeds."""
    dice = random.Random(phase)
    slapd = victim.slapd
    for turn in range(TIMES):
        slapd.add_person(f"joiner{turn}")
        slapd.delete(f"uid=u{turn + 1:06d},{slapd.base}") if turn < 9 else None
        before = victim.dump()
        order = victim.order(phase, dice.randint(1, BEATS[phase]))
        assert victim.run(order) == -signal.SIGKILL
        assert victim.dump() == before
        if dice.random() < 0.5:
            assert [run.id for run in reap(victim.store)] == [order.run]
        following = victim.order()
        assert victim.run(following) == 0
        killed, ended = runs.get(victim.store, order.run), runs.get(victim.store, following.run)
        assert (killed.state, killed.error.code if killed.error else None) == ("failed", "killed")
        assert (ended.state, ended.counts["added"]) == ("succeeded", 1)


def test_a_child_killed_at_a_random_moment_commits_all_or_nothing(victim: Victim) -> None:
    """Wherever the signal falls, the store is as before the run or as after it."""
    dice = random.Random(1)
    for turn in range(TIMES):
        victim.slapd.add_person(f"joiner{turn}")
        before = victim.dump()
        order = victim.order()
        child = victim.start(order)
        try:
            child.wait(dice.uniform(0.0, 0.8))
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
        reap(victim.store)
        run = runs.get(victim.store, order.run)
        if run.state != "succeeded":
            assert victim.dump() == before
            assert run.state in ("failed", "waiting")
        assert victim.run(victim.order()) == 0


def test_who_lives_is_left_alone_by_readers_of_another_boot_id(tmp_path: Path) -> None:
    """A container shows its terminals and its sandboxed units different ids of one boot: the lease of a living process stands until it
    expires, that of a gone one does not stand at all."""
    store = open_store(STORES.settings(tmp_path / "store.db"))
    sources.declare(store, [SourceSettings("corp", "ldap", 0)], (Policy("default"),))
    elsewhere = msgspec.structs.replace(this_process(), boot="another")

    def started(me: Holder) -> str:
        run = runs.request(store, "corp", trigger="cli", requested_by="test")
        assert start(store, run.id, me)
        return run.id

    living = started(elsewhere)
    assert reap(store) == []
    with store.write() as connection:
        connection.execute(text("update source set lease_until = :now"), {"now": store.now() - 1})
    assert [run.id for run in reap(store)] == [living]
    gone = started(msgspec.structs.replace(elsewhere, started="0"))
    assert [run.id for run in reap(store)] == [gone]
    store.close()
