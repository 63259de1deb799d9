"""Runs shown to people, and how they get on."""

from __future__ import annotations

import pytest

from daemon.commands.progress import Lines
from daemon.commands.showing import summary
from sync.store.lease import Progress
from sync.store.views import RunView


def test_a_run_is_summed_up_in_words() -> None:
    """What is one is said in the singular, and what did not happen not at all."""
    counts = {"added": 1, "unchanged": 5, "missing": 0, "keys_issued": 1, "keys_disabled": 1200}
    run = RunView("1", "corp", "cli", "cli:root", "full", False, "succeeded", 1, 6, counts, "2026-01-31T08:00:00Z")
    assert summary(run) == "1 added, 1 key issued, 1,200 keys disabled"
    run.counts = {"unchanged": 6}
    assert summary(run) == "nothing new"


def test_each_phase_is_a_line_in_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    """Entries are counted where a directory is read, and not where the store is copied or sealed anew."""
    for source, phases in {"corp": ("connect", "read", "read", "apply"), "store": ("copy", "copy", "rewrap")}.items():
        lines = Lines(source)
        for entries, phase in enumerate(phases):
            lines.progress(Progress(phase, 0, entries, "", 9))
    expected = ["corp: connecting", "corp: reading, 1 entry read", "corp: writing, 3 entries read", "store: copying", "store: sealing keys anew"]
    assert capsys.readouterr().err.splitlines() == expected
