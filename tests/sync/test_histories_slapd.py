"""Any history of a real slapd, read in full and incrementally, cut off, killed and decided on, ends with the store equal to the directory."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar

import ldap3
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from sqlalchemy import text

from sync.run import perform
from sync.settings import Policy
from sync.store import runs, sources
from sync.store.lease import Progress
from sync.store.views import RunView
from tests.servers.cutter import Cutter
from tests.servers.slapd import Slapd
from tests.sync.test_with_slapd import connect
from tests.sync.world import World

UIDS = [f"p{n}" for n in range(5)]
ADDRESSES = [f"a{n}@corp.example" for n in range(5)]
LOCKED = "000001010000Z"
_RELAX = [("1.3.6.1.4.1.4203.666.5.12", True, None)]
"""Lets the administrator of the directory bring an entry back with its entryUUID, as from a backup."""

uids = st.sampled_from(UIDS)
modes = st.sampled_from(["full", "incremental"])
listed = st.lists(st.sampled_from(ADDRESSES), min_size=1, max_size=3, unique=True)


class Crash(BaseException):
    """The process dies here."""


class Histories(RuleBasedStateMachine):
    """`at` = where each living entry stands, `backup` = the last state of deleted ones."""

    server: ClassVar[Slapd]

    @initialize()
    def begin(self) -> None:
        self.folder = Path(tempfile.mkdtemp())
        self.world = World(self.folder)
        self.world.policies = (Policy("all"), Policy("ai", groups=(f"cn=ai,{self.server.groups}",)))
        self.cut_at: int | None = None
        self.forgot = False
        self.proxy = Cutter(self.server.port, self._mangle)
        connect(self.world, self.server, urls=(self.proxy.url,), read_timeout=5.0)
        self.world.guard(max_removed=1, max_removed_percent=0, max_disabled=2)
        self.at: dict[str, str] = {}
        self.backup: dict[str, dict[str, Any]] = {}
        self.owners: dict[str, str] = {}
        self._empty_the_tree()

    def teardown(self) -> None:
        if hasattr(self, "world"):
            self.finish()
            self.proxy.__exit__(None, None, None)
            self.world.store.close()
            shutil.rmtree(self.folder)

    # -- what people do to the directory --------------------------------------------------------------------------

    @rule(uid=uids, addresses=listed)
    def write_entry(self, uid: str, addresses: list[str]) -> None:
        if uid in self.at:
            self.server.modify(self.at[uid], mail=addresses)
        else:
            self.at[uid] = self.server.add_person(uid, mail=addresses)

    @rule(uid=uids)
    def rename(self, uid: str) -> None:
        if uid in self.at:
            new = "uid=other" if "uid=other" not in self.at[uid] else f"uid={uid}"
            with suppress(ldap3.core.exceptions.LDAPOperationResult):  # the name may be taken
                self.at[uid] = self.server.move(self.at[uid], rdn=f"{new}-{uid}")

    @rule(uid=uids)
    def move(self, uid: str) -> None:
        if uid in self.at:
            inside = self.at[uid].endswith(self.server.base)
            self.at[uid] = self.server.move(self.at[uid], self.server.former if inside else self.server.base)

    @rule(uid=uids, locked=st.booleans())
    def lock(self, uid: str, locked: bool) -> None:
        if uid in self.at:
            self.server.modify(self.at[uid], pwdAccountLockedTime=[LOCKED] if locked else [])

    @rule(uid=uids)
    def delete(self, uid: str) -> None:
        if uid in self.at:
            with self.server.connect() as connection:
                connection.search(self.at[uid], "(objectClass=*)", ldap3.BASE, attributes=["objectClass", "uid", "cn", "sn", "mail", "entryUUID"])
                self.backup[uid] = {name: values for name, values in connection.response[0]["raw_attributes"].items() if values}
            self.server.delete(self.at.pop(uid))

    @rule(uid=uids)
    def restore(self, uid: str) -> None:
        if uid in self.backup and uid not in self.at:
            entry = dict(self.backup.pop(uid))
            dn = f"uid={entry['uid'][0].decode()},{self.server.base}"
            with self.server.connect() as connection:
                connection.add(dn, attributes=entry, controls=_RELAX)
            self.at[uid] = dn

    @rule(chosen=st.lists(uids, unique=True))
    def change_group(self, chosen: list[str]) -> None:
        living = [self.at[uid] for uid in chosen if uid in self.at]
        self.server.modify(f"cn=ai,{self.server.groups}", member=[self.server.bind_dn, *living])

    @rule()
    def restart_the_server(self) -> None:
        """Its log of deletions is kept in memory."""
        self.server.restart()
        self.forgot = True

    # -- what rosterd and its admins do ---------------------------------------------------------------------------

    @rule(mode=modes)
    def sync(self, mode: str) -> None:
        self._sync(mode)

    @rule(uid=uids, addresses=listed, what=st.sampled_from(["write", "rename", "move", "lock", "delete", "restore", "join", "nothing"]))
    def follow(self, uid: str, addresses: list[str], what: str) -> None:
        """After an edit, incremental runs leave nothing for a full one to find, but for deletions that the server forgot."""
        self._sync("incremental")
        if what == "write":
            self.write_entry(uid, addresses)
        elif what == "lock":
            self.lock(uid, True)
        elif what == "join":
            self.change_group([uid])
        elif what != "nothing":
            getattr(self, what)(uid)
        self._sync("incremental")
        run = self._sync("incremental")  # an address that one of them gave up may bring somebody else their first key
        if (run.state, run.mode, run.counts.get("withheld")) == ("succeeded", "incremental", 0):
            again = runs.request(self.world.store, "corp", trigger="cli", requested_by="test", dry_run=True)
            ended = perform(self.world.setting(), again.id)
            counts = ended.counts if ended.state != "failed" else {}  # an empty answer is never believed
            kinds = {"added", "changed", "disabled", "enabled", "missing", "returned", "keys_issued", "keys_disabled"} - {"missing" * self.forgot}
            assert not {kind: counts[kind] for kind in kinds if counts.get(kind)}

    @rule(mode=modes, at=st.integers(0, 6000))
    def sync_cut_off(self, mode: str, at: int) -> None:
        before = self._dump()
        self.cut_at = at
        run = self._sync(mode)
        self.cut_at = None
        assert run.state != "failed" or self._dump() == before

    @rule(mode=modes, phase=st.sampled_from(["read", "plan", "evidence", "keys", "apply"]))
    def sync_killed(self, mode: str, phase: str) -> None:
        def die(progress: Progress) -> None:
            if progress.phase == phase:
                raise Crash

        before, setting = self._dump(), self.world.setting()
        run = runs.request(self.world.store, "corp", trigger="cli", requested_by="test", mode=mode)
        with suppress(Crash):
            perform(type(setting)(**{name: getattr(setting, name) for name in setting.__slots__} | {"progress": die}), run.id)
        assert self._dump() == before

    @rule(approve=st.booleans())
    def decide(self, approve: bool) -> None:
        hold = sources.get_source(self.world.store, "corp").open_hold
        if hold is not None:
            (runs.approve if approve else runs.discard)(self.world.store, hold.run, "cli:admin")
            self._sync("full")

    @rule(days=st.sampled_from([0.01, 1.5, 8]))
    def wait(self, days: float) -> None:
        self.world.clock.forward(days=days)

    # -- what must hold -------------------------------------------------------------------------------------------

    @invariant()
    def no_key_changes_hands(self) -> None:
        if hasattr(self, "world"):
            with self.world.store.read() as connection:
                for key, digest, owner in connection.execute(text("select id, digest, user_id from virtual_key")):
                    assert self.owners.setdefault(f"{key}{digest!r}", owner) == owner

    def finish(self) -> None:
        """With every hold approved the store says what the directory says: who is there, who is locked, who answers for which address."""
        if not any(dn.endswith(self.server.base) for dn in self.at.values()):
            return  # an empty answer is never believed
        for _ in range(12):  # eighteen days: whoever left is removed, every quarantine has ended
            self.world.clock.forward(days=1.5)
            hold = sources.get_source(self.world.store, "corp").open_hold
            if hold is not None:
                runs.approve(self.world.store, hold.run, "cli:admin")  # valid for a day
            assert self._sync("full").state in ("succeeded", "held")
        with self.world.store.read() as connection:
            if connection.execute(text("select 1 from hold where state = 'discarded'")).first():
                return  # an admin wants somebody kept whom the directory does not have
            kept = {row[0]: (row[1], row[2]) for row in connection.execute(text('select external_id, state, place from "user"'))}
        there = self._entries()
        assert {one: kept[one][0] for one in there} == {one: "disabled" if facts["locked"] else "active" for one, facts in there.items()}
        assert {one: facts for one, facts in kept.items() if one not in there and facts[0] not in ("missing", "removed")} == {}, self._why()
        for address in ADDRESSES:
            claiming = [one for one, facts in there.items() if address in facts["mail"]]
            if len(claiming) == 1:
                found = self.world.lookup(address)
                assert (found.outcome, self._id_of(found.user_id)) == ("found", claiming[0])

    # -- how ------------------------------------------------------------------------------------------------------

    def _mangle(self, sent: int, chunk: bytes) -> tuple[bytes, bool]:
        if self.cut_at is None or sent + len(chunk) <= self.cut_at:
            return chunk, True
        return chunk[: max(0, self.cut_at - sent)], False

    def _sync(self, mode: str) -> RunView:
        run = runs.request(self.world.store, "corp", trigger="cli", requested_by="test", mode=mode)
        ended = perform(self.world.setting(), run.id)
        if (ended.state, ended.mode) == ("succeeded", "full"):
            self.forgot = False
        return ended

    def _entries(self) -> dict[str, dict[str, Any]]:
        with self.server.connect() as connection:
            connection.search(self.server.base, "(objectClass=inetOrgPerson)", attributes=["entryUUID", "mail", "pwdAccountLockedTime"])
            found = [one["raw_attributes"] for one in connection.response]
        return {
            one["entryUUID"][0].decode(): {"mail": {value.decode() for value in one["mail"]}, "locked": bool(one["pwdAccountLockedTime"])}
            for one in found
        }

    def _why(self) -> list[object]:
        """Return what the last run said of whom, for whoever reads a failure."""
        last = runs.list_runs(self.world.store, limit=3)[0]
        return [
            (run.mode, run.mode_reason, run.state, [(c.kind, c.external_id, c.reason, c.evidence) for c in self.world.changes(run)]) for run in last
        ]

    def _id_of(self, user_id: str) -> str:
        with self.world.store.read() as connection:
            return str(connection.execute(text('select external_id from "user" where id = :id'), {"id": user_id}).scalar_one())

    def _dump(self) -> list[object]:
        with self.world.store.read() as connection:
            tables = ("user", "claim", "virtual_key", "membership", "loss")
            rows = [connection.execute(text(f'select * from "{table}" order by 1, 2')).all() for table in tables]
            return [*rows, connection.execute(text("select cursor from source")).all()]

    def _empty_the_tree(self) -> None:
        with self.server.connect() as connection:
            for place in (self.server.base, self.server.former, self.server.groups):
                connection.search(place, "(!(objectClass=organizationalUnit))", attributes=["1.1"])
                for one in list(connection.response):
                    connection.delete(one["dn"])
        self.server.add_group("ai", [self.server.bind_dn])


@pytest.fixture(scope="module", autouse=True)
def server(slapd_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Start one slapd for all histories; each begins with an empty tree."""
    with Slapd(tmp_path_factory.mktemp("histories")).prepare(slapd_template).start() as slapd:
        Histories.server = slapd
        yield


@pytest.fixture(autouse=True)
def small_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    """Five people would all be looked at every time."""
    monkeypatch.setattr("sync.intake.SAMPLE", 0)


TestHistories = pytest.mark.filterwarnings("ignore::hypothesis.errors.NonInteractiveExampleWarning")(Histories.TestCase)
Histories.TestCase.settings = settings(
    max_examples=12,
    stateful_step_count=30,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
