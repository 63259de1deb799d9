"""Reading the audit files back: who read or changed what, oldest first."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

import msgspec

from api.auditfile import lines
from daemon.commands.opening import Opened
from daemon.printing import warn


def read_trail(place: Opened, *, since: int = 0, caller: str = "", user_id: str = "") -> Iterator[dict[str, Any]]:
    """Yield the records of the audit files, oldest first, each with its time in ms as `at_ms`: those since `since` (ms), of the token or key
    `caller`, about the user `user_id`. Lines that cannot be read are counted on stderr, for a file that was meddled with must not look whole."""
    bring_up_to_date(place)
    broken = 0
    for line in lines(place.config.audit.path, since / 1000):
        record = _parse(line)
        if record is None:
            broken += 1
        elif record["at_ms"] >= since and _concerns(record, caller, user_id):
            yield record
    if broken:
        warn(f"{broken} lines of the audit file cannot be read.")


def bring_up_to_date(place: Opened) -> None:
    """Tell the audit file what happened while no daemon ran."""
    from api.audit import AuditLog
    from daemon.relay import relay

    audit = AuditLog(place.config.audit.path, place.config.audit.keep)
    try:
        relay(place.store, audit)
    finally:
        audit.close()


def _parse(line: bytes) -> dict[str, Any] | None:
    try:
        record = msgspec.json.decode(line, type=dict[str, Any])
        moment = datetime.fromisoformat(record.get("at") or record["time"])
        record["at_ms"] = int(moment.timestamp() * 1000)
    except (msgspec.DecodeError, KeyError, ValueError, TypeError):
        return None
    return record


def _concerns(record: dict[str, Any], caller: str, user_id: str) -> bool:
    target = record.get("target") or {}
    about = (record.get("user_id"), target.get("user_id") if isinstance(target, dict) else None)
    by = (record.get("caller"), record.get("jti"), str(record.get("by", "")).partition(":")[2])
    return (not caller or caller in by) and (not user_id or user_id in about)
