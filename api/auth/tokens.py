"""Tokens of rosterd's own issuer: JWTs with HS256, valid only while their `jti` stands in the store."""

from __future__ import annotations

import hashlib
import ipaddress
from dataclasses import dataclass
from typing import Any

import jwt

from api.settings import ApiSettings
from api.values import parse_email
from sync.address import MalformedAddress, normalise_domain
from sync.errors import Conflict, InvalidRequest, NotFound
from sync.ids import new_jti
from sync.settings import Secret
from sync.store import lookup, people, tokens
from sync.store.engine import Store
from sync.store.tokens import NewToken
from sync.store.views import TokenView

ROLES = ("admin", "operator", "lookup", "device", "scim")
LONGEST_TTL = 3650 * 86_400
"""Seconds. Ten years: longer is a mistake in the unit."""

LONGEST_LABEL = 200

MOST_USERS = 100_000
"""What `max_users` can be at most: they are kept in memory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """A token that `by` asks for; `ttl` in seconds. A device token needs `user_id`, a scim token the `source` that its provider pushes to;
    `domain`, `cidr` and `max_users` bound a lookup token."""

    role: str
    ttl: int
    by: str
    user_id: str | None = None
    label: str = ""
    domain: str | None = None
    cidr: str | None = None
    max_users: int | None = None
    source: str | None = None


def issue_token(store: Store, settings: ApiSettings, order: Order) -> tuple[str, TokenView]:
    """Return a new token, shown this once, and its record. Raises InvalidRequest."""
    if order.role == "scim" and order.source is not None and order.source not in settings.pushed:
        raise InvalidRequest("invalid_source", 'There is no [[source]] of this name with kind = "scim-push" in the configuration.', param="source")
    row = make_row(store, order)
    tokens.add(store, [row])
    return sign(row, settings), tokens.get_token(store, row.jti)


def make_row(store: Store, order: Order) -> NewToken:
    """Return the row of a token about to be issued; nothing is stored yet. Raises InvalidRequest."""
    _check(order)
    now = store.now() // 1000 * 1000
    return NewToken(
        jti=new_jti(), role=order.role, user_id=order.user_id, source=order.source, label=order.label, domain=_checked_domain(order),
        cidr=_checked_cidr(order), max_users=order.max_users, issued_at=now, issued_by=order.by, expires_at=now + order.ttl * 1000,
    )  # fmt: skip


def sign(row: NewToken, settings: ApiSettings) -> str:
    """Return the JWT of a token's row, signed with the newest secret."""
    optional = {"sub": row.user_id, "source": row.source, "domain": row.domain, "cidr": row.cidr, "max_users": row.max_users}
    claims: dict[str, Any] = {
        "iss": settings.issuer,
        "aud": settings.audience,
        "jti": row.jti,
        "role": row.role,
        "iat": row.issued_at // 1000,
        "exp": row.expires_at // 1000,
        **{name: value for name, value in optional.items() if value is not None},
    }
    secret = settings.secrets[0]
    return jwt.encode(claims, secret.reveal(), algorithm="HS256", headers={"kid": key_id(secret)})


def key_id(secret: Secret) -> str:
    """Return the `kid` of a secret: the beginning of a digest, which says nothing of a secret of 32 random octets."""
    return hashlib.sha256(b"rosterd kid" + secret.reveal().encode()).hexdigest()[:8]


def find_bearer(store: Store, user: str) -> str:
    """Return the id of the user that a device token shall stand for, named by id or by an address that they hold, not merely list."""
    if "@" not in user:
        return people.get_user(store, user).id
    found = lookup.by_address(store, parse_email(user, "user"))
    if found.outcome == "address_contested":
        raise Conflict("address_contested", "Several entries list this address and none holds it.", "Settle it first, or name the user's id.")
    if found.outcome != "found":
        raise NotFound("user_not_found", "No user holds this address.")
    return found.user_id


def _check(order: Order) -> None:
    if order.role not in ROLES:
        raise InvalidRequest("invalid_role", f"A role is one of {', '.join(ROLES)}.", param="role")
    if not 0 < order.ttl <= LONGEST_TTL:
        raise InvalidRequest("invalid_ttl", "A token lives longer than no time and at most ten years.", param="ttl")
    if len(order.label) > LONGEST_LABEL or not order.label.isprintable():
        raise InvalidRequest("invalid_label", f"A label has at most {LONGEST_LABEL} printable characters.", param="label")
    if (order.role == "device") != (order.user_id is not None):
        raise InvalidRequest("invalid_user", "A device token stands for one user, and no other token does.", param="user")
    if (order.role == "scim") != (order.source is not None):
        raise InvalidRequest("invalid_source", "A scim token is for one source, and no other token is.", param="source")
    if order.max_users is not None and (order.role != "lookup" or not 0 < order.max_users <= MOST_USERS):
        only = "Only a lookup token is bounded to a number of users."
        problem = only if order.role != "lookup" else f"A bound is 1 to {MOST_USERS:,} different users."
        raise InvalidRequest("invalid_max_users", problem, param="max_users")


def _checked_domain(order: Order) -> str | None:
    if order.domain is None:
        return None
    if order.role != "lookup":
        raise InvalidRequest("invalid_domain", "Only a lookup token is bounded to a domain.", param="domain")
    try:
        return normalise_domain(order.domain.removeprefix("@"))
    except MalformedAddress as error:
        raise InvalidRequest("invalid_domain", f"The domain {error}.", param="domain") from None


def _checked_cidr(order: Order) -> str | None:
    if order.cidr is None:
        return None
    if order.role != "lookup":
        raise InvalidRequest("invalid_cidr", "Only a lookup token is bounded to a network.", param="cidr")
    try:
        return str(ipaddress.ip_network(order.cidr))
    except ValueError:
        raise InvalidRequest("invalid_cidr", "A network is written like 10.20.0.0/16, with no bits set after the prefix.", param="cidr") from None
