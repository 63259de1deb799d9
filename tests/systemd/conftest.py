"""Packages built from this folder, and machines to install them in. `make test-systemd` runs what is here; it needs root."""

from __future__ import annotations

import itertools
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sync.store.migrations import VERSIONS
from tests.systemd.directory import configure, start_directory
from tests.systemd.machine import Machine

ROOT = Path(__file__).parents[2]
NEWER = "99.0.0"
ONE_MORE = "9999"
"""The migration that only the newer package knows."""
_NUMBERS = itertools.count(1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every test of this folder, so that the others can be run without them."""
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker("systemd")


@pytest.fixture(scope="session")
def rootfs() -> Path:
    """Return a clean Debian 12, made when it is needed for the first time."""
    made = subprocess.run(["bash", "tests/systemd/rootfs.sh"], cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
    return Path(made.stdout.strip())


def build(script: str, output: Path, tree: Path = ROOT) -> Path:
    """Run a script of packaging/ for the Python of this environment, and return what it made."""
    subprocess.run([f"packaging/{script}", sys.executable, str(output)], cwd=tree, check=True, capture_output=True)
    (made,) = output.iterdir()
    return made


@pytest.fixture(scope="session")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the Debian package of this folder."""
    return build("build-deb.sh", tmp_path_factory.mktemp("package"))


@pytest.fixture(scope="session")
def newer(package: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the package of the version after this one: the same files under a higher number, and one more migration, which changes nothing."""
    folder = tmp_path_factory.mktemp("newer")
    subprocess.run(["dpkg-deb", "--raw-extract", package, folder / "tree"], check=True)
    (packages,) = (folder / "tree").glob("usr/lib/rosterd/lib/*/site-packages")
    (own,) = packages.glob("rosterd-*.dist-info")
    for facts in (folder / "tree/DEBIAN/control", own / "METADATA"):
        facts.write_text(re.sub(r"^Version: [^-\n]*", f"Version: {NEWER}", facts.read_text(), count=1, flags=re.MULTILINE))
    own.rename(own.with_name(f"rosterd-{NEWER}.dist-info"))
    migrations = packages / "sync/store/migrations"
    known = migrations / "__init__.py"
    known.write_text(known.read_text().replace(f'"{VERSIONS[-1]}")', f'"{VERSIONS[-1]}", "{ONE_MORE}")', 1))
    (migrations / f"versions/{ONE_MORE}_one_more.py").write_text(
        f'revision, down_revision = "{ONE_MORE}", "{VERSIONS[-1]}"\n\n\ndef upgrade() -> None:\n    pass\n'
    )
    made = folder / f"rosterd_{NEWER}.deb"
    subprocess.run(["dpkg-deb", "--root-owner-group", "-Zgzip", "-z1", "--build", folder / "tree", made], check=True, capture_output=True)
    return made


@pytest.fixture(scope="session")
def wheelhouse(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the archive that is carried to where nothing can be downloaded."""
    return build("build-wheelhouse.sh", tmp_path_factory.mktemp("wheelhouse"))


@pytest.fixture(scope="module")
def boot(rootfs: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], Machine]]:
    """Return what boots a clean machine; all of them end with the module."""
    machines: list[Machine] = []

    def start() -> Machine:
        name = f"rosterd-test-{next(_NUMBERS)}"
        machines.append(Machine(rootfs, name, tmp_path_factory.mktemp("boot") / "console"))
        return machines[-1]

    yield start
    for machine in machines:
        machine.stop()


def install(machine: Machine, package: Path) -> str:
    """Install a package file with apt, and return what was printed."""
    machine.put(package, "/srv")
    done = machine.run("apt-get", "install", "-y", "-q", f"/srv/{package.name}")
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def running(boot: Callable[[], Machine], package: Path, tmp_path_factory: pytest.TempPathFactory) -> Machine:
    """Return a machine with a directory, and with the package installed, configured and started."""
    machine = boot()
    start_directory(machine, tmp_path_factory.mktemp("ldap") / "directory")
    install(machine, package)
    configure(machine)
    machine.run("systemctl", "start", "rosterd")
    return machine
