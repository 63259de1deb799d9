"""The day a token is stolen: every key it was shown gets a new value."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from daemon.commands.opening import Opened, caller
from daemon.commands.trail import read_trail
from daemon.printing import plural, print_json, print_table, safe, say, warn

if TYPE_CHECKING:
    from sync.store.keys import OwnedKey


def rotate_read_by(place: Opened, jti: str, since: int, *, overlap: int, expires_at: int | None, dry_run: bool, as_json: bool) -> int:
    """Rotate every living key of every user that the token `jti` was shown since `since` (ms), as the audit file has it, unless what it was shown
    works no more; print which. Those without an expiry get `expires_at` (ms).

    Values are not printed: those who may ask for them get them by the lookup. Return 0, or 6 when a key could not be rotated.
    """
    from sync.errors import RosterError
    from sync.store.keychanges import Stamp, rotate
    from sync.store.keys import list_keys

    shown = _shown_to(place, jti, since)
    keys = [key for user_id in sorted(shown) for key in list_keys(place.store, user_id) if not _is_dead(key, shown[user_id])]
    failed: list[tuple[str, str]] = []
    if not dry_run and keys:
        vault, mint = place.vault(), place.mint()
        for key in keys:
            try:
                new = None if key.expires_at else expires_at
                rotate(place.store, vault, key.id, Stamp(caller()), overlap=overlap * 1000, expires_at=new, mint=mint)
            except RosterError as error:
                failed.append((key.id, str(error)))
    _print(jti, keys, failed, len(shown), dry_run=dry_run, as_json=as_json)
    return 6 if failed else 0


def _shown_to(place: Opened, jti: str, since: int) -> dict[str, int]:
    """Return the users whose keys the token was shown, each with when it last was (ms)."""
    known, shown = False, {}
    for record in read_trail(place, since=since, caller=jti):
        known = True
        if _shows_keys(record):
            shown[str(record["user_id"])] = int(record["at_ms"])
    if not known:
        warn(f"The audit files have no record of {safe(jti)} since then: look at the id, the time, and [audit] keep.")
    return shown


def _shows_keys(record: dict[str, object]) -> bool:
    """Tell whether the answer held key values; a 304 says that the caller had them already, and whoever makes a key by hand is shown it."""
    looked_up = record.get("kind") == "lookup" and record.get("outcome") in ("found", "not_modified")
    made = record.get("kind") == "change" and record.get("action") in ("key.issued", "key.rotated", "key.imported")
    return (looked_up or made) and bool(record.get("user_id"))


def _is_dead(key: OwnedKey, shown_ms: int) -> bool:
    """Tell whether the value that was shown works no more: rotated away since, and in no overlap."""
    rotated = key.rotated_at is not None and datetime.fromisoformat(key.rotated_at).timestamp() * 1000 > shown_ms
    return rotated and key.overlap_until is None


def _print(jti: str, keys: list[OwnedKey], failed: list[tuple[str, str]], users: int, *, dry_run: bool, as_json: bool) -> None:
    if as_json:
        print_json(virtual_keys=keys, failed=[{"id": key_id, "why": why} for key_id, why in failed])
        return
    if dry_run:
        print_table(["email", "name", "origin", "id"], [(key.email, key.name, key.origin, key.id) for key in keys])
    verb = "would get" if dry_run else "got"
    rotated = plural(len(keys) - len(failed), "key")
    say(f"The token {safe(jti)} was shown the keys of {plural(users, 'user')}; {rotated} {verb} a new value.")
    for key_id, why in failed:
        warn(f"Key {key_id} was not rotated: {safe(why)}")
