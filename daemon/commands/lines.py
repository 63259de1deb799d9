"""Files whose lines a command takes one by one: read whole, within reason, and CSV with a header."""

from __future__ import annotations

import csv
import sys
from collections.abc import Collection, Iterator
from io import StringIO
from pathlib import Path
from typing import Any

from daemon.printing import safe, warn
from sync.errors import InvalidRequest

LARGEST = 256 * 1024 * 1024
"""Octets of a file; a bigger one is something else."""

_OTHERS_CAN = 0o077


def read_text(file: Path, *, holds_keys: bool = False) -> str:
    """Return the text of a file, of stdin for "-"; warn of one that others can read though it `holds_keys`. Raises InvalidRequest."""
    try:
        if str(file) == "-":
            raw = sys.stdin.buffer.read(LARGEST + 1)
        else:
            if holds_keys and file.stat().st_mode & _OTHERS_CAN:
                warn(f"{file} can be read by others, and holds keys: `chmod 0600` it, and delete it when this is done.")
            with file.open("rb") as opened:
                raw = opened.read(LARGEST + 1)
    except OSError as error:
        raise InvalidRequest("invalid_file", f"{file} cannot be read: {error.strerror}.") from None
    if len(raw) > LARGEST:
        raise InvalidRequest("invalid_file", f"{file} is larger than {LARGEST // 1_048_576} MiB.", "Split it.")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidRequest("invalid_file", f"{file} is no UTF-8 text (octet {error.start}).") from None


def read_csv(text: str, known: Collection[str], required: Collection[str], refusal: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """Return (line number, fields) of each line; one that cannot be read has its problem under the empty name.

    Columns that are not `known` are left aside and named. Raises InvalidRequest with `refusal` for a header without one of `required`, each of
    which may name several ("email|user_id").
    """
    rows = csv.DictReader(StringIO(text), strict=True)
    try:
        names = [name.strip().lower() for name in rows.fieldnames or ()]
    except csv.Error:
        names = []
    if not all(set(one.split("|")) & set(names) for one in required):
        raise InvalidRequest("invalid_file", refusal)
    ignored = [name for name in names if name not in known]
    if ignored:
        warn(f"Columns left aside: {', '.join(safe(name) for name in ignored)}.")
    rows.fieldnames = names
    return _lines(rows)


def _lines(rows: csv.DictReader[str]) -> Iterator[tuple[int, dict[str, Any]]]:
    try:
        for fields in rows:
            yield rows.line_num, {"": "The line has more cells than the header."} if None in fields else dict(fields)
    except csv.Error as error:
        yield rows.line_num, {"": f"The rest of the file is no CSV: {error}."}


def text_of(fields: dict[str, Any], name: str) -> str:
    """Return a field without the spaces around it, "" where there is none. Raises InvalidRequest for what is no text."""
    found = fields.get(name)
    if found is None:
        return ""
    if not isinstance(found, str):
        raise InvalidRequest("invalid_line", f"{name} is no text.")
    return found.strip()


def check_readable(fields: dict[str, Any]) -> None:
    """Raise InvalidRequest for a line that could not be read."""
    if problem := fields.get(""):
        raise InvalidRequest("invalid_line", str(problem))
