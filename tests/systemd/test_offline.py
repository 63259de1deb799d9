"""Where nothing can be downloaded: the wheelhouse on a clean machine, and the steps of the container file."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path

from tests.systemd.conftest import ROOT
from tests.systemd.directory import await_sync, configure, look_up, new_token, start_directory
from tests.systemd.machine import Machine, wait_for


def unpack(machine: Machine, wheelhouse: Path) -> str:
    """Unpack the archive as docs/install.md says, and return the folder."""
    machine.put(wheelhouse, "/srv")
    machine.run("tar", "-xzf", f"/srv/{wheelhouse.name}", "-C", "/srv")
    return f"/srv/{wheelhouse.name.removesuffix('.tar.gz')}"


def test_the_wheelhouse_installs_and_upgrades_without_any_network(boot: Callable[[], Machine], wheelhouse: Path, tmp_path: Path) -> None:
    """On a machine without pip and without a network: installed, configured, synced; installed once more, the store is copied and it runs on."""
    machine = boot()
    folder = unpack(machine, wheelhouse)
    assert machine.run("python3", "-m", "pip", "--version", status=1).stderr.strip().endswith("No module named pip")
    said = machine.say(f"{folder}/install.sh")
    assert "systemctl enable --now rosterd" in said
    start_directory(machine, tmp_path / "directory")
    configure(machine)
    machine.run("rosterd", "check")
    machine.run("systemctl", "enable", "--now", "rosterd")
    await_sync(machine)
    token = new_token(machine)
    key = look_up(machine, token)
    assert "the store was copied to" in machine.say(f"{folder}/install.sh")
    assert look_up(machine, token) == key
    assert machine.say("/opt/rosterd/bin/python", "-I", "-c", "import gssapi; print(gssapi.__name__)") == "gssapi", "the distribution's"
    assert machine.say("systemd-analyze", "security", "--no-pager", "--threshold=12", "rosterd.service")


def test_a_wheel_that_was_changed_on_the_way_is_refused(boot: Callable[[], Machine], wheelhouse: Path) -> None:
    """One octet more in one wheel, and nothing is installed."""
    machine = boot()
    folder = unpack(machine, wheelhouse)
    (wheel,) = machine.path(f"{folder}/wheels").glob("click-*.whl")
    wheel.write_bytes(wheel.read_bytes() + b"x")
    done = machine.run(f"{folder}/install.sh", status=1)
    assert "HASHES" in done.stderr.upper() and not machine.path("/opt/rosterd").exists()
    assert not machine.path("/etc/rosterd").exists()


def instructions() -> list[tuple[str, str]]:
    """Return the container file's instructions in order, continued lines joined."""
    text = re.sub(r"\\\n\s*", "", (ROOT / "packaging/Containerfile").read_text())
    return [(line.split(" ", 1)[0], line.split(" ", 1)[1]) for line in text.splitlines() if line and not line.startswith("#")]


def test_the_steps_of_the_container_file_lead_to_a_daemon_that_answers(boot: Callable[[], Machine], wheelhouse: Path, tmp_path: Path) -> None:
    """There is no container engine here: each RUN is run on a clean Debian, then the entry point as the file's user, and its health check."""
    machine = boot()
    parts: dict[str, str] = {}
    for name, rest in instructions():
        if name == "RUN":
            machine.run("unshare", "--mount", "sh", "-c", f"mount -t tmpfs none /run/systemd\n{rest}")  # an image build has no systemd
        elif name == "COPY" and not rest.startswith("--from="):
            pattern, target = rest.split()
            assert Path("dist", wheelhouse.name).match(pattern)
            machine.put(wheelhouse, target)
        parts[name] = rest
    as_user = ["runuser", "-u", parts["USER"], "--"]
    entry = json.loads(parts["ENTRYPOINT"])
    start_directory(machine, tmp_path / "directory")
    machine.run(*as_user, *entry, "init")
    configure(machine)
    machine.run("chown", "-R", f"{parts['USER']}:", "/etc/rosterd")
    machine.run("chmod", "0600", "/etc/rosterd/ldap.password")
    unit = ["systemd-run", "-q", "--unit=container", "-p", f"User={parts['USER']}", "-p", f"WorkingDirectory={parts['WORKDIR']}"]
    machine.run(*unit, *entry, *json.loads(parts["CMD"]))
    health = json.loads(parts["HEALTHCHECK"].split(" CMD ")[1])
    wait_for(lambda: machine.run(*health, status=None).returncode == 0, "the health check")
    await_sync(machine)
    assert look_up(machine, new_token(machine))["is_active"], shlex.join(entry)
    machine.run("systemctl", "kill", "-s", parts["STOPSIGNAL"], "container")
    wait_for(lambda: machine.run(*health, status=None).returncode, "the end")
