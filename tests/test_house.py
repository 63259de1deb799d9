"""The project's own papers: what a package, a newcomer and an operator rely on is really there, and says what is so."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import api
import daemon
import sync
from tests.drawing import ROOMS, modules

ROOT = Path(__file__).parent.parent
CACHES = {".hypothesis", ".schemathesis", ".mypy_cache", ".ruff_cache", ".pytest_cache", "__pycache__"}
NOT_OURS = {".git", ".venv", "results", "htmlcov", "dist", "build"} | CACHES
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
MAKE_TARGETS = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]


def texts() -> Iterator[tuple[str, str]]:
    """Yield (path, text) of every file of the project."""
    for path in sorted(ROOT.rglob("*")):
        relative = path.relative_to(ROOT)
        if path.is_file() and not NOT_OURS & set(relative.parts) and not path.name.startswith(".coverage"):
            yield str(relative), path.read_text(errors="replace")


def sections() -> dict[str, list[str]]:
    """Return the sections of requirements.lock: title to one text per package."""
    lock = (ROOT / "requirements.lock").read_text()
    found = re.split(r"^# --- (\w+):.*\n", lock, flags=re.MULTILINE)[1:]
    return {title: re.findall(r"^[^\s#].*(?:\n[ \t].*)*", body, re.MULTILINE) for title, body in zip(found[::2], found[1::2], strict=True)}


def plain(requirement: str) -> str:
    """Return the name a requirement begins with, as packages are compared."""
    return re.split(r"[^A-Za-z0-9._-]", requirement)[0].lower().replace("_", "-")


def test_the_changelog_speaks_of_this_version() -> None:
    """The newest entry of the changelog is the version in pyproject.toml."""
    newest = re.search(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert newest and newest[1] == PROJECT["project"]["version"]


def test_the_lock_pins_by_hash_and_names_no_place() -> None:
    """Every locked package has an exact version and a hash, and nothing in the file says where to fetch it."""
    for packages in sections().values():
        for package in packages:
            assert re.match(r"\S+==\S+", package) and "--hash=sha256:" in package, package
    lock = (ROOT / "requirements.lock").read_text()
    assert not re.search(r"://|--index|--extra|--find-links|^-[fir] | @ ", lock, re.MULTILINE)


def test_the_lock_holds_whatever_is_asked_for() -> None:
    """Each dependency of pyproject.toml is locked in the section it belongs to."""
    locked = {title: {plain(package) for package in packages} for title, packages in sections().items()}
    assert {plain(name) for name in PROJECT["project"]["dependencies"]} <= locked["runtime"]
    everything = set().union(*locked.values())
    assert {plain(name) for group in PROJECT["dependency-groups"].values() for name in group} <= everything


def test_what_is_imported_is_asked_for() -> None:
    """Every library that the rooms import is a dependency of its own, not something another library happens to bring."""
    extras = [name for names in PROJECT["project"]["optional-dependencies"].values() for name in names]
    asked, owners = {plain(name) for name in (*PROJECT["project"]["dependencies"], *extras)}, packages_distributions()
    imported = {name.split(".")[0] for module in modules(ROOT) for _, name in module.imports(set())} - {*sys.stdlib_module_names, *ROOMS}
    assert {name: plain(owners[name][0]) for name in imported if plain(owners[name][0]) not in asked} == {}


def test_nobody_else_owns_our_names() -> None:
    """No other distribution in this environment brings a top-level daemon, api or sync, and ours are the ones imported."""
    owners = packages_distributions()
    assert {name: owner for name in ROOMS for owner in owners.get(name, []) if owner != "rosterd"} == {}
    assert {Path(str(room.__file__)).parent.parent for room in (daemon, api, sync)} == {ROOT}


def test_the_wheel_holds_the_rooms_and_nothing_else(tmp_path: Path) -> None:
    """A wheel built from this folder brings every module of the three rooms, the licence, and no test."""
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert {module.path for module in modules(ROOT)} <= set(names)
    assert {name.split("/")[0] for name in names if ".dist-info/" not in name} == set(ROOMS)
    assert any(name.endswith("licenses/LICENSE") for name in names)


def test_no_place_of_ours_is_written_down() -> None:
    """No file names a package registry, a path of the machine it was written on, or a folder outside the project."""
    pieces = [("pypi", r"\.org"), ("python", r"hosted\.org"), ("registry", r"\.npmjs"), ("deb", r"\.debian\.org"), ("/wo", r"rk/(main|shared)"),
              (r"\.\./sha", "red"), ("/ro", r"ot/\.\w"), ("/opt/", r"(wheels|pypi)")]  # fmt: skip
    places = re.compile("|".join(a + b for a, b in pieces))
    assert {path: found[0] for path, text in texts() if (found := places.search(text))} == {}


def test_every_page_that_is_named_exists() -> None:
    """A Markdown page that code, tests or documentation name is part of the project."""
    there = {path.name for path in ROOT.rglob("*.md")}
    named = {(path, name) for path, text in texts() for name in re.findall(r"\b([a-zA-Z_-]+\.md)\b", text)}
    assert sorted((path, name) for path, name in named if name not in there) == []


def test_links_between_pages_lead_somewhere() -> None:
    """Every relative link of the documentation leads to a file, and its anchor to a heading."""
    for page in PAGES:
        for target in re.findall(r"\]\((?!https?:)([^)\s]+)\)", page.read_text()):
            path, _, anchor = target.partition("#")
            there = (page.parent / path) if path else page
            assert there.exists(), f"{page.name}: {target}"
            headings = {
                re.sub(r"[^\w -]", "", line.lower()).strip().replace(" ", "-") for line in re.findall(r"^#+ (.*)", there.read_text(), re.MULTILINE)
            }
            assert not anchor or anchor in headings, f"{page.name}: {target}"


def test_make_knows_what_the_pages_promise() -> None:
    """Every `make TARGET` in the documentation is a target, and CI calls one that the README names."""
    for page in PAGES:
        assert set(re.findall(r"(?:`|^ {4})make ([a-z0-9-]+)", page.read_text(), re.MULTILINE)) <= MAKE_TARGETS, page.name
    assert "make test" in (ROOT / ".ci/run").read_text() and "make test" in (ROOT / "README.md").read_text()


def test_the_scripts_can_be_read_by_a_shell() -> None:
    """The shell scripts that make and CI call have no syntax error."""
    for script in (".ci/run", ".ci/venv.sh", "tests/servers/install.sh"):
        assert subprocess.run(["bash", "-n", script], cwd=ROOT).returncode == 0, script


def test_every_test_says_what_it_promises() -> None:
    """Each test opens with a docstring, and none is skipped or expected to fail."""
    silent, evaded = [], []
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        tree = ast.parse(path.read_text())
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_") and not ast.get_docstring(node):
                silent.append(f"{path.relative_to(ROOT)}:{node.lineno}")
            if isinstance(node, ast.Attribute) and node.attr in ("skip", "skipif", "xfail", "importorskip"):
                evaded.append(f"{path.relative_to(ROOT)}:{node.lineno}")
    assert (silent, evaded) == ([], [])
