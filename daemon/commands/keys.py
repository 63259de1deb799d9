"""`rosterd keys`: virtual keys by hand; policies and syncs do the rest."""

from __future__ import annotations

import click

from daemon.commands.choosing import choose, find
from daemon.commands.opening import caller, opened
from daemon.commands.options import Duration, Plural, takes_config, takes_json
from daemon.printing import print_json, print_table, safe, say, warn


@click.group(cls=Plural)
@takes_config
def keys() -> None:
    """List virtual keys, issue one by hand, enable and disable them. Alone: list them."""


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
    rows = [
        (
            key.email,
            key.name,
            "active" if key.is_active else "inactive",
            key.origin,
            key.policy,
            key.created_at,
            key.expires_at,
            key.disabled_by,
            key.id,
        )
        for key in found
    ]
    print_table(["email", "name", "state", "origin", "policy", "created", "expires", "disabled by", "id"], rows)
    return 0


@keys.command()
@click.argument("email")
@click.option("--name", default="by hand", show_default=True, help="What the key is called where it is listed.")
@click.option("--expires", type=Duration(), metavar="DURATION", help='When it ends, say "90d" (default: never).')
@takes_json
def issue(email: str, name: str, expires: int | None, as_json: bool) -> int:
    """Give a user one more key and print its value, this once."""
    from sync.store.keys import issue as issue_key

    with opened() as place:
        user = choose(place.store, email)
        expires_at = None if expires is None else place.store.now() + expires * 1000
        key, value = issue_key(place.store, place.vault(), user.id, name=_checked(name), by=caller(), expires_at=expires_at)
    if as_json:
        import msgspec

        print_json(virtual_key={**msgspec.to_builtins(key), "value": value})
        return 0
    say(value)
    warn(f"Key {key.id} ({safe(name)}) of {safe(user.email or user.username)}; the value is shown only now.")
    if not key.is_active:
        warn(f"It is not active: the user is {'blocked' if user.blocked else user.state}.")
    return 0


@keys.command()
@click.argument("key_id", metavar="ID")
@takes_json
def enable(key_id: str, as_json: bool) -> int:
    """Enable a key."""
    return _set(key_id, True, as_json)


@keys.command()
@click.argument("key_id", metavar="ID")
@takes_json
def disable(key_id: str, as_json: bool) -> int:
    """Disable a key from the next request on; no sync enables it again."""
    return _set(key_id, False, as_json)


def _set(key_id: str, enabled: bool, as_json: bool) -> int:
    from sync.store.keys import set_enabled

    with opened() as place:
        key = set_enabled(place.store, key_id, enabled, caller())
    if as_json:
        print_json(virtual_key=key)
    else:
        still = "" if key.is_active or not enabled else ", but it is not active: its user is not, or it has expired"
        say(f"Key {key.id} ({safe(key.name)}) of {safe(key.email or key.user_id)} is {'enabled' if enabled else 'disabled'}{still}.")
    return 0


def _checked(name: str) -> str:
    if not name.strip() or len(name) > 200 or not name.isprintable():
        raise click.BadParameter("is 1 to 200 printable characters", param_hint="--name")
    return name
