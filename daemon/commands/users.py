"""`rosterd users`: who is known, and an admin's own decision to block somebody."""

from __future__ import annotations

from collections.abc import Iterator

import click

from daemon.commands.choosing import choose, find
from daemon.commands.opening import caller, opened
from daemon.commands.options import Plural, takes_config, takes_json
from daemon.printing import print_json, print_table, safe, say, warn
from sync.store.views import UserView

STATES = ("active", "disabled", "missing", "removed")


@click.group(cls=Plural)
@takes_config
def users() -> None:
    """Look at users, block and unblock them, erase who is gone. Alone: list them.

    EMAIL may be a user's id too.
    """


@users.command("list")
@click.option("--search", metavar="TEXT", default="", help="In user name, name or any address.")
@click.option("--state", type=click.Choice(STATES), help="Only in this state.")
@click.option("--source", metavar="NAME", help="Only from this source.")
@click.option("--page", type=click.IntRange(1), default=1, show_default=True)
@click.option("--limit", type=click.IntRange(1, 100), default=50, show_default=True, help="How many a page.")
@takes_json
def list_users(search: str, state: str | None, source: str | None, page: int, limit: int, as_json: bool) -> int:
    """List users by user name."""
    import msgspec

    from sync.store.people import list_users as known

    with opened() as place:
        found = known(place.store, page=page, limit=limit, search=search, state=state, source=source)
    if as_json:
        print_json(**msgspec.structs.asdict(found))
        return 0
    print_table(
        ["user name", "name", "email", "source", "state", "active keys", "id"],
        [(u.username, u.name, u.email, u.source, _state(u), sum(key.is_active for key in u.virtual_keys), u.id) for u in found.users],
        right=["active keys"],
    )
    warn(f"{found.total:,} in all{f'; page {found.page} of {found.total_pages}' if found.total_pages > 1 else ''}.")
    return 0


@users.command()
@click.argument("email")
@takes_json
def show(email: str, as_json: bool) -> int:
    """Show one user: addresses, groups, state, keys (without their values)."""
    with opened() as place:
        user = find(place.store, email)
    if as_json:
        print_json(user=user)
        return 0
    for title, text in describe(user):
        say(f"{title:<10} {safe(text)}")
    return 0


@users.command()
@click.argument("email")
@takes_json
def block(email: str, as_json: bool) -> int:
    """Make a user's keys inactive from the next request on; no sync undoes it."""
    from sync.store import people

    with opened() as place:
        user = people.block(place.store, choose(place.store, email).id, caller())
    if as_json:
        print_json(user=user)
    else:
        say(f"{_named(user)} is blocked: no key of theirs is active from the next request on. `rosterd users unblock` takes it back.")
    return 0


@users.command()
@click.argument("email")
@takes_json
def unblock(email: str, as_json: bool) -> int:
    """Take a block back."""
    from sync.store import people

    with opened() as place:
        user = people.unblock(place.store, choose(place.store, email).id, caller())
    if as_json:
        print_json(user=user)
    else:
        active = sum(key.is_active for key in user.virtual_keys)
        say(f"{_named(user)} is not blocked any more; active keys: {active} of {len(user.virtual_keys)} (the directory says {user.state}).")
    return 0


@users.command()
@click.argument("email")
@takes_json
def erase(email: str, as_json: bool) -> int:
    """Forget a user who is gone: name, addresses, groups, keys, and what runs noted. The id stays; there is no way back."""
    from sync.store.forgetting import erase as forget

    with opened() as place:
        user = find(place.store, email)
        forget(place.store, user.id, caller())
    if as_json:
        print_json(erased={"id": user.id})
    else:
        say(f"The user {user.id} is erased. Backups made before, and lines of the log, still name them until they are gone too.")
    return 0


def describe(user: UserView) -> Iterator[tuple[str, str]]:
    """Yield what there is to say about a user, a title and a text each."""
    yield "user", f"{user.username or '(no user name)'} {user.name}".strip()
    yield "id", user.id
    yield "source", f"{user.source}, {user.external_id}"
    yield "state", _state(user)
    if user.expires_at:
        yield "expires", user.expires_at
    for email in user.emails:
        marks = ", ".join(mark for mark, true in (("primary", email.primary), ("not held", not email.held)) if true)
        yield "address", f"{email.address} ({marks})" if marks else email.address
    for group in user.groups:
        yield "group", group
    for key in user.virtual_keys:
        until = f", until {key.expires_at}" if key.expires_at else ""
        yield "key", f"{key.id} {key.name}: {'active' if key.is_active else 'inactive'}, {key.origin} {key.created_at}{until}"
    yield "created", user.created_at
    yield "changed", user.updated_at
    yield "last seen", user.last_seen_at or "never"


def _state(user: UserView) -> str:
    return f"{user.state}, blocked" if user.blocked else user.state


def _named(user: UserView) -> str:
    return safe(user.email or user.username or user.id)
