"""Who read or changed what: JSON lines, written in batches off the request path.

A line is made at once and alone, not with its batch: many in a row would hold up the event loop from another thread, for as long as they take.
`record` never blocks and never fails. What cannot be written (a full disk) is kept and tried again, up to MAX_WAITING records; what does not
fit any more is counted in `lost` and said in the log.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import msgspec

from api.auditfile import append, sweep

_log = logging.getLogger(__name__)

MAX_WAITING = 50_000
"""Records kept in memory while the file cannot be written: about 20 MB."""

_PAUSE = 0.2
"""Seconds between two batches."""

_REPEAT = 60.0
"""Seconds between two complaints about the same trouble."""


class AuditLog:
    """The audit file at `path` (0600). A file of an earlier day (UTC) is renamed to `NAME-YYYY-MM-DD.SUFFIX`; renamed ones older than
    `keep_seconds` are deleted while `is_clock_right`. Several processes may write the same file."""

    def __init__(self, path: Path, keep_seconds: int, is_clock_right: Callable[[], bool] = lambda: True) -> None:
        self.path = path
        self.lost = 0
        """Records that could not be kept, since the start."""
        self.failing = False
        """True while the file cannot be written."""
        self._keep, self._is_clock_right = keep_seconds, is_clock_right
        self._waiting: deque[bytes] = deque()
        self._batch: list[bytes] = []
        self._something = threading.Event()
        self._closing = threading.Event()
        self._writing = threading.Lock()
        self._said = 0.0
        self._swept = ""
        self._thread = threading.Thread(target=self._write_forever, name="audit", daemon=True)
        self._thread.start()

    def record(self, **facts: Any) -> None:
        """Keep one record of JSON-able facts; `time` (RFC 3339, milliseconds, UTC) is added. Returns at once, whatever the disk does."""
        if len(self._waiting) >= MAX_WAITING:
            self.lost += 1
            return
        self._waiting.append(_line(time.time(), facts))
        if not self._something.is_set():
            self._something.set()

    def flush(self) -> bool:
        """Write what waits now, and tell whether it could be written."""
        with self._writing:
            return self._write()

    def close(self) -> None:
        """Write what waits and stop; what still cannot be written is lost, and said so."""
        self._closing.set()
        self._something.set()
        self._thread.join()
        if not self.flush():
            left = len(self._batch) + len(self._waiting)
            self.lost += left
            _log.error("audit records were lost at the end", extra={"lost": left, "file": str(self.path)})

    def _write_forever(self) -> None:
        while not self._closing.is_set():
            self._something.wait()
            self._something.clear()
            self._closing.wait(_PAUSE)
            if not self.flush():
                self._closing.wait(1.0)
                self._something.set()

    def _write(self) -> bool:
        while len(self._batch) < MAX_WAITING and self._waiting:
            self._batch.append(self._waiting.popleft())
        if not self._batch:
            return True
        try:
            append(self.path, b"".join(self._batch))
            self._sweep()
        except OSError as error:
            self._complain(error)
            return False
        self._batch.clear()
        if self.failing:
            _log.warning("the audit file can be written again", extra={"file": str(self.path), "lost": self.lost})
        self.failing = False
        return True

    def _sweep(self) -> None:
        today = time.strftime("%Y-%m-%d", time.gmtime())
        if today != self._swept and self._is_clock_right():
            sweep(self.path, self._keep)
            self._swept = today

    def _complain(self, error: OSError) -> None:
        now = time.monotonic()
        if not self.failing or now - self._said > _REPEAT:
            facts = {"file": str(self.path), "why": error.strerror or type(error).__name__, "waiting": len(self._batch), "lost": self.lost}
            _log.error("the audit file cannot be written; records are kept in memory and tried again", extra=facts)
            self._said = now
        self.failing = True


def _line(at: float, facts: dict[str, Any]) -> bytes:
    seconds, millis = divmod(int(at * 1000), 1000)
    record = {"time": f"{_written(seconds)}.{millis:03d}Z", **facts}
    try:
        return _ENCODER.encode(record) + b"\n"
    except UnicodeEncodeError:  # half a surrogate pair, which the JSON of another issuer's token can hold: it becomes a question mark
        return json.dumps(record, ensure_ascii=False, default=str).encode("utf-8", "replace") + b"\n"


@lru_cache(16)
def _written(seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))


_ENCODER = msgspec.json.Encoder(enc_hook=str)
