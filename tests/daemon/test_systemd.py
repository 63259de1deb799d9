"""The unit and its companions, as systemd itself reads them; and what we say to it, heard on a real socket."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

import pytest

from daemon import systemd

UNITS = Path(__file__).parents[2] / "systemd"
UNIT = UNITS / "rosterd.service"


def installed(folder: Path) -> Path:
    """Return a copy of the unit whose programs exist on this machine."""
    copy = folder / UNIT.name
    copy.write_text(UNIT.read_text().replace("/usr/bin/rosterd", sys.executable))
    (folder / "rosterd.socket").write_text((UNITS / "rosterd.socket").read_text())
    return copy


def test_systemd_accepts_the_units(tmp_path: Path) -> None:
    """`systemd-analyze verify` finds nothing to say about the unit and its socket: no unknown key, no bad value."""
    unit = installed(tmp_path)
    said = subprocess.run(["systemd-analyze", "verify", unit, tmp_path / "rosterd.socket"], capture_output=True, text=True)
    assert (said.returncode, said.stdout, said.stderr) == (0, "", "")


def test_the_sandbox_is_tight() -> None:
    """The exposure that systemd computes is at most 1.2 of 10."""
    said = subprocess.run(["systemd-analyze", "security", "--offline=yes", "--no-pager", "--threshold=12", UNIT], capture_output=True, text=True)
    assert said.returncode == 0, said.stdout


def test_the_promises_of_the_unit() -> None:
    """It notifies, reloads on SIGHUP, is watched, runs as the static user, keeps its state private, never runs written memory,
    lets syncs give way, and outlives one that the kernel ends."""
    lines = set(UNIT.read_text().splitlines())
    assert {
        "Type=notify",
        "ExecReload=/bin/kill -HUP $MAINPID",
        "User=rosterd",
        "StateDirectory=rosterd",
        "StateDirectoryMode=0700",
        "UMask=0077",
        "MemoryDenyWriteExecute=yes",
        "NoNewPrivileges=yes",
        "CapabilityBoundingSet=",
        "ProtectSystem=strict",
        "RestartPreventExitStatus=78",
        "OOMPolicy=continue",
        "Nice=-10",
        "CPUSchedulingPolicy=other",
        "CPUSchedulingResetOnFork=yes",
    } <= lines
    assert any(line.startswith("WatchdogSec=") for line in lines)
    assert any(line.startswith("#LoadCredential=") for line in lines)


def test_the_user_is_one_that_systemd_can_make() -> None:
    """systemd-sysusers understands its file, and would make the user whom the unit names."""
    said = subprocess.run(["systemd-sysusers", "--dry-run", UNITS / "rosterd.sysusers.conf"], capture_output=True, text=True)
    assert said.returncode == 0, said.stderr
    assert "Failed" not in said.stderr
    assert "u     rosterd" in (UNITS / "rosterd.sysusers.conf").read_text()


def test_the_folders_belong_to_whom_the_unit_names() -> None:
    """The configuration is root's, the state is rosterd's alone."""
    rows = [line.split() for line in (UNITS / "rosterd.tmpfiles.conf").read_text().splitlines() if line and not line.startswith("#")]
    by_path = {row[1]: row[2:5] for row in rows}
    assert by_path["/etc/rosterd"] == ["0750", "root", "rosterd"]
    assert by_path["/var/lib/rosterd"] == ["0700", "rosterd", "rosterd"]


def test_every_secret_that_the_papers_name_is_given_to_rosterd() -> None:
    """A key that root made as a page says can be read by the service, and by nobody else, once systemd-tmpfiles has run."""
    rows = [line.split() for line in (UNITS / "rosterd.tmpfiles.conf").read_text().splitlines() if line.startswith("z")]
    example = (UNITS.parent / "config.example.toml").read_text()
    named = set(re.findall(r'^#?(?:secret|encryption_key|client_secret|password|url)_file = "([a-z.]+)"', example, re.MULTILINE))
    made = set(re.findall(r"-out /etc/rosterd/(\S+)", (UNITS.parent / "docs" / "keys.md").read_text()))
    assert {"jwt.secret", "vault.keys", "ldap.password", "webhook.url"} <= named and made == {"jwt.key"}
    for name in named | made:
        assert [row[2:5] for row in rows if fnmatch(f"/etc/rosterd/{name}", row[1])] == [["0600", "rosterd", "rosterd"]], name


@pytest.fixture
def supervisor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """Return the socket on which a supervisor listens to us."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as line:
        line.bind(str(tmp_path / "notify"))
        line.settimeout(10)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        yield line


def test_states_arrive_in_one_datagram(supervisor: socket.socket) -> None:
    """A newline in a status cannot forge another state."""
    assert systemd.notify("READY=1", "STATUS=fine\nWATCHDOG=trigger")
    assert supervisor.recv(4096) == b"READY=1\nSTATUS=fine WATCHDOG=trigger"
    assert systemd.notify_reloading()
    assert supervisor.recv(4096).startswith(b"RELOADING=1\nMONOTONIC_USEC=")


def test_an_abstract_socket_is_one_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Containers pass names that begin with @."""
    name = f"rosterd-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as line:
        line.bind("\0" + name)
        monkeypatch.setenv("NOTIFY_SOCKET", "@" + name)
        assert systemd.notify("READY=1")
        assert line.recv(100) == b"READY=1"


def test_without_a_supervisor_nothing_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No variable, no socket behind it, or nonsense in it: silence, no error."""
    for value in ("", str(tmp_path / "nobody"), "relative"):
        monkeypatch.setenv("NOTIFY_SOCKET", value)
        assert not systemd.notify("READY=1")


def test_the_watchdog_is_meant_for_one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """The interval counts only for the process it names."""
    monkeypatch.setenv("WATCHDOG_USEC", "20000000")
    monkeypatch.setenv("WATCHDOG_PID", str(os.getpid()))
    assert systemd.watchdog_seconds() == 20.0
    monkeypatch.setenv("WATCHDOG_PID", "1")
    assert systemd.watchdog_seconds() is None
    monkeypatch.delenv("WATCHDOG_PID")
    monkeypatch.setenv("WATCHDOG_USEC", "soon")
    assert systemd.watchdog_seconds() is None


def test_sockets_are_taken_once_and_only_when_they_are_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another process's sockets are left alone; the variables are gone afterwards, so that no child takes them."""
    monkeypatch.setenv("LISTEN_FDS", "2")
    monkeypatch.setenv("LISTEN_PID", "1")
    assert systemd.listen_sockets() == []
    assert "LISTEN_FDS" not in os.environ
