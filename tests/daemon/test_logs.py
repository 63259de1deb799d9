"""Logs: readable on a terminal, fields in the journal, one record one line, never a secret."""

from __future__ import annotations

import io
import logging
import os
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from daemon.logs import Journal, PlainFormatter, TerminalFormatter, configure_logs, fields, is_journal, priority

TOKEN = "eyJhbGciOiJIUzI1NiJ9.eyJqdGkiOiJ4In0.c2lnbmF0dXJlc2lnbmF0dXJl"
KEY = "sk-bf-0f0e0d0c-0b0a-4908-8706-050403020100"


@pytest.fixture(autouse=True)
def as_it_was() -> Iterator[None]:
    """Put the process's logging back."""
    root = logging.getLogger()
    before = (list(root.handlers), root.level, sys.excepthook, threading.excepthook)
    yield
    for added in set(root.handlers) - set(before[0]):
        added.close()
    root.handlers[:], level, sys.excepthook, threading.excepthook = before
    root.setLevel(level)
    logging.captureWarnings(False)


def record(message: str, level: int = logging.INFO, **extra: object) -> logging.LogRecord:
    """Return a record as a logger would make it."""
    return logging.getLogger("daemon.test").makeRecord("daemon.test", level, __file__, 1, message, (), None, "test", extra)


def test_a_record_is_one_line_whatever_it_holds() -> None:
    """A name from a directory can neither begin a line, nor turn it around, nor colour it."""
    hostile = "x\nERROR forged\r\x1b[2Ja\u202eb\u2028c"
    for formatter in (PlainFormatter(prefixed=False), PlainFormatter(prefixed=True), TerminalFormatter()):
        line = formatter.format(record("a sync failed", source=hostile, why=f"said {hostile}"))
        assert len(line.splitlines()) == 1
        assert "\x1b" not in line and "\u202e" not in line and "\\u{" in line


def test_fields_follow_the_message() -> None:
    """Everything a record carries is shown, quoted where it has spaces; what is empty is left out."""
    line = PlainFormatter(prefixed=True).format(record("a sync failed", logging.ERROR, source="corp", why='it "broke" off', remedy="", entries=0))
    assert line == r'<3>a sync failed source=corp why="it \"broke\" off" entries=0'


def test_nothing_that_looks_like_a_secret_gets_out() -> None:
    """Tokens and key values are cut out of messages, fields and tracebacks."""
    try:
        raise ValueError(f"cannot use {KEY}")
    except ValueError as error:
        made = record(f"odd header Bearer {TOKEN}", said=f"{TOKEN} and {KEY}")
        made.exc_info = (ValueError, error, error.__traceback__)
    with_trace = [formatter.format(made) for formatter in (PlainFormatter(prefixed=False), TerminalFormatter())]
    sender = Journal("/nowhere")
    for shown in (*with_trace, sender.datagram(made).decode(errors="replace"), str(fields(made))):
        assert "sk-bf-0f" not in shown and "eyJ" not in shown
    sender.close()
    assert "ValueError: cannot use …" in with_trace[0]


def test_under_systemd_every_line_says_how_grave_it_is() -> None:
    """Also those of a traceback, so that none of them is filed as mere information."""
    try:
        raise RuntimeError("first\nsecond")
    except RuntimeError as error:
        made = record("unexpected", logging.CRITICAL)
        made.exc_info = (RuntimeError, error, error.__traceback__)
    lines = PlainFormatter(prefixed=True).format(made).splitlines()
    assert len(lines) > 3 and all(line.startswith("<2>") for line in lines)
    assert [priority(level) for level in (5, 10, 20, 25, 30, 40, 50)] == [7, 7, 6, 6, 4, 3, 2]


def test_a_terminal_is_shown_the_time_and_colours_only_what_matters() -> None:
    """People read it: short, and red where it is grave."""
    assert re.fullmatch(r"\d\d:\d\d:\d\d a sync begins source=corp", TerminalFormatter().format(record("a sync begins", source="corp")))
    assert "\x1b[31merror  a sync failed" in TerminalFormatter().format(record("a sync failed", logging.ERROR))


