"""`rosterd token`: bearers for those who ask."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from daemon.commands.choosing import choose, find
from daemon.commands.opening import caller, opened
from daemon.commands.options import Duration, Plural, takes_config, takes_json
from daemon.printing import print_json, print_table, safe, say, warn
from sync.store.views import TokenView

ROLES = {
    "admin": "everything under /api",
    "operator": "runs, sources, users, block; never a key's value or a token",
    "lookup": "any user's keys: for the MDM server, never for a laptop",
    "device": "one user's keys: what a laptop carries",
    "scim": "what an identity provider pushes with, to one source and nothing else",
}


@click.group(cls=Plural)
@takes_config
def token() -> None:
    """Issue, list and revoke tokens. Alone: list them."""


@token.command()
@click.option("--role", type=click.Choice(list(ROLES)), required=True, help="; ".join(f"{role}: {may}" for role, may in ROLES.items()) + ".")
@click.option("--ttl", type=Duration(), default="90d", show_default=True, metavar="DURATION", help="How long it lives.")
@click.option("--user", metavar="EMAIL", help="Whose keys a device token may see.")
@click.option("--label", default="", help="A note to know it by, like a serial number.")
@click.option("--domain", help="Bounds a lookup token to addresses of one domain.")
@click.option("--cidr", metavar="NETWORK", help="Bounds a lookup token to callers of one network, like 10.20.0.0/16.")
@click.option("--source", metavar="NAME", help="The source that a scim token may push to.")
@click.option("--max-users", type=int, metavar="N", help="Bounds a lookup token to the keys of so many different users within 24 hours.")
@click.option("--csv", "file", type=click.Path(path_type=Path, allow_dash=True), metavar="FILE", help="Device tokens for a fleet, see above.")
@click.option("--out", type=click.Path(path_type=Path), metavar="FILE", help="With --csv: where the tokens go, a new file only you can read.")
@click.option("--skip-existing", is_flag=True, help="With --csv: none for a user and label that have a standing one.")
@click.option("--dry-run", is_flag=True, help="With --csv: issue nothing; say what would become of each line.")
@takes_json
def issue(
    role: str, ttl: int, file: Path | None, out: Path | None, skip_existing: bool, dry_run: bool, as_json: bool, **bounds: Any
) -> int:  # fmt: skip
    """Issue a token and print it bare on stdout, this once.

    With --role device --csv FILE: one for each line of a CSV with the columns email and, if there are any, label and ttl. On stdout, or in --out
    FILE, come email, label, jti, token, expires_at. A bad line is reported and hinders no other. The same file again issues again.
    """
    if file is not None:
        if role != "device" or any(bounds.values()):
            raise click.UsageError("--csv is for --role device; each line names its user, and a label if there is one.")
        from daemon.commands.fleet import issue_fleet

        with opened() as place:
            return issue_fleet(place, file, ttl=ttl, out=out, skip_existing=skip_existing, dry_run=dry_run, as_json=as_json)
    if out is not None or skip_existing or dry_run:
        raise click.UsageError("--out, --skip-existing and --dry-run go with --csv.")
    if role == "device" and not bounds["user"]:
        raise click.UsageError("A device token stands for one user: --role device needs --user EMAIL, or --csv FILE for a fleet.")
    if role == "scim" and not bounds["source"]:
        raise click.UsageError("A scim token is for one source: --role scim needs --source NAME.")
    return _issue_one(role, ttl, as_json, **bounds)


def _issue_one(role: str, ttl: int, as_json: bool, *, user: str | None, **facts: Any) -> int:
    from api.auth.tokens import Order, issue_token

    with opened() as place:
        user_id = choose(place.store, user).id if user else None
        value, view = issue_token(place.store, place.config.api, Order(role=role, ttl=ttl, by=caller(), user_id=user_id, **facts))
    if as_json:
        import msgspec

        print_json(token={**msgspec.to_builtins(view), "value": value})
        return 0
    say(value)
    warn(f"{view.role} token {view.jti}{f' of {safe(view.email)}' if view.email else ''}, valid until {view.expires_at}. It is shown only now.")
    warn(f"Revoke it: rosterd token revoke {view.jti}")
    return 0


@token.command()
@click.argument("jti")
@takes_json
def revoke(jti: str, as_json: bool) -> int:
    """End a token: it is refused from the next request on."""
    from sync.store.tokens import revoke as end

    with opened() as place:
        view = end(place.store, jti, caller())
    if as_json:
        print_json(token=view)
    else:
        say(f"Token {view.jti} ({view.role}{f', {safe(view.label)}' if view.label else ''}) was revoked at {view.revoked_at}.")
    return 0


@token.command("list")
@click.option("--user", metavar="EMAIL", help="Only the device tokens of this user.")
@click.option("--role", type=click.Choice(list(ROLES)), help="Only those of this role.")
@click.option("--active", is_flag=True, help="Only those that stand: neither revoked nor expired.")
@takes_json
def list_tokens(user: str | None, role: str | None, active: bool, as_json: bool) -> int:
    """List tokens, newest first, with their last use."""
    from sync.store.tokens import Wanted
    from sync.store.tokens import list_tokens as known

    with opened() as place:
        found = known(place.store, Wanted(find(place.store, user).id if user else None, role, True if active else None))
    if as_json:
        print_json(tokens=found)
        return 0
    columns = ["token", "role", "for", "label", "issued", "by", "expires", "last used", "revoked"]
    rows = [(t.jti, t.role, _for(t), t.label, t.issued_at, t.issued_by, t.expires_at, t.last_used_at or "never", t.revoked_at) for t in found]
    print_table(columns, rows)
    return 0


def _for(view: TokenView) -> str:
    bounds = [view.email or view.user_id, view.source, view.domain and f"@{view.domain}", view.cidr, view.max_users and f"{view.max_users} users"]
    return ", ".join(bound for bound in bounds if bound)
