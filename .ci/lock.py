"""Resolve requirements.lock anew: exact versions and hashes for every platform, no index addresses. Usage: python .ci/lock.py UV"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

SECTIONS = (
    ("runtime: what an installed rosterd needs", ()),
    ("build: what turns this folder into a package", ("--group", "build")),
    ("tools: everything below is for tests and lint only", ("--group", "dev")),
)
HEAD = "# Written by `make lock` from pyproject.toml. Install with: pip install --require-hashes --no-deps -r requirements.lock\n"


def resolve(uv: str, options: tuple[str, ...], known: str) -> str:
    """Return one section: the packages (with hashes) that these options of uv ask for, at the versions in `known` where it names them."""
    command = [uv, "pip", "compile", "--quiet", "--no-config", "--universal", "--python-version", "3.11", "--generate-hashes", *options]
    command += ["--no-emit-index-url", "--no-emit-find-links", "--no-header", "--no-annotate", "--constraints", "known.txt"]
    settings = {name: value for name, value in os.environ.items() if name not in ("UV_EXTRA_INDEX_URL", "UV_FIND_LINKS", "PIP_FIND_LINKS")}
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "pyproject.toml").write_text(Path("pyproject.toml").read_text())
        Path(folder, "known.txt").write_text("\n".join(line.split(" ")[0] for line in known.splitlines() if "==" in line))
        if not options:
            command.append("pyproject.toml")
        done = subprocess.run(command, check=False, cwd=folder, env=settings, capture_output=True, text=True)  # noqa: S603 — our own constants
    if done.returncode:
        sys.exit(f"uv could not resolve pyproject.toml: {done.stderr}")
    return done.stdout


def packages(text: str) -> dict[str, str]:
    """Split a resolved text into its packages: name to the lines that pin it."""
    found: dict[str, str] = {}
    for line in text.splitlines(keepends=True):
        if not line.startswith((" ", "#")):
            name = line.split("==")[0]
        found[name] = found.get(name, "") + line
    return found


def main(uv: str) -> None:
    """Write requirements.lock, each package in the first section that needs it."""
    known: dict[str, str] = {}
    text = HEAD
    for title, options in SECTIONS:
        new = {name: lines for name, lines in packages(resolve(uv, options, "".join(known.values()))).items() if name not in known}
        text += f"\n# --- {title} ---\n" + "".join(new.values())
        known |= new
    Path("requirements.lock").write_text(text)


if __name__ == "__main__":
    main(str(Path(sys.argv[1]).absolute()))
