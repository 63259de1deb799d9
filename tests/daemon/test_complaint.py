"""Trouble that lasts, said once a minute and once more when it is over."""

from __future__ import annotations

import logging

import pytest

from daemon.complaint import REPEAT, Complaint

_log = logging.getLogger(__name__)


def test_trouble_is_said_once_a_minute_and_again_when_it_comes_back(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    """An hour without a database is sixty lines, not thousands; its end is said once, and what fails after that is news."""
    caplog.set_level(logging.INFO)
    now, complaint = 1000.0, Complaint(_log, logging.ERROR)
    monkeypatch.setattr("daemon.complaint.time.monotonic", lambda: now)
    complaint.settle("it works again")
    assert caplog.messages == []
    for _ in range(3600):
        complaint.make("it fails", why="no disk")
        now += 1.0
    assert caplog.messages == ["it fails"] * int(3600 / REPEAT)
    assert {(record.levelname, record.why) for record in caplog.records} == {("ERROR", "no disk")}  # type: ignore[attr-defined]
    caplog.clear()
    complaint.settle("it works again")
    complaint.settle("it works again")
    complaint.make("it fails")
    complaint.settle()
    complaint.make("it fails")
    assert caplog.messages == ["it works again", "it fails", "it fails"]
