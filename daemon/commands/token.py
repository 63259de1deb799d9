"""`rosterd token`: bearers for those who ask."""

from __future__ import annotations

import click

from daemon.commands.choosing import choose
from daemon.commands.opening import caller, opened
from daemon.commands.options import Duration, Plural, takes_config, takes_json
from daemon.printing import print_json, print_table, safe, say, warn
from sync.store.views import TokenView

ROLES = {
    "admin": "everything under /api",
    "operator": "runs, sources, users, block; never a key's value or a token",
    "lookup": "any user's keys: for the MDM server, never for a laptop",
    "device": "one user's keys: what a laptop carries",
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
@click.option("--max-users", type=int, metavar="N", help="Bounds a lookup token to the keys of so many different users within 24 hours.")
@takes_json
def issue(
    role: str, ttl: int, user: str | None, label: str, domain: str | None, cidr: str | None, max_users: int | None, as_json: bool
) -> int:  # fmt: skip
    """Issue a token and print it bare on stdout, this once."""
    from api.auth.tokens import issue_token

    with opened() as place:
        user_id = choose(place.store, user).id if user else None
        value, view = issue_token(
            place.store,
            place.config.api,
            role=role,
            ttl=ttl,
            by=caller(),
            user_id=user_id,
            label=label,
            domain=domain,
            cidr=cidr,
            max_users=max_users,
        )
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
@takes_json
def list_tokens(as_json: bool) -> int:
    """List tokens, newest first, with their last use."""
    from sync.store.tokens import list_tokens as known

    with opened() as place:
        found = known(place.store)
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
