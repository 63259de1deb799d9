"""`rosterd audit`: who read or changed what."""

from __future__ import annotations

from typing import Any

import click

from daemon.commands.choosing import find
from daemon.commands.opening import opened
from daemon.commands.options import Moment, takes_json
from daemon.printing import print_json_line, print_table, warn


@click.command()
@click.option("--token", "jti", metavar="JTI", default="", help="Only what this token (or the key with this id) did, and what was done to it.")
@click.option("--user", metavar="EMAIL", help="Only what concerns this user.")
@click.option("--since", type=Moment(), default=0, metavar="TIME", help='Only since then, like "2026-01-31T08:00:00Z" or "3d" (ago).')
@takes_json
def audit(jti: str, user: str | None, since: int, as_json: bool) -> int:
    """Show who read or changed what, oldest first. With --json a line each, as the audit file has it.

    The records name users, keys and tokens by their ids; addresses, key values and tokens are never in them.
    """
    from daemon.commands.trail import read_trail

    with opened() as place:
        user_id = find(place.store, user).id if user else ""
        found = read_trail(place, since=since, caller=jti, user_id=user_id)
        if as_json:
            for record in found:
                record.pop("at_ms")
                print_json_line(record)
            return 0
        rows = [_row(record) for record in found]
        print_table(["time", "who", "did", "to", "from", "outcome"], rows)
        if not rows:
            warn("No record of that: look at the id and the time; what is older than [audit] keep is gone.")
    return 0


def _row(record: dict[str, Any]) -> tuple[object, ...]:
    who = record.get("by") or ":".join(str(part) for part in (record.get("role"), record.get("caller")) if part)
    target = record.get("target")
    about = [record.get("user_id"), record.get("key_id"), record.get("jti"), *(target.values() if isinstance(target, dict) else ())]
    did = record.get("action") or record.get("kind")
    return (
        record.get("at") or record.get("time"), who or "nobody", did, " ".join(str(one) for one in about if one),
        record.get("client"), record.get("outcome") or record.get("status"),
    )  # fmt: skip