def parse_journal(datagram: bytes) -> dict[str, str]:
    """Read a datagram of the journal's native protocol."""
    found = {}
    while datagram:
        line, _, rest = datagram.partition(b"\n")
        name, equals, value = line.partition(b"=")
        if not equals:
            length = int.from_bytes(rest[:8], "little")
            value, rest = rest[8 : 8 + length], rest[9 + length :]
        found[name.decode()] = value.decode()
        datagram = rest
    return found


def test_the_journal_gets_fields(tmp_path: Path) -> None:
    """What comes from outside is a field of its own, newlines and all; in the message it is escaped."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as journal:
        journal.bind(str(tmp_path / "journal"))
        sender = Journal(str(tmp_path / "journal"))
        sender.emit(record("a sync failed", logging.ERROR, source="corp", run="abc", event="run.failed", why="one\nMESSAGE=two"))
        entry = parse_journal(journal.recv(65536))
        sender.close()
    assert entry["MESSAGE"] == r"a sync failed source=corp run=abc why=one\u{a}MESSAGE=two"
    assert (entry["PRIORITY"], entry["SYSLOG_IDENTIFIER"]) == ("3", "rosterd")
    assert (entry["ROSTERD_SOURCE"], entry["ROSTERD_RUN"], entry["ROSTERD_EVENT"]) == ("corp", "abc", "run.failed")
    assert entry["ROSTERD_WHY"] == "one\nMESSAGE=two"


def test_a_journal_that_is_away_loses_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    """While journald restarts, or refuses a record, the line goes to stderr."""
    sender = Journal("/nonexistent/journal")
    sender.emit(record("still here", logging.WARNING))
    sender.close()
    assert capsys.readouterr().err == "<4>still here\n"


def test_the_journal_is_known_by_its_stream(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """$JOURNAL_STREAM is inherited by everybody; only who still writes into that stream speaks the protocol."""
    with (tmp_path / "stream").open("w") as stream:
        at = os.fstat(stream.fileno())
        monkeypatch.setenv("JOURNAL_STREAM", f"{at.st_dev}:{at.st_ino}")
        assert is_journal(stream)
        configure_logs(stream=stream)
        assert isinstance(logging.getLogger().handlers[0], Journal)
        monkeypatch.setenv("JOURNAL_STREAM", "1:1")
        assert not is_journal(stream)
    assert not is_journal(io.StringIO())


def test_it_is_set_up_once_however_often_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """No line comes twice, chatty libraries keep quiet, warnings go the same way."""
    monkeypatch.delenv("INVOCATION_ID", raising=False)
    stream = io.StringIO()
    configure_logs(stream=stream)
    configure_logs(stream=stream)
    logging.getLogger("daemon").info("once")
    logging.getLogger("apscheduler.executors").info("chatter")
    logging.getLogger("uvicorn.error").info("chatter")
    said = stream.getvalue().splitlines()
    assert len(said) == 1 and said[0].endswith("INFO once")
    monkeypatch.setenv("INVOCATION_ID", "x")
    configure_logs(stream=stream)
    logging.getLogger("daemon").warning("twice")
    assert stream.getvalue().splitlines()[1:] == ["<4>twice"]


@pytest.mark.parametrize("where", ["main", "thread"])
def test_what_nobody_expected_is_logged_with_its_traceback(where: str) -> None:
    """In the main thread and in any other: a record, not loose lines; and no values of variables."""
    script = """
import threading
from daemon.logs import configure_logs
configure_logs(prefixed=True)
def fail():
    password = "hunter2-from-a-variable"
    raise RuntimeError("boom")
"""
    script += "fail()" if where == "main" else "t = threading.Thread(target=fail); t.start(); t.join()"
    said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True).stderr
    assert said.startswith("<2>an unexpected error ended what was going on")
    assert "RuntimeError: boom" in said and "hunter2" not in said.replace('password = "hunter2-from-a-variable"', "")
    assert all(line.startswith("<2>") for line in said.splitlines())
