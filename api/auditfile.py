"""The file of the audit log: appended whole or not at all, one file a day, readable by its owner only."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

_BLOCK = 1 << 20
_FLAGS = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC


def append(path: Path, lines: bytes) -> None:
    """Append `lines` to the file at `path`; one of an earlier day (UTC) is put aside first. Raises OSError, and then nothing was appended."""
    descriptor = _open_locked(path)
    try:
        size = os.fstat(descriptor).st_size
        try:
            _write_all(descriptor, lines)
        except OSError:
            os.ftruncate(descriptor, size)
            raise
    finally:
        os.close(descriptor)


def lines(path: Path, since: float = 0) -> Iterator[bytes]:
    """Yield the lines of the audit files that may hold something since `since` (seconds since the epoch), oldest file first."""
    aside = sorted(path.parent.glob(f"{path.stem}-????-??-??*{path.suffix}"), key=lambda old: (old.stat().st_mtime, old.name))
    for file in (*aside, path):
        try:
            if file.stat().st_mtime >= since:
                with file.open("rb") as opened:
                    yield from opened
        except FileNotFoundError:
            continue


def last_event(path: Path, store: str) -> int:
    """Return the number of the last change of the store named `store` that the audit files tell of, 0 when they tell of none. Reads from the end."""
    aside = sorted(path.parent.glob(f"{path.stem}-????-??-??*{path.suffix}"), key=lambda old: (old.stat().st_mtime, old.name))
    for file in (path, *reversed(aside)):
        try:
            with file.open("rb") as opened:
                for block in _from_the_end(opened):
                    numbers = [number for line in block.split(b"\n") if (number := _event_of(line, store))]
                    if numbers:
                        return max(numbers)
        except FileNotFoundError:
            continue
    return 0


def _from_the_end(opened: BinaryIO) -> Iterator[bytes]:
    """Yield whole lines, about a mebibyte at a time, the last ones first."""
    place, rest = opened.seek(0, os.SEEK_END), b""
    while place:
        size = min(place, _BLOCK)
        place = opened.seek(place - size)
        block = opened.read(size) + rest
        rest, _, whole = block.partition(b"\n") if place else (b"", b"", block)
        yield whole


def _event_of(line: bytes, store: str) -> int:
    if b'"kind":"change"' not in line or store.encode() not in line:
        return 0
    try:
        record = msgspec.json.decode(line, type=dict[str, Any])
    except msgspec.DecodeError:  # cut off by a full disk, or meddled with: it proves nothing
        return 0
    number = record.get("event")
    return number if record.get("store") == store and isinstance(number, int) else 0


def sweep(path: Path, keep_seconds: int) -> None:
    """Delete files put aside whose last record is older than `keep_seconds`."""
    oldest = time.time() - keep_seconds
    for old in path.parent.glob(f"{path.stem}-????-??-??*{path.suffix}"):
        if old.stat().st_mtime < oldest:
            old.unlink(missing_ok=True)


def _open_locked(path: Path) -> int:
    """Open today's file under an exclusive lock, so that two processes neither mix lines nor put the same file aside twice."""
    while True:
        descriptor = os.open(path, _FLAGS, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            found = os.fstat(descriptor)
            if not _is_still(path, found):
                pass
            elif found.st_size and _day(found.st_mtime) < _day(time.time()):
                path.rename(_aside(path, _day(found.st_mtime)))
            else:
                if found.st_mode & 0o077:
                    os.fchmod(descriptor, 0o600)
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _is_still(path: Path, found: os.stat_result) -> bool:
    try:
        return path.stat().st_ino == found.st_ino
    except FileNotFoundError:
        return False


def _aside(path: Path, day: str) -> Path:
    number, target = 1, path.with_name(f"{path.stem}-{day}{path.suffix}")
    while target.exists():
        number += 1
        target = path.with_name(f"{path.stem}-{day}.{number}{path.suffix}")
    return target


def _day(seconds: float) -> str:
    return time.strftime("%Y-%m-%d", time.gmtime(seconds))


def _write_all(descriptor: int, lines: bytes) -> None:
    view = memoryview(lines)
    while view:
        view = view[os.write(descriptor, view) :]
