"""The Debian package on a clean machine: what it makes, what it says, and what remains of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.servers.slapd import Slapd
from tests.systemd.conftest import install
from tests.systemd.directory import PEOPLE, await_sync, configure, look_up, new_token, start_directory
from tests.systemd.machine import Machine


@pytest.fixture(scope="module")
def machine(boot: Callable[[], Machine]) -> Machine:
    """Return the machine on which the tests of this module follow each other, as they stand here."""
    return boot()


def test_it_makes_everything_and_waits_to_be_told_what_to_read(machine: Machine, package: Path) -> None:
    """User, folders, secrets, configuration and store are there with their modes; it is enabled, not started, and says what is next."""
    said = install(machine, package)
    assert "/etc/rosterd/ldap.password" in said and "systemctl start rosterd" in said
    listed = machine.say("stat", "-c", "%A %U:%G %n", "/etc/rosterd", "/var/lib/rosterd", *(f"/etc/rosterd/{name}" for name in SECRETS))
    assert listed.splitlines() == [
        "drwxr-x--- root:rosterd /etc/rosterd",
        "drwx------ rosterd:rosterd /var/lib/rosterd",
        "-rw-r----- root:rosterd /etc/rosterd/config.toml",
        "-rw------- rosterd:rosterd /etc/rosterd/jwt.secret",
        "-rw------- rosterd:rosterd /etc/rosterd/vault.keys",
    ]
    assert machine.say("stat", "-c", "%A %U:%G", "/var/lib/rosterd/rosterd.db") == "-rw------- rosterd:rosterd"
    assert machine.say("systemctl", "is-enabled", "rosterd") == "enabled"
    assert machine.run("systemctl", "is-active", "rosterd", status=3).stdout.strip() == "inactive"


SECRETS = ("config.toml", "jwt.secret", "vault.keys")


def test_nothing_in_the_package_is_compiled_for_another_python(machine: Machine) -> None:
    """The environment is that of the distribution's Python, everything in it can be imported, and dpkg finds every file as it was packed."""
    program = "import sys, cryptography.fernet, litestar, faker; faker.Faker().name(); print(sys.prefix, sys.base_prefix)"
    assert machine.say("/usr/lib/rosterd/bin/python3", "-I", "-c", program) == "/usr/lib/rosterd /usr"
    assert machine.say("dpkg", "--verify", "rosterd") == ""
    assert machine.say("rosterd", "--version") == f"rosterd {machine.say('dpkg-query', '-W', '-f=${Version}', 'rosterd').split('-')[0]}"


def test_systemd_agrees_inside_too(machine: Machine) -> None:
    """`systemd-analyze` on the machine finds no fault with the units, and an exposure of at most 1.2."""
    assert machine.run("systemd-analyze", "verify", "rosterd.service", "rosterd.socket").stderr == ""
    machine.run("systemd-analyze", "security", "--no-pager", "--threshold=12", "rosterd.service")


def test_configured_and_started_it_syncs_and_answers(machine: Machine, tmp_path: Path) -> None:
    """With a directory described and a password in place, `check` is content, and whoever is in the directory has a key."""
    start_directory(machine, tmp_path / "directory")
    configure(machine)
    machine.run("rosterd", "check")
    machine.run("systemctl", "start", "rosterd")
    await_sync(machine)
    key = look_up(machine, new_token(machine))
    assert key["is_active"] and key["value"].startswith("sk-bf-")


def test_an_installed_configuration_is_never_touched(machine: Machine, package: Path) -> None:
    """The same package again replaces no file of /etc/rosterd, and what ran runs again."""
    files = [f"/etc/rosterd/{name}" for name in (*SECRETS, "ldap.password")]
    before = machine.say("sha256sum", *files)
    machine.run("apt-get", "install", "-y", "-q", "--reinstall", f"/srv/{package.name}")
    assert machine.say("sha256sum", *files) == before
    assert machine.say("systemctl", "is-active", "rosterd") == "active"


def test_removing_keeps_what_is_ours(machine: Machine, package: Path) -> None:
    """After `remove` configuration, secrets and store are all there, and nothing else; installed again it goes on by itself."""
    machine.run("apt-get", "remove", "-y", "-q", "rosterd")
    assert not machine.path("/usr/bin/rosterd").is_symlink() and not machine.path("/usr/lib/rosterd").exists()
    assert machine.show("rosterd", "ActiveState") == "inactive"
    assert all(machine.path(f"/etc/rosterd/{name}").exists() for name in SECRETS)
    install(machine, package)
    assert machine.say("systemctl", "is-active", "rosterd") == "active"
    assert len(machine.say("rosterd", "users", "--json").split('"external_id"')) - 1 == PEOPLE


def test_purging_leaves_nothing_behind(machine: Machine) -> None:
    """After `purge` neither secrets nor store nor unit are there; the user stays, so that its number goes to nobody else."""
    machine.run("apt-get", "purge", "-y", "-q", "rosterd")
    left = machine.say(
        "find", "/etc", "/var/lib", "/usr", "/run", "-name", "*rosterd*", "-not", "-path", "/run/systemd/*", "-not", "-path", "/proc/*"
    )
    assert left == ""
    assert machine.run("systemctl", "cat", "rosterd", status=None).returncode != 0
    assert machine.say("id", "-un", "rosterd") == "rosterd"
    assert Slapd.password not in machine.say("journalctl", "--no-pager")
