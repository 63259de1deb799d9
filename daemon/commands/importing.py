"""Keys that exist already, taken in from a file: each line for itself, with a report of what became of it."""

from __future__ import annotations

import csv
import sys
from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from io import StringIO
from pathlib import Path
from typing import Any

import click
import msgspec

from daemon.commands.choosing import choose
from daemon.commands.opening import Opened, caller
from daemon.printing import print_json, print_table, safe, say, warn
from sync.errors import Conflict, InvalidRequest, RosterError

LARGEST = 256 * 1024 * 1024
"""Octets of a file of keys; a bigger one is something else."""

_OTHERS_CAN = 0o077
_KNOWN = ("email", "user_id", "value", "name", "id", "is_active", "expires_at")
_OFF = {"false", "0", "no", "inactive", "disabled"}
_ON = {"", "true", "1", "yes", "active", "enabled"}


class Line(msgspec.Struct, omit_defaults=True):
    """What became of a line: imported, unchanged or refused."""

    line: int
    outcome: str
    email: str = ""
    key: str = ""
    why: str = ""


def take_in_all(place: Opened, file: Path, *, dry_run: bool, as_json: bool) -> int:
    """Take in every line that can be; print the report; return 6 when a line was refused, else 0. Raises InvalidRequest, ConfigError."""
    vault, report = place.vault(), []
    seen: dict[str, str] | None = {} if dry_run else None
    for number, fields in _read(file):
        try:
            report.append(_take_in(place, vault, number, fields, seen))
        except RosterError as error:
            report.append(Line(number, "refused", str(fields.get("email") or fields.get("user_id") or ""), why=str(error)))
    _print(report, dry_run=dry_run, as_json=as_json)
    return 6 if any(line.outcome == "refused" for line in report) else 0


def _take_in(place: Opened, vault: Any, number: int, fields: dict[str, Any], seen: dict[str, str] | None) -> Line:
    """Take a line in; with `seen` (values of the lines before, and whose), a dry run, only say what would become of it."""
    from sync.store.keyimports import is_known, take_in

    if problem := fields.get(""):
        raise InvalidRequest("invalid_line", str(problem))
    owner = _text(fields, "email") or _text(fields, "user_id")
    if not owner:
        raise InvalidRequest("invalid_line", "The line names neither email nor user_id.")
    user, value = choose(place.store, owner), _text(fields, "value")
    facts: dict[str, Any] = {
        "name": _text(fields, "name") or "imported", "key_id": _text(fields, "id"), "enabled": _enabled(fields), "expires_at": _expiry(fields),
    }  # fmt: skip
    if seen is not None:
        known = is_known(place.store, vault, user.id, value, name=facts["name"], key_id=facts["key_id"])
        if seen.setdefault(value, user.id) != user.id:
            raise Conflict("value_exists", "This value stands in an earlier line for somebody else.")
        return Line(number, "unchanged" if known else "imported", user.email)
    key, is_new = take_in(place.store, vault, user.id, value, by=caller(), **facts)
    return Line(number, "imported" if is_new else "unchanged", user.email, key.id)


def _read(file: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield (line number, fields); a line that cannot be read has its problem under the empty name."""
    text = _text_of(file)
    if text.lstrip()[:1] == "{":
        for number, line in enumerate(text.splitlines(), 1):
            if line.strip():
                yield number, _json_line(line)
        return
    rows = csv.DictReader(StringIO(text), strict=True)
    names = [name.strip().lower() for name in rows.fieldnames or ()]
    if "value" not in names or not {"email", "user_id"} & set(names):
        raise InvalidRequest("invalid_file", f"{file} has no header with value and email (or user_id), and is no JSON lines either.")
    ignored = [name for name in names if name not in _KNOWN]
    if ignored:
        warn(f"Columns left aside: {', '.join(safe(name) for name in ignored)}.")
    rows.fieldnames = names
    try:
        for fields in rows:
            yield rows.line_num, {"": "The line has more cells than the header."} if None in fields else dict(fields)
    except csv.Error as error:
        yield rows.line_num, {"": f"The rest of the file is no CSV: {error}."}


def _text_of(file: Path) -> str:
    try:
        if str(file) == "-":
            raw = sys.stdin.buffer.read(LARGEST + 1)
        else:
            if file.stat().st_mode & _OTHERS_CAN:
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


def _json_line(line: str) -> dict[str, Any]:
    try:
        return msgspec.json.decode(line, type=dict[str, Any])
    except (msgspec.DecodeError, RecursionError):
        return {"": "The line is no JSON object."}


def _text(fields: dict[str, Any], name: str) -> str:
    found = fields.get(name)
    if found is None:
        return ""
    if not isinstance(found, str):
        raise InvalidRequest("invalid_line", f"{name} is no text.")
    return found.strip()


def _enabled(fields: dict[str, Any]) -> bool:
    found = fields.get("is_active")
    word = str("" if found is None else found).strip().lower()
    if word not in _OFF | _ON:
        raise InvalidRequest("invalid_line", "is_active is neither true nor false.")
    return word not in _OFF


def _expiry(fields: dict[str, Any]) -> int | None:
    found = _text(fields, "expires_at")
    if not found:
        return None
    try:
        moment = datetime.fromisoformat(found)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise InvalidRequest("invalid_line", 'expires_at is a moment like "2026-01-31T08:00:00Z".')
    return int(moment.timestamp() * 1000)


def _print(report: list[Line], *, dry_run: bool, as_json: bool) -> None:
    if as_json:
        print_json(lines=report)
        return
    shown = [line for line in report if line.outcome == "refused"]
    if shown:
        print_table(["line", "for", "why"], [(line.line, line.email, line.why) for line in shown])
    counts = Counter(line.outcome for line in report)
    would = "would be " if dry_run else ""
    say(f"{counts['imported']} {would}imported, {counts['unchanged']} there already, {counts['refused']} refused.")
    if counts["refused"]:
        click.echo("Mend the lines above and import the file again: the others change nothing then.", err=True)
