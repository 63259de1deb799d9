"""A backup that is put back brings nothing to life that ended since, answers nobody before everything has been read, and is never half in place."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from api.audit import AuditLog
from api.auth.tokens import Order, issue_token
from api.settings import ApiSettings
from daemon.commands.restoring import Restored, interrupted, restore
from daemon.config import load
from daemon.relay import refuse_older, relay
from sync.errors import RosterError, StoreUnavailable
from sync.settings import Policy, Secret, StoreSettings
from sync.store import forgetting, keychanges, nodes, people, restoring, runs, sources, tokens
from sync.store.backup import backup
from sync.store.engine import open_store
from tests.daemon.commands.place import Place
from tests.servers.ports import free_port
from tests.sync.provider import Provider
from tests.sync.world import World

pytestmark = pytest.mark.sqlite  # `rosterd store backup` and `restore` are for the file

SETTINGS = ApiSettings("rosterd", "rosterd", (Secret("s" * 48),))
ANN = keychanges.Stamp("cli:ann")
OFF, ON = keychanges.Wanted(is_active=False), keychanges.Wanted(is_active=True)


class Company:
    """A world whose store lies where a configuration says, with an audit file that is told everything."""

    def __init__(self, folder: Path) -> None:
        self.place = Place(folder, "ldap://127.0.0.1:1")
        self.world = World(folder)
        (folder / "vault.keys").write_text(self.world.key_line)
        self.backup = folder / "backup.db"
        self.audit = folder / "audit.jsonl"

    def key(self, number: int) -> str:
        return people.find_user(self.world.store, f"p{number}@corp.example").virtual_keys[0].id

    def user(self, number: int) -> str:
        return people.find_user(self.world.store, f"p{number}@corp.example").id

    def tell(self) -> None:
        audit = AuditLog(self.audit, 86_400)
        relay(self.world.store, audit)
        audit.close()

    def restore(self, *, dry_run: bool = False, in_place: bool = False) -> Restored:
        self.world.store.close()
        done = restore(load(self.place.config), None if in_place else self.backup, dry_run=dry_run)
        self.world.store = open_store(self.world.settings_of_store, clock=self.world.clock)
        return done

    def turn_back(self) -> None:
        """Put the backup in place by hand, as somebody does who has not read the page."""
        self.world.store.close()
        for suffix in ("-wal", "-shm"):
            self.world.path.with_name(self.world.path.name + suffix).unlink(missing_ok=True)
        shutil.copy(self.backup, self.world.path)
        self.world.store = open_store(self.world.settings_of_store, clock=self.world.clock)


@pytest.fixture
def company(tmp_path: Path) -> Iterator[Company]:
    company = Company(tmp_path)
    company.world.people(9)
    company.world.sync()
    backup(StoreSettings(f"sqlite:///{company.world.path}"), company.backup)
    yield company
    company.world.store.close()


def test_what_ended_since_stays_ended(company: Company) -> None:
    """Blocks, switched off, rotated, deleted and ended keys, revoked tokens, leavers and the erased: each is taken away again, and told."""
    world = company.world
    jti = tokens.list_tokens(world.store)
    assert not jti
    company.backup.unlink()
    bearer = issue_token(world.store, SETTINGS, Order(role="admin", ttl=3600, by="cli:ann"))[1]
    backup(StoreSettings(f"sqlite:///{world.path}"), company.backup)
    keys = {number: company.key(number) for number in range(9)}
    values = {number: world.keys(f"p{number}@corp.example") for number in range(9)}
    people.block(world.store, company.user(0), "cli:ann")
    people.block(world.store, company.user(1), "cli:ann")
    people.unblock(world.store, company.user(1), "cli:ann")
    keychanges.change(world.store, keys[1], OFF, ANN)
    keychanges.change(world.store, keys[2], OFF, ANN)
    keychanges.change(world.store, keys[2], ON, ANN)
    keychanges.rotate(world.store, world.vault, keys[3], ANN)
    keychanges.delete(world.store, keys[4], ANN)
    keychanges.change(world.store, keys[5], keychanges.Wanted(expires_at=world.clock.now + 1000), ANN)
    tokens.revoke(world.store, bearer.jti, "cli:ann")
    world.directory.people.pop("id-p6")
    world.directory.people.pop("id-p7")
    world.sync()
    erased = company.user(7)
    forgetting.erase(world.store, erased, "cli:ann")
    keychanges.issue(world.store, world.vault, company.user(8), name="laptop", by="cli:ann")

    preview = company.restore(dry_run=True)
    assert len(company.world.keys("p8@corp.example")) == 2, "a dry run changes nothing"
    done = company.restore()
    world = company.world
    assert {(one.told.action, one.told.event) for one in done.taken} == {(one.told.action, one.told.event) for one in preview.taken}
    assert (done.unknown, [one.action for one in done.given], done.waiting) == (0, ["key.issued"], ["corp"])
    assert not any(active for _, active in world.keys("p0@corp.example"))
    assert [active for _, active in world.keys("p1@corp.example")] == [False]
    assert not people.get_user(world.store, company.user(1)).blocked
    assert world.keys("p2@corp.example") == values[2]
    ((rotated, active),) = world.keys("p3@corp.example")
    assert (active, rotated != values[3][0][0], company.key(3)) == (True, True, keys[3])
    assert world.keys("p4@corp.example") == []
    assert people.find_user(world.store, "p5@corp.example").virtual_keys[0].expires_at is not None
    assert tokens.get_token(world.store, bearer.jti).revoked_at
    assert not any(active for _, active in world.keys("p6@corp.example"))
    assert people.get_user(world.store, erased).username == ""
    assert done.kept is not None and Path(done.kept).stat().st_mode & 0o777 == 0o600 == world.path.stat().st_mode & 0o777

    refuse_older(world.store, company.audit)
    assert restoring.unconfirmed(world.store) == ["corp"]
    assert sources.get_source(world.store, "corp").restored_at
    assert world.sync(mode="incremental").mode == "full"
    assert restoring.unconfirmed(world.store) == []
    assert people.find_user(world.store, "p6@corp.example").state == "missing"
    company.tell()
    assert "store.restored" in company.audit.read_text()
    refuse_older(world.store, company.audit)


def test_what_was_pushed_since_stays_ended(company: Company) -> None:
    """Nobody can be asked about whom a provider had pushed: who was deactivated, deleted or taken out of a group since is so after the restore, after
    the run over everything too, and after a push about somebody else."""
    world = company.world
    world.policies = [Policy("ai", ("ai",), ("okta",))]
    okta = Provider(world)
    ids = {name: okta.post(name, f"{name}@corp.example") for name in ("off", "gone", "left", "here")}
    group = okta.group("ai", *ids.values())
    company.backup.unlink()
    backup(StoreSettings(f"sqlite:///{world.path}"), company.backup)
    okta.patch(ids["off"], active=False)
    okta.delete(ids["gone"])
    okta.leave(group, ids["left"])

    def working() -> set[str]:
        return {name for name in ids if any(is_active for _, is_active in world.keys(f"{name}@corp.example"))}

    assert working() == {"here"}
    company.tell()
    company.restore()
    world.declare()
    assert world.sync("okta").state == "succeeded"
    assert working() == {"here"}
    okta.patch(ids["here"], title="x")
    assert okta.resources() == {ids["off"]: False, ids["left"]: True, ids["here"]: True}
    assert working() == {"here"}
    okta.patch(ids["off"], active=True)
    assert working() == {"here", "off"}


def test_a_held_read_confirms_nothing(company: Company) -> None:
    """Leavers whom the audit file cannot name are held by the guard, and stay unanswered until a human has decided."""
    world = company.world
    company.restore()
    world.guard(max_removed=1, max_removed_percent=0)
    for number in range(4):
        world.directory.people.pop(f"id-p{number}")
    run = world.sync(expect="held")
    assert restoring.unconfirmed(world.store) == ["corp"]
    runs.approve(world.store, run.id, "cli:ann")
    assert world.sync().state == "succeeded"
    assert restoring.unconfirmed(world.store) == []


def test_a_store_older_than_its_audit_file_is_refused(company: Company) -> None:
    """Provably older: the audit file tells of changes that the store never made. A lost or torn one, or another store's, proves nothing."""
    world = company.world
    refuse_older(world.store, company.audit)
    company.tell()
    refuse_older(world.store, company.audit)
    people.block(world.store, company.user(0), "cli:ann")
    company.tell()
    refuse_older(world.store, company.audit)  # told, and forgotten by the store
    company.turn_back()
    with pytest.raises(StoreUnavailable, match="--in-place"):
        refuse_older(company.world.store, company.audit)
    company.place.configure(f"[http]\nport = {free_port()}")
    refused = company.place.run("serve", status=5)
    assert "the audit file" in refused.err.lower() or "its audit file" in refused.err
    assert "restore --in-place" in company.place.run("check", "--offline", status=None).out
    whole = company.audit.read_bytes()
    for told in (b"", b'{"time":"torn","kind":"change","store":"x","event":9', whole.replace(b'"store":"', b'"store":"other')):
        company.audit.write_bytes(told)
        refuse_older(company.world.store, company.audit)
    company.audit.write_bytes(whole + b'{"kind":"lookup"}\n' * 100_000)
    done = company.restore(in_place=True)
    assert [(one.told.action, one.outcome) for one in done.taken] == [("user.blocked", "blocked")]
    refuse_older(company.world.store, company.audit)


