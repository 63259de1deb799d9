"""The real daemon with less patience and fewer means than usual, and children that stop at a seam. Run as `python -m` instead of `daemon`."""

from __future__ import annotations

import importlib
import os
import resource
import sys
from pathlib import Path

import msgspec

import daemon.serve
from daemon.process import child_command

VARIABLE = "ROSTERD_STAGE"


class Stage(msgspec.Struct, frozen=True):
    """What is different: `limits` = module constants by their dotted names, `descriptors` and `file_size` = resource limits (0 = as they are),
    `seam` = a file that names where the next child stops, `python` = what children are run with."""

    limits: dict[str, int | float] = {}
    descriptors: int = 0
    file_size: int = 0
    seam: str = ""
    python: str = ""

    def as_environment(self) -> dict[str, str]:
        """Return the environment that tells a daemon of this stage."""
        return {VARIABLE: msgspec.json.encode(self).decode()}


def main() -> None:
    """Take away what is to be missing, then run the `rosterd` command."""
    stage = msgspec.json.decode(os.environ.pop(VARIABLE), type=Stage)
    for name, value in stage.limits.items():
        module, _, constant = name.rpartition(".")
        setattr(importlib.import_module(module), constant, value)
    for kind, value in ((resource.RLIMIT_NOFILE, stage.descriptors), (resource.RLIMIT_FSIZE, stage.file_size)):
        if value:
            resource.setrlimit(kind, (value, value))
    python = stage.python or sys.executable

    def command(*arguments: str) -> list[str]:
        usual = child_command(*arguments)
        if not stage.seam:
            return [python, *usual[1:]]
        return [python, "-P", "-m", "tests.daemon.faults.stopping_child", stage.seam, *arguments]

    daemon.serve.child_command = command
    from daemon.command import main as run_command

    assert Path(daemon.serve.__file__).is_absolute()
    run_command()


if __name__ == "__main__":
    main()
