"""What packaging/ promises, as far as it can be seen without building anything; `make test-systemd` builds and installs it."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).parent.parent
PACKAGING = ROOT / "packaging"
DEBIAN = PACKAGING / "debian"
MAINTAINER_SCRIPTS = [DEBIAN / name for name in ("preinst", "postinst", "prerm", "postrm")]
SCRIPTS = [*MAINTAINER_SCRIPTS, *PACKAGING.rglob("*.sh"), ROOT / "tests/systemd/rootfs.sh"]


def test_shellcheck_has_nothing_to_say() -> None:
    """Every script that root will run is free of what shellcheck knows, can be executed, and stops at the first error."""
    said = subprocess.run(["shellcheck", "--external-sources", *SCRIPTS], cwd=ROOT, capture_output=True, text=True)
    assert (said.returncode, said.stdout) == (0, "")
    for script in SCRIPTS:
        assert script.stat().st_mode & 0o111 == 0o111, script
        assert re.search(r"^set -e", script.read_text(), re.MULTILINE), script


def test_old_copies_go_by_their_whole_names(tmp_path: Path) -> None:
    """Before an upgrade all but the last three copies are deleted, by root in a folder of rosterd's: no name in it, with spaces or line breaks or
    of another folder, makes root delete anything else or stops the upgrade."""
    copies, root = tmp_path / "state", tmp_path / "root"
    copies.mkdir()
    root.mkdir()
    for name in ("lib64", "bin.copy"):
        (root / name).touch()
    for year in range(2020, 2026):
        (copies / f"before-upgrade-{year}.copy").touch()
    (copies / "before-upgrade-1 lib64 .copy").touch()
    (copies / "before-upgrade-1\nbin.copy").touch()
    (copies / "before-upgrade-1.copy").mkdir()
    rosterd = tmp_path / "rosterd"
    rosterd.write_text("#!/bin/sh\n")
    rosterd.chmod(0o755)
    script = (DEBIAN / "preinst").read_text()
    for there, here in (("/usr/bin/rosterd", rosterd), ("/etc/rosterd/config.toml", rosterd), ("/var/lib/rosterd", copies)):
        assert there in script
        script = script.replace(there, str(here))
    path = {"PATH": f"{tmp_path}:/usr/bin:/bin"}
    done = subprocess.run(["sh", "-c", script, "preinst", "upgrade", "0.1.0"], cwd=root, env=path, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert sorted(file.name for file in root.iterdir()) == ["bin.copy", "lib64"]
    left = sorted(file.name for file in copies.iterdir())
    assert left == ["before-upgrade-1.copy", "before-upgrade-2023.copy", "before-upgrade-2024.copy", "before-upgrade-2025.copy"]


def test_the_control_file_is_one(tmp_path: Path) -> None:
    """Filled in, dpkg takes it: each field it needs is there, the description is short, and the Python is bounded on both sides."""
    filled = (DEBIAN / "control.in").read_text()
    for name, value in {"VERSION": "1.2.3-1+py3.11", "ARCHITECTURE": "amd64", "PYTHON": "3.11", "NEXT_PYTHON": "3.12", "SIZE": "1"}.items():
        assert f"@{name}@" in filled
        filled = filled.replace(f"@{name}@", value)
    assert "@" not in filled.replace("maintainers@", "")
    assert "python3 (>= 3.11), python3 (<< 3.12)" in filled
    assert all(len(line) <= 80 for line in filled.partition("Description:")[2].splitlines())
    (tmp_path / "package/DEBIAN").mkdir(parents=True)
    (tmp_path / "package/DEBIAN/control").write_text(filled)
    built = subprocess.run(["dpkg-deb", "--root-owner-group", "--build", "package", "made.deb"], cwd=tmp_path, capture_output=True, text=True)
    assert (built.returncode, built.stderr) == (0, "")


def test_the_scripts_end_well_where_there_is_no_systemd() -> None:
    """In a chroot or an image build nothing is started or stopped: each `systemctl` stands behind a look at /run/systemd/system."""
    for script in MAINTAINER_SCRIPTS:
        text = script.read_text()
        assert "systemctl" not in text or text.index("/run/systemd/system") < text.index("systemctl "), script.name


def test_only_purge_deletes_what_is_ours() -> None:
    """Configuration and state are named by one `rm`, in the branch of `purge`."""
    deleting = [line.strip() for script in MAINTAINER_SCRIPTS for line in script.read_text().splitlines() if re.search(r"\brm\b.*/(etc|var)/", line)]
    assert deleting == ["rm -rf /etc/rosterd /var/lib/rosterd"]
    assert (DEBIAN / "postrm").read_text().index("purge)") < (DEBIAN / "postrm").read_text().index(deleting[0])


def test_the_version_stands_in_one_place() -> None:
    """No file of packaging/ or systemd/ repeats the version of pyproject.toml."""
    version = re.search(r'^version = "(.*)"', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert version
    texts = [path for folder in ("packaging", "systemd") for path in (ROOT / folder).rglob("*") if path.is_file()]
    assert [path.name for path in texts if version[1] in path.read_text()] == []


def test_the_container_runs_as_nobody_in_particular() -> None:
    """Its user is not root, its folders are volumes, and what it copies is what `make wheelhouse` makes."""
    text = (PACKAGING / "Containerfile").read_text()
    last = text[text.rindex("\nFROM ") :]
    assert re.search(r"^USER rosterd$", last, re.MULTILINE) and "USER root" not in last
    assert 'VOLUME ["/etc/rosterd", "/var/lib/rosterd"]' in last
    assert (
        "COPY dist/rosterd-*-wheelhouse-*.tar.gz" in text and "name=rosterd-$version-wheelhouse-" in (PACKAGING / "build-wheelhouse.sh").read_text()
    )