def test_records_that_are_gone_are_counted(company: Company) -> None:
    """What the audit file has forgotten cannot be taken away again, and that is said."""
    for number in range(3):
        people.block(company.world.store, company.user(number), "cli:ann")
    company.tell()
    first, *rest = [line for line in company.audit.read_text().splitlines(keepends=True) if "user.blocked" in line]
    company.audit.write_text(company.audit.read_text().replace(first, ""))
    done = company.restore()
    assert (done.unknown, len(done.taken)) == (1, len(rest))
    company.world.store.close()
    company.audit.unlink()
    assert "what was taken away since is not known" in company.place.run("store", "restore", "--in-place").err


def test_what_is_no_backup_is_refused(company: Company, tmp_path: Path) -> None:
    """Another file, a damaged one, one of a newer version; while a daemon lives on the store, or a command has it open. Nothing changes."""
    company.world.store.close()
    config, good = load(company.place.config), company.backup.read_bytes()
    before = company.world.path.read_bytes()

    def refused(code: str) -> None:
        with pytest.raises(RosterError) as error:
            restore(config, company.backup, dry_run=False)
        assert error.value.code == code
        assert not interrupted(config)

    company.backup.write_text("no database at all")
    refused("restore_failed")
    company.backup.write_bytes(good[: len(good) // 2])
    refused("restore_failed")
    company.backup.write_bytes(good)
    script = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.execute(sys.argv[2]); c.commit()"
    subprocess.run([sys.executable, "-c", script, company.backup, "update alembic_version set version_num = '9999'"], check=True)
    refused("store_too_new")
    company.backup.write_bytes(good)
    store = open_store(config.store)
    store.query("select 1 from source", {})
    refused("store_in_use")
    store.close()
    nodes.announce(store, "elsewhere/1", ())
    refused("store_in_use")
    nodes.leave(store, "elsewhere/1")
    store.close()
    assert len(company.world.path.read_bytes()) == len(before)
    company.world.path.write_bytes(b"what a broken disk left" * 1000)
    company.world.path.with_name("rosterd.db-wal").write_bytes(b"a journal of the broken file")
    done = restore(config, company.backup, dry_run=False)
    assert done.kept is not None and Path(done.kept).read_bytes().startswith(b"what a broken disk left")
    company.world.store = open_store(company.world.settings_of_store, clock=company.world.clock)
    assert company.world.lookup("p0@corp.example").outcome == "found"


KILLED = """
import os, signal, sys
from pathlib import Path
from daemon.commands import restoring
from daemon.config import load
from sync.store import replaying, swapping

def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)

point = sys.argv[3]
if point == "replay":
    replaying.replay = die
elif point == "rename":
    os.link = die
else:
    swapping._sync = lambda path: die() if path.is_dir() else None
restoring.restore(load(Path(sys.argv[1])), Path(sys.argv[2]), dry_run=False)
"""


@pytest.mark.parametrize(("point", "blocked"), [("replay", False), ("rename", False), ("after", True)])
def test_killed_at_any_moment_one_whole_store_is_there(company: Company, point: str, blocked: bool) -> None:
    """SIGKILL leaves the old store, which says that a restore was interrupted, or the new one, which waits to be read."""
    world = company.world
    people.block(world.store, company.user(0), "cli:ann")
    company.tell()
    people.unblock(world.store, company.user(0), "cli:ann")
    people.block(world.store, company.user(1), "cli:ann")  # not told yet: the restore sees to that
    world.directory.people.pop("id-p8")
    world.store.close()
    environment = company.place.environment()
    ended = subprocess.run([sys.executable, "-c", KILLED, company.place.config, company.backup, point], env=environment, timeout=60)
    assert ended.returncode == -9
    config = load(company.place.config)
    store = open_store(config.store)
    assert people.find_user(store, "p1@corp.example").blocked
    assert bool(restoring.unconfirmed(store)) == blocked
    assert interrupted(config) != blocked
    store.close()
    if not blocked:
        assert "interrupted" in company.place.run("status").out
    assert restore(config, company.backup, dry_run=False).waiting == ["corp"]
    assert not interrupted(config)


def test_the_command_tells_what_it_does(company: Company) -> None:
    """The report names each person and key, where the old store is, and what is to be done next."""
    people.block(company.world.store, company.user(0), "cli:ann")
    company.world.store.close()
    done = company.place.run("store", "restore", str(company.backup))
    assert "user.blocked  p0@corp.example  by cli:ann: blocked" in done.out
    assert "rosterd sync corp --full" in done.out
    assert "503" in company.place.run("status").out
    company.place.run("store", "restore", status=2)
    company.place.run("store", "restore", "--in-place", str(company.backup), status=2)
    assert os.access(company.world.path, os.R_OK)
