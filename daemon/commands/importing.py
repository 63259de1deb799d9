"""Keys that exist already, taken in from a file: each line for itself, with a report of what became of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import click
import msgspec

from daemon.commands.choosing import choose
from daemon.commands.lines import check_readable, read_csv, read_text, text_of
from daemon.commands.opening import Opened, caller
from daemon.printing import print_json, print_table, say
from sync.errors import Conflict, InvalidRequest, RosterError

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

    check_readable(fields)
    owner = text_of(fields, "email") or text_of(fields, "user_id")
    if not owner:
        raise InvalidRequest("invalid_line", "The line names neither email nor user_id.")
    user, value = choose(place.store, owner), text_of(fields, "value")
    facts: dict[str, Any] = {
        "name": text_of(fields, "name") or "imported", "key_id": text_of(fields, "id"), "enabled": _enabled(fields), "expires_at": _expiry(fields),
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
    text = read_text(file, holds_keys=True)
    if text.lstrip()[:1] == "{":
        for number, line in enumerate(text.splitlines(), 1):
            if line.strip():
                yield number, _json_line(line)
        return
    refusal = f"{file} has no header with value and email (or user_id), and is no JSON lines either."
    yield from read_csv(text, _KNOWN, ("value", "email|user_id"), refusal)


def _json_line(line: str) -> dict[str, Any]:
    try:
        return msgspec.json.decode(line, type=dict[str, Any])
    except (msgspec.DecodeError, RecursionError):
        return {"": "The line is no JSON object."}


def _enabled(fields: dict[str, Any]) -> bool:
    found = fields.get("is_active")
    word = str("" if found is None else found).strip().lower()
    if word not in _OFF | _ON:
        raise InvalidRequest("invalid_line", "is_active is neither true nor false.")
    return word not in _OFF


def _expiry(fields: dict[str, Any]) -> int | None:
    found = text_of(fields, "expires_at")
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
