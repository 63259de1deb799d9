"""Logging, set up once: for people on a terminal, for journald with fields, else as plain lines.

What comes from outside is a field (`extra={"source": …}`), never part of the message; every attribute that a record carries
beyond logging's own becomes one, and follows the message as name=value with everything escaped. Nothing that looks like a key
or a token gets out, wherever it came from.
"""

from __future__ import annotations

import logging
import os
import re
import socket
import sys
import threading
import traceback
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, TextIO

from daemon import systemd
from daemon.printing import safe

_JOURNAL = "/run/systemd/journal/socket"
_ORDINARY = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "color_message"}
_SECRET = re.compile(r"sk-bf-[0-9A-Za-z-]{8,}|eyJ[0-9A-Za-z_-]{8,}\.[0-9A-Za-z_-]+\.[0-9A-Za-z_-]*|(?i:bearer\s+)\S+")
_SYSLOG = {logging.DEBUG: 7, logging.INFO: 6, logging.WARNING: 4, logging.ERROR: 3, logging.CRITICAL: 2}
_COLOURS = {logging.WARNING: "\x1b[33m", logging.ERROR: "\x1b[31m", logging.CRITICAL: "\x1b[1;31m"}
_QUIET = {"uvicorn": logging.WARNING, "apscheduler": logging.ERROR, "alembic": logging.WARNING, "asyncio": logging.WARNING}
_QUIET |= {"httpx": logging.WARNING, "httpcore": logging.WARNING}  # httpx tells every URL, and a webhook's is a secret
_LONGEST_FIELD = 16 * 1024


def configure_logs(level: int = logging.INFO, stream: TextIO | None = None, *, prefixed: bool | None = None) -> None:
    """Send every log record of this process to `stream` (stderr), in the form that fits what it is.

    `prefixed` = lines begin with their syslog priority (`<6>`); by default only under systemd, which takes it off again.
    """
    target = stream or sys.stderr
    root = logging.getLogger()
    for old in list(root.handlers):
        root.removeHandler(old)
        old.close()
    root.addHandler(_choose(target, systemd.is_under_systemd() if prefixed is None else prefixed))
    root.setLevel(level)
    for name, least in _QUIET.items():
        logging.getLogger(name).setLevel(least)
    logging.captureWarnings(True)
    sys.excepthook = _log_unexpected
    threading.excepthook = lambda died: _log_unexpected(died.exc_type, died.exc_value or died.exc_type(), died.exc_traceback)


def fields(record: logging.LogRecord) -> dict[str, str]:
    """Return what a record carries beyond its message, as texts without secrets."""
    return {name: _without_secrets(str(value)) for name, value in vars(record).items() if name not in _ORDINARY and value not in (None, "")}


class TerminalFormatter(logging.Formatter):
    """`12:03:04 warning  message source=corp`, coloured where it matters."""

    def format(self, record: logging.LogRecord) -> str:
        colour = _COLOURS.get(record.levelno, "")
        at = datetime.fromtimestamp(record.created).astimezone().strftime("%H:%M:%S")
        level = "" if record.levelno == logging.INFO else f"{record.levelname.lower()}  "
        return "\n".join([f"{at} {colour}{level}{_line(record)}{colour and chr(27) + '[0m'}", *_trace(record)])


class PlainFormatter(logging.Formatter):
    """`2026-01-31T08:00:00Z INFO message source=corp`; under systemd `<6>message source=corp`, because the journal knows the time."""

    def __init__(self, *, prefixed: bool) -> None:
        super().__init__()
        self._prefixed = prefixed

    def format(self, record: logging.LogRecord) -> str:
        lines = [_line(record), *_trace(record)]
        if self._prefixed:
            return "\n".join(f"<{priority(record.levelno)}>{line}" for line in lines)
        at = datetime.fromtimestamp(record.created, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        return "\n".join([f"{at} {record.levelname} {lines[0]}", *lines[1:]])


class Journal(logging.Handler):
    """Speaks journald's native protocol (systemd.io/JOURNAL_NATIVE_PROTOCOL): fields are ROSTERD_SOURCE, ROSTERD_RUN …"""

    def __init__(self, path: str = _JOURNAL) -> None:
        super().__init__()
        self._path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._socket.sendto(self.datagram(record), self._path)
        except OSError:  # the journal restarts, or the record is too big for it
            sys.stderr.write(PlainFormatter(prefixed=True).format(record) + "\n")

    def datagram(self, record: logging.LogRecord) -> bytes:
        """Return one journal entry."""
        message = "\n".join([_line(record), *_trace(record)])
        entry = {"MESSAGE": message, "PRIORITY": str(priority(record.levelno)), "SYSLOG_IDENTIFIER": "rosterd", "LOGGER": record.name}
        entry |= {"CODE_FILE": record.pathname, "CODE_LINE": str(record.lineno), "CODE_FUNC": record.funcName or ""}
        entry |= {f"ROSTERD_{re.sub(r'[^A-Z0-9]', '_', name.upper())}": value for name, value in fields(record).items()}
        return b"".join(_journal_field(name, value) for name, value in entry.items())

    def close(self) -> None:
        self._socket.close()
        super().close()


def _journal_field(name: str, value: str) -> bytes:
    octets = value.encode("utf-8", "backslashreplace")[:_LONGEST_FIELD]
    if b"\n" in octets:
        return name.encode() + b"\n" + len(octets).to_bytes(8, "little") + octets + b"\n"
    return name.encode() + b"=" + octets + b"\n"


def priority(level: int) -> int:
    """Return syslog's number for a level (RFC 5424 section 6.2.1)."""
    return next((number for at, number in sorted(_SYSLOG.items(), reverse=True) if level >= at), 7)


def is_journal(stream: TextIO) -> bool:
    """Tell whether `stream` is the one systemd connected to the journal (systemd.exec(5), $JOURNAL_STREAM)."""
    try:
        at = os.fstat(stream.fileno())
    except (OSError, ValueError):
        return False
    return os.environ.get("JOURNAL_STREAM") == f"{at.st_dev}:{at.st_ino}"


def _choose(stream: TextIO, prefixed: bool) -> logging.Handler:
    if is_journal(stream):
        return Journal()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(TerminalFormatter() if stream.isatty() else PlainFormatter(prefixed=prefixed))
    return handler


def _line(record: logging.LogRecord) -> str:
    """Return message and fields on one line, whatever they hold. (`event` is for programs.)"""
    said = safe(_without_secrets(record.getMessage()))
    return " ".join([said, *(f"{name}={_quoted(value)}" for name, value in fields(record).items() if name != "event")])


def _quoted(value: str) -> str:
    shown = safe(value)
    return '"' + shown.replace('"', '\\"') + '"' if " " in shown or not shown else shown


def _trace(record: logging.LogRecord) -> list[str]:
    """Return the traceback's lines. Python's own form: it shows code, never the values of variables."""
    if not record.exc_info or record.exc_info[1] is None:
        return []
    kind, error, trace = record.exc_info
    said = "".join(traceback.format_exception(kind, error, trace))
    return [safe(_without_secrets(line)) for line in said.splitlines()]


def _without_secrets(text: str) -> str:
    return _SECRET.sub("…", text)


def _log_unexpected(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        return
    details: Any = (kind, error, trace)
    logging.getLogger("daemon").critical("an unexpected error ended what was going on", exc_info=details)
