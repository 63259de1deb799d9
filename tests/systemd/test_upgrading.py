"""From this version to a newer one and back, with data: a copy first, then the migration, then the same answers as ever."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from daemon.version import VERSION
from sync.store.migrations import VERSIONS
from tests.systemd.conftest import NEWER, ONE_MORE, install
from tests.systemd.directory import ASK, Load, await_sync, configure, look_up, new_token, start_directory
from tests.systemd.machine import Machine, wait_for

AGE = """
import os, sqlite3
from alembic import command
from sqlalchemy import create_engine
from sync.store.migrations import configuration
os.chdir("/var/lib/rosterd")
with create_engine("sqlite:///old.db").begin() as connection:
    command.upgrade(configuration(connection), "0001")
with sqlite3.connect("old.db") as old:
    old.execute("attach 'rosterd.db' as now")
    columns = lambda where, table: {row[1] for row in old.execute(f'pragma {where}.table_info("{table}")')}
    for (table,) in old.execute("select name from main.sqlite_master where type = 'table' and name not like 'sqlite_%'").fetchall():
        if table != "alembic_version":
            kept = ", ".join(sorted(f'"{name}"' for name in columns("main", table) & columns("now", table)))
            old.execute(f'delete from main."{table}"')
            old.execute(f'insert into main."{table}" ({kept}) select {kept} from now."{table}"')
    old.execute("delete from meta where name = 'store'")  # the store's own name, which a migration gives it
os.rename("old.db", "rosterd.db")
for rest in ("rosterd.db-wal", "rosterd.db-shm"):
    if os.path.exists(rest):
        os.unlink(rest)
"""
"""For the package's Python: in the place of the store it puts one with the tables of the very first version, with the same data."""

STORE = "/var/lib/rosterd/rosterd.db"
STAND_IN = "/run/systemd/system/rosterd.service.d/zz-stand-in.conf"
BLOCKED = "u000008@example.com"


def schema(machine: Machine, file: str) -> str:
    """Return the version of the tables of a store's file."""
    program = f"import sqlite3; print(sqlite3.connect('{file}').execute('select version_num from alembic_version').fetchone()[0])"
    return machine.say("runuser", "-u", "rosterd", "--", "python3", "-c", program)


def version(machine: Machine) -> str:
    """Return the version of the installed package, without Debian's own part."""
    return machine.say("dpkg-query", "-W", "-f=${Version}", "rosterd").split("-")[0]


def copies(machine: Machine) -> list[str]:
    """Return the copies that upgrades have made, oldest first."""
    return sorted(machine.say("find", "/var/lib/rosterd", "-name", "before-upgrade-*").splitlines())


@pytest.fixture(scope="module")
def machine(boot: Callable[[], Machine], package: Path, newer: Path, tmp_path_factory: pytest.TempPathFactory) -> Machine:
    """Return a machine on which this version has synced, and to which the newer one was carried; the tests follow each other on it."""
    machine = boot()
    start_directory(machine, tmp_path_factory.mktemp("ldap") / "directory")
    install(machine, package)
    machine.put(newer, "/srv")
    configure(machine)
    machine.run("systemctl", "start", "rosterd")
    await_sync(machine)
    return machine


def test_without_a_copy_nothing_is_upgraded(machine: Machine, newer: Path) -> None:
    """A store that cannot be copied stops the upgrade before a file is replaced, and what ran runs again."""
    machine.run("chmod", "0500", "/var/lib/rosterd")
    before = machine.show("rosterd", "MainPID")
    done = machine.run("apt-get", "install", "-y", "-q", f"/srv/{newer.name}", status=100)
    assert "could not be copied before the upgrade" in done.stdout + done.stderr
    assert version(machine) == VERSION == machine.say("rosterd", "--version").split()[1]
    assert machine.show("rosterd", "ActiveState") == "active" and machine.show("rosterd", "MainPID") != before
    assert copies(machine) == []


