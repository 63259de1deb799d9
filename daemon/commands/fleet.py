"""Device tokens for a fleet: one for each line of a file, each line for itself, with a report of what became of it."""

from __future__ import annotations

import csv
import os
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import IO, Any

import msgspec

from daemon.commands.lines import check_readable, read_csv, read_text, text_of
from daemon.commands.opening import Opened, caller
from daemon.printing import print_json, safe, warn
from sync.errors import InvalidRequest, RosterError
from sync.store.tokens import NewToken

BATCH = 1000
"""Lines issued in one transaction."""

_COLUMNS = ("email", "label", "jti", "token", "expires_at")
_KNOWN = ("email", "label", "ttl")


class Line(msgspec.Struct, omit_defaults=True):
    """What became of a line: issued, skipped (there is a standing token of this user and label) or refused."""

    line: int
    outcome: str
    email: str = ""
    label: str = ""
    jti: str = ""
    token: str = ""
    expires_at: str = ""
    why: str = ""


def issue_fleet(
    place: Opened, file: Path, *, ttl: int, out: Path | None, skip_existing: bool, dry_run: bool, as_json: bool
) -> int:  # fmt: skip
    """Issue a device token for every line that can have one, and write them to `out` (0600, never over another file) or stdout; return 6 when
    a line was refused, else 0. A line of CSV is written before its token is issued: what cannot be written never stands. Raises InvalidRequest."""
    from sync.store import tokens

    lines = read_csv(read_text(file), _KNOWN, ("email",), f"{file} has no header with a column email.")
    known = tokens.standing_devices(place.store) if skip_existing else None
    report: list[Line] = []
    with _opened(None if dry_run else out) as target:
        shows = not dry_run and (out is not None or not as_json)
        if shows:
            csv.writer(target, lineterminator="\n").writerow(_COLUMNS)
        while batch := list(islice(lines, BATCH)):
            done = [_prepare(place, number, fields, ttl, known) for number, fields in batch]
            rows = [row for _, row in done if row is not None]
            if rows and not dry_run:
                _sign(place, done)
                if shows:
                    _write(target, [line for line, row in done if row is not None])
                tokens.add(place.store, rows)
            report += [line for line, _ in done]
    _tell(report, dry_run=dry_run, as_json=as_json, bare=out is not None)
    return 6 if any(line.outcome == "refused" for line in report) else 0


def _prepare(place: Opened, number: int, fields: dict[str, Any], ttl: int, known: set[tuple[str, str]] | None) -> tuple[Line, NewToken | None]:
    """Return what is to become of a line, and the row of its token if it is to have one."""
    from api.auth.tokens import Order, find_bearer, make_row
    from api.values import parse_duration

    line = Line(number, "issued", str(fields.get("email") or ""), str(fields.get("label") or ""))
    try:
        check_readable(fields)
        line.email, line.label, own_ttl = text_of(fields, "email"), text_of(fields, "label"), text_of(fields, "ttl")
        if "@" not in line.email:
            raise InvalidRequest("invalid_line", "The line names no e-mail address.")
        user_id = find_bearer(place.store, line.email)
        ttl = parse_duration(own_ttl, "ttl") if own_ttl else ttl
        row = make_row(place.store, Order(role="device", ttl=ttl, by=caller(), user_id=user_id, label=line.label))
    except RosterError as error:
        line.outcome, line.why = "refused", str(error)
        return line, None
    if known is not None:
        if (user_id, line.label) in known:
            line.outcome = "skipped"
            return line, None
        known.add((user_id, line.label))
    return line, row


def _write(target: IO[str], lines: list[Line]) -> None:
    """Write what was signed, to the last octet. Raises InvalidRequest."""
    try:
        csv.writer(target, lineterminator="\n").writerows([getattr(line, column) for column in _COLUMNS] for line in lines)
        target.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), target.fileno())  # it is flushed once more when it closes
        why = f"The tokens cannot be written: {error.strerror}. Those written completely before are issued, no others."
        raise InvalidRequest("output_unwritable", why, "Make room, then go on with --skip-existing.") from None


def _sign(place: Opened, done: list[tuple[Line, NewToken | None]]) -> None:
    """Sign the tokens of a batch into their lines."""
    from api.auth.tokens import sign
    from sync.store.views import must_rfc3339

    for line, row in done:
        if row is not None:
            line.jti, line.token, line.expires_at = row.jti, sign(row, place.config.api), must_rfc3339(row.expires_at)


@contextmanager
def _opened(out: Path | None) -> Iterator[IO[str]]:
    """Open a new file that only its owner can read, or stdout. Raises InvalidRequest."""
    if out is None:
        yield sys.stdout
        return
    try:
        descriptor = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        raise InvalidRequest("output_exists", f"{out} is there already; nothing was issued.", "Name another file, or take it away.") from None
    except OSError as error:
        raise InvalidRequest("output_unwritable", f"{out} cannot be written: {error.strerror}; nothing was issued.") from None
    with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as target:
        yield target


def _tell(report: list[Line], *, dry_run: bool, as_json: bool, bare: bool) -> None:
    """Say what became of the lines: stdout belongs to the tokens. With `bare` they stand in a file, and JSON leaves them out."""
    if as_json:
        print_json(lines=[msgspec.structs.replace(line, token="") if bare else line for line in report])
        return
    for line in report:
        if line.outcome == "refused":
            warn(f"line {line.line}: {safe(line.email)}: {safe(line.why)}")
    counts = Counter(line.outcome for line in report)
    verb = "would be issued" if dry_run else "issued, shown only now"
    warn(f"{counts['issued']} {verb}; {counts['skipped']} skipped, for such a token stands; {counts['refused']} refused.")
