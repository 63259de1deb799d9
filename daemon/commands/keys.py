"""`rosterd keys`: virtual keys by hand; policies and syncs do the rest."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from daemon.commands.choosing import choose, find
from daemon.commands.opening import caller, opened
from daemon.commands.options import Duration, Moment, Plural, takes_config, takes_json
from daemon.printing import print_json, print_table, safe, say, warn

if TYPE_CHECKING:
    from sync.store.keys import OwnedKey


@click.group(cls=Plural)
@takes_config
def keys() -> None:
    """List virtual keys; issue, import, name, switch, rotate and delete them by hand. Alone: list them."""


@keys.command("list")
@click.argument("email", required=False)
@takes_json
def list_keys(email: str | None, as_json: bool) -> int:
    """List the keys of everybody, or of one user; never their values."""
    from sync.store.keys import list_keys as known

    with opened() as place:
        found = known(place.store, find(place.store, email).id if email else None)
    if as_json:
        print_json(virtual_keys=found)
        return 0
    columns = ["email", "name", "state", "origin", "policy", "created", "rotated", "expires", "disabled by", "id"]
    rows = [
        (k.email, k.name, "active" if k.is_active else "inactive", k.origin, k.policy, k.created_at, k.rotated_at, k.expires_at, k.disabled_by, k.id)
        for k in found
    ]
    print_table(columns, rows)
    return 0


@keys.command()
@click.argument("email")
@click.option("--name", default="by hand", show_default=True, help="What the key is called where it is listed.")
@click.option("--expires", type=Duration(), metavar="DURATION", help='When it ends, say "90d" (default: never, which no JWT can).')
@takes_json
def issue(email: str, name: str, expires: int | None, as_json: bool) -> int:
    """Give a user one more key and print its value, this once."""
    from sync.store.keychanges import issue as issue_key

    with opened() as place:
        user = choose(place.store, email)
        expires_at = None if expires is None else place.store.now() + expires * 1000
        key, value = issue_key(place.store, place.vault(), user.id, name=name, by=caller(), expires_at=expires_at, mint=place.mint())
    _show_value(key, value, as_json, "")
    if not key.is_active:
        warn(f"It is not active: the user is {'blocked' if user.blocked else user.state}.")
    return 0


@keys.command("import")
@click.argument("file", type=click.Path(path_type=Path, allow_dash=True))
@click.option("--dry-run", is_flag=True, help="Change nothing; say what would become of each line.")
@takes_json
def import_keys(file: Path, dry_run: bool, as_json: bool) -> int:
    """Take in keys that exist already, from CSV (with a header) or JSON lines: email (or user_id), value, and if there are any name, id,
    is_active, expires_at. FILE may be "-". A line taken in before changes nothing; a bad one is reported and hinders no other."""
    from daemon.commands.importing import take_in_all

    with opened() as place:
        return take_in_all(place, file, dry_run=dry_run, as_json=as_json)


@keys.command()
@click.argument("key_id", metavar="ID", required=False)
@click.option("--overlap", type=Duration(), default="0s", metavar="DURATION", help="How long the old value goes on working, at most 30d.")
@click.option("--expires", type=Duration(), metavar="DURATION", help="A new expiry for the key; with --read-by, only for those without one.")
@click.option("--read-by", metavar="JTI", help="Instead of one: every key that this token was shown, as the audit file has it.")
@click.option("--since", type=Moment(), metavar="TIME", help='With --read-by: shown since then, like "2026-01-31T08:00:00Z" or "3d" (ago).')
@click.option("--dry-run", is_flag=True, help="With --read-by: rotate nothing; list the keys.")
@takes_json
def rotate(
    key_id: str | None, overlap: int, expires: int | None, read_by: str | None, since: int | None, dry_run: bool, as_json: bool
) -> int:  # fmt: skip
    """Give a key a new value under the same id and print it; with --read-by every key that a stolen token was shown."""
    from daemon.commands.rotating import rotate_read_by
    from sync.store.keychanges import Stamp
    from sync.store.keychanges import rotate as rotate_key

    if bool(key_id) == bool(read_by) or (read_by is not None) != (since is not None):
        raise click.UsageError("Name one key by its ID, or give --read-by JTI and --since TIME.")
    if dry_run and key_id:
        raise click.UsageError("--dry-run goes with --read-by: a single key is rotated, or it is not.")
    with opened() as place:
        expires_at = None if expires is None else place.store.now() + expires * 1000
        if read_by is not None and since is not None:
            return rotate_read_by(place, read_by, since, overlap=overlap, expires_at=expires_at, dry_run=dry_run, as_json=as_json)
        key, value = rotate_key(
            place.store, place.vault(), key_id or "", Stamp(caller()), overlap=overlap * 1000, expires_at=expires_at, mint=place.mint()
        )  # fmt: skip
    _show_value(key, value, as_json, f"; the old one works until {key.overlap_until}" if key.overlap_until else "; the old one is dead")
    return 0


@keys.command()
@click.argument("key_id", metavar="ID")
@takes_json
def enable(key_id: str, as_json: bool) -> int:
    """Enable a key."""
    return _change(key_id, as_json, "is enabled", is_active=True)


@keys.command()
@click.argument("key_id", metavar="ID")
@takes_json
def disable(key_id: str, as_json: bool) -> int:
    """Disable a key from the next request on; no sync enables it again."""
    return _change(key_id, as_json, "is disabled", is_active=False)


@keys.command()
@click.argument("key_id", metavar="ID")
@click.argument("name")
@takes_json
def rename(key_id: str, name: str, as_json: bool) -> int:
    """Give a key another name."""
    return _change(key_id, as_json, f"is now called {safe(name)}", name=name)


@keys.command()
@click.argument("key_id", metavar="ID")
@click.argument("when", type=Duration("never"), metavar="DURATION|never")
@takes_json
def expire(key_id: str, when: int | None, as_json: bool) -> int:
    """Let a key expire after a duration from now, or never. A key that is a JWT cannot outlive its value: rotate it instead."""
    from api.auth.minting import value_end
    from sync.store.keychanges import Stamp, Wanted, change

    with opened() as place:
        at = None if when is None else place.store.now() + when * 1000
        key = change(place.store, key_id, Wanted(expires_at=at), Stamp(caller()), end=partial(value_end, place.vault()))
        return _say_of(key, as_json, "never expires" if at is None else f"expires {key.expires_at}")


@keys.command()
@click.argument("key_id", metavar="ID")
@takes_json
def delete(key_id: str, as_json: bool) -> int:
    """Delete a key for good; its value stays dead, and its policy issues no other. To take it away for a while, disable it."""
    from sync.store.keychanges import Stamp
    from sync.store.keychanges import delete as delete_key

    with opened() as place:
        return _say_of(delete_key(place.store, key_id, Stamp(caller())), as_json, "is deleted")


def _change(key_id: str, as_json: bool, what: str, **wanted: Any) -> int:
    from sync.store.keychanges import Stamp, Wanted, change

    with opened() as place:
        return _say_of(change(place.store, key_id, Wanted(**wanted), Stamp(caller())), as_json, what)


def _say_of(key: OwnedKey, as_json: bool, what: str) -> int:
    if as_json:
        print_json(virtual_key=key)
        return 0
    still = ", but it is not active: its user is not, or it has expired" if what == "is enabled" and not key.is_active else ""
    say(f"Key {key.id} ({safe(key.name)}) of {safe(key.email or key.user_id)} {what}{still}.")
    return 0


def _show_value(key: OwnedKey, value: str, as_json: bool, more: str) -> None:
    if as_json:
        import msgspec

        print_json(virtual_key={**msgspec.to_builtins(key), "value": value})
        return
    say(value)
    warn(f"Key {key.id} ({safe(key.name)}) of {safe(key.email or key.user_id)}; the value is shown only now{more}.")