def test_a_copy_is_made_before_the_store_is_migrated(machine: Machine, newer: Path) -> None:
    """The copy keeps the tables of before, the store gets the new ones, people and keys are who and what they were."""
    token = new_token(machine)
    key = look_up(machine, token)
    said = install(machine, newer)
    (copy,) = copies(machine)
    assert f"the store was copied to {copy}" in said
    assert machine.say("stat", "-c", "%A %U", copy) == "-rw------- rosterd"
    assert (schema(machine, copy), schema(machine, STORE)) == (VERSIONS[-1], ONE_MORE)
    assert machine.say("rosterd", "--version").split()[1] == version(machine) == NEWER
    assert look_up(machine, token) == key
    machine.run("rosterd", "sync", "--full")
    assert look_up(machine, token) == key


def test_with_the_copy_the_way_back_is_open(machine: Machine, package: Path) -> None:
    """As docs/upgrading.md says it: the older version refuses the newer store, and restores the copy without giving back what admins took since."""
    token = new_token(machine)
    key, (copy,) = look_up(machine, token), copies(machine)
    machine.run("rosterd", "users", "block", BLOCKED)
    machine.run("systemctl", "stop", "rosterd", "rosterd.socket")
    refused = machine.run("apt-get", "install", "-y", "-q", "--allow-downgrades", f"/srv/{package.name}")
    assert version(machine) == VERSION and f"The store is at version {ONE_MORE}" in refused.stdout + refused.stderr
    assert machine.show("rosterd", "ActiveState") == "inactive" and schema(machine, STORE) == ONE_MORE
    said = machine.say("rosterd", "store", "restore", copy)
    assert BLOCKED in said and "rosterd sync corp --full" in said
    machine.run("systemctl", "start", "rosterd")
    wait_for(lambda: machine.run("python3", "-c", ASK, "/health/ready", "", status=None).returncode == 0, "the first full read")
    token = new_token(machine)
    assert look_up(machine, token) == key
    assert not look_up(machine, token, BLOCKED)["is_active"]


def test_whoever_asks_during_an_upgrade_waits(machine: Machine, newer: Path) -> None:
    """With rosterd.socket a lookup in the middle of an upgrade is answered late, not refused, and never by half of two versions."""
    machine.run("systemctl", "stop", "rosterd")
    machine.run("systemctl", "enable", "--now", "rosterd.socket")
    machine.run("systemctl", "start", "rosterd")
    with Load(machine, new_token(machine)) as load:
        install(machine, newer)
    assert version(machine) == NEWER and machine.show("rosterd", "ActiveState") == "active"
    assert list(load.said) == ["200"], load
    assert not machine.path(STAND_IN).exists() and machine.show("rosterd", "NeedDaemonReload") == "no"
    print(load)


def test_the_very_first_tables_are_migrated_too(machine: Machine) -> None:
    """A store with the tables of the first version of all, and today's data, is migrated when the service starts; keys are what they were."""
    token = new_token(machine)
    key = look_up(machine, token)
    machine.run("systemctl", "stop", "rosterd.socket", "rosterd")
    machine.run("runuser", "-u", "rosterd", "--", "/usr/lib/rosterd/bin/python3", "-I", "-c", AGE)
    assert schema(machine, STORE) == "0001"
    machine.run("systemctl", "start", "rosterd")
    assert schema(machine, STORE) == ONE_MORE
    assert look_up(machine, token) == key


def test_what_was_stopped_stays_stopped(machine: Machine, newer: Path) -> None:
    """Who has disabled the service is not surprised by an upgrade that starts it."""
    machine.run("systemctl", "disable", "--now", "rosterd.socket", "rosterd")
    machine.run("apt-get", "install", "-y", "-q", "--reinstall", f"/srv/{newer.name}")
    assert machine.run("systemctl", "is-active", "rosterd", status=3).stdout.strip() == "inactive"
    assert machine.run("systemctl", "is-enabled", "rosterd", status=1).stdout.strip() == "disabled"
