"""The package with its store in a PostgreSQL: run in the sandbox, copied before an upgrade, and brought back to the older version."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

from daemon.version import VERSION
from sync.store.migrations import VERSIONS
from tests.systemd.conftest import NEWER, ONE_MORE, ROOT, install
from tests.systemd.directory import ASK, await_sync, configure, look_up, new_token, start_directory
from tests.systemd.machine import Machine, wait_for
from tests.systemd.test_upgrading import BLOCKED, copies, version

PASSWORD = "p g:secret\\41"
STORE = """
[store]
url = "postgresql+psycopg://rosterd@127.0.0.1/rosterd"
password_file = "store.password"
[audit]
file = "/var/lib/rosterd/audit.jsonl"
"""


def sql(machine: Machine, statement: str, database: str = "rosterd") -> str:
    """Return what a statement of the superuser answers."""
    return machine.say("runuser", "-u", "postgres", "--", "psql", "-d", database, "-tAc", statement)


def schema(machine: Machine) -> str:
    """Return the version of the tables."""
    return sql(machine, "select version_num from alembic_version")


@pytest.fixture(scope="module")
def machine(boot: Callable[[], Machine], package: Path, newer: Path, tmp_path_factory: pytest.TempPathFactory) -> Machine:
    """Return a machine on which this version has synced into a database, with the newer one beside it; the tests follow each other on it."""
    machine = boot()
    start_directory(machine, tmp_path_factory.mktemp("ldap") / "directory")
    machine.run("pg_createcluster", "15", "main", "--start")
    sql(machine, f"create role rosterd login password '{PASSWORD}'", "postgres")
    sql(machine, "create database rosterd owner rosterd encoding 'UTF8' template template0", "postgres")
    install(machine, package)
    machine.put(newer, "/srv")
    configure(machine, STORE)
    machine.run("install", "-m", "0640", "-g", "rosterd", "/dev/null", "/etc/rosterd/store.password")
    machine.write("/etc/rosterd/store.password", PASSWORD + "\n")
    machine.run("rosterd", "check")
    machine.run("systemctl", "start", "rosterd")
    await_sync(machine)
    return machine


def test_without_pg_dump_nothing_is_upgraded(machine: Machine, newer: Path) -> None:
    """Where nothing can copy the database, the upgrade stops before a file is replaced, says what is missing, and what ran runs again."""
    machine.run("mv", "/usr/bin/pg_dump", "/usr/bin/pg_dump.away")
    done = machine.run("apt-get", "install", "-y", "-q", f"/srv/{newer.name}", status=100)
    machine.run("mv", "/usr/bin/pg_dump.away", "/usr/bin/pg_dump")
    said = done.stdout + done.stderr
    assert "there is no pg_dump on this machine" in said and "postgresql-client" in said and "ROSTERD_UPGRADE=without-copy" in said
    assert version(machine) == VERSION and schema(machine) == VERSIONS[-1] and copies(machine) == []
    assert look_up(machine, new_token(machine))["is_active"]


def test_a_copy_is_made_before_the_database_is_migrated(machine: Machine, newer: Path) -> None:
    """The copy is what pg_dump makes, readable by rosterd alone; the database gets the new tables, people and keys are who and what they were."""
    token = new_token(machine)
    key = look_up(machine, token)
    said = install(machine, newer)
    (copy,) = copies(machine)
    assert f"the store was copied to {copy}" in said and PASSWORD not in said
    assert machine.say("stat", "-c", "%A %U", copy) == "-rw------- rosterd"
    assert "TABLE DATA public virtual_key rosterd" in machine.say("pg_restore", "--list", copy)
    assert version(machine) == NEWER and schema(machine) == ONE_MORE
    assert look_up(machine, token) == key


def test_with_the_copy_the_way_back_is_open(machine: Machine, package: Path) -> None:
    """As docs/upgrading.md and docs/postgresql.md say it: the older version, a new database from the copy, and who was blocked since still is."""
    token = new_token(machine)
    key, (copy,) = look_up(machine, token), copies(machine)
    machine.run("rosterd", "users", "block", BLOCKED)
    page = (ROOT / "docs/postgresql.md").read_text().replace("db.example.com", "127.0.0.1").replace("/var/lib/rosterd/rosterd.dump", copy)
    steps = page[page.index("    systemctl stop rosterd ") : page.index("- An older dump alone")].splitlines()
    for step in (shlex.split(step, comments=True) for step in steps if step):
        as_admin = ["runuser", "-u", "postgres", "--"] if step[0] == "psql" else []
        said = machine.say(*as_admin, *step, PGPASSWORD=PASSWORD)
        if step[:2] == ["rosterd", "audit"]:
            machine.run("apt-get", "install", "-y", "-q", "--allow-downgrades", f"/srv/{package.name}", ROSTERD_UPGRADE="without-copy")
        assert step[:3] != ["rosterd", "store", "restore"] or BLOCKED in said
    wait_for(lambda: machine.run("python3", "-c", ASK, "/health/ready", "", status=None).returncode == 0, "the first full read")
    assert version(machine) == VERSION and schema(machine) == VERSIONS[-1]
    assert look_up(machine, new_token(machine)) == key
    assert not look_up(machine, new_token(machine), BLOCKED)["is_active"]
