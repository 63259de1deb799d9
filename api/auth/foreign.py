"""Tokens of other issuers, checked: each issuer's with its own keys, and with no more rights than its table in the configuration gives."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jwt

from api.auth.keysets import KeySet, parse_jwks, parse_pems
from api.auth.passes import Pass
from api.auth.published import Published
from api.auth.remembered import Remembered, digest_of
from api.auth.unproven import Unproven, take_apart
from api.settings import ApiSettings, IssuerSettings

LONGEST_LIFE = 86_400
"""Seconds from `iat` to `exp`: nobody can revoke such a token here, so none lives long."""

LEEWAY = 30
"""Seconds that an issuer's clock may be ahead of ours."""

ROLES = ("admin", "operator", "lookup")
"""What a table may give, most first: a token with several of them has the first."""

LONGEST_CALLER = 200
_REQUIRED = ["exp", "iat", "iss", "aud"]
_WRONG = (jwt.PyJWTError, LookupError, ValueError, TypeError, ArithmeticError, RecursionError)


class ForeignIssuers:
    """All issuers of `[[auth.issuer]]`. `iss` chooses the issuer, then `kid` its key; nothing else in a token does."""

    def __init__(self, settings: ApiSettings, published: Published, now: Callable[[], int]) -> None:
        self._issuers = {one.issuer: ForeignIssuer(one, published, now) for one in settings.issuers}

    def read(self, token: str) -> Pass | None:
        """Return what the token may do, None when anything about it is wrong or nobody here knows its issuer."""
        if not self._issuers or (said := take_apart(token)) is None:
            return None
        named = said.claims.get("iss")
        issuer = self._issuers.get(named) if isinstance(named, str) else None
        # The value of a key is good by its digest, or not at all.
        return None if issuer is None or said.is_key else issuer.read(token, said)


class ForeignIssuer:
    """One of them. Good signatures are remembered until `exp`, or until its key set changes."""

    def __init__(self, settings: IssuerSettings, published: Published, now: Callable[[], int]) -> None:
        self._settings, self._published, self._now = settings, published, now
        self._fixed = _fixed_keys(settings)
        self._keys = KeySet()
        self._remembered = Remembered(now)

    def read(self, token: str, said: Unproven) -> Pass | None:
        """Return what a token that names this issuer may do, None when anything about it is wrong."""
        keys = self._fixed or self._published.keys_of(self._settings)
        if keys is not self._keys:
            self._keys = keys
            self._remembered.forget()
        digest = digest_of(token)
        if (known := self._remembered.find(digest)) is not None:
            return known
        try:
            claims = self._verify(token, said.header)
            found = None if claims is None else self._allow(claims)
        except _WRONG:
            return None
        return None if found is None else self._remembered.keep(digest, found)

    def _verify(self, token: str, header: dict[str, Any]) -> dict[str, Any] | None:
        """Return the claims, proven. Raises one of _WRONG."""
        kid, algorithm = header.get("kid"), header["alg"]
        if algorithm not in self._settings.algorithms or "crit" in header or not (kid is None or isinstance(kid, str)):
            return None
        if not self._fixed and self._keys.lacks(kid):
            self._published.want(self._settings)
        for candidate in self._keys.candidates(kid, algorithm):
            try:
                return jwt.decode(
                    token, candidate.key, algorithms=[algorithm], issuer=self._settings.issuer, audience=self._settings.audience,
                    options={"require": _REQUIRED, "verify_exp": False, "verify_iat": False, "verify_nbf": False},
                )  # fmt: skip
            except jwt.InvalidSignatureError:
                continue
        return None

    def _allow(self, claims: dict[str, Any]) -> Pass | None:
        """Return the rights that the table gives to a proven token, None when it gives none, or not now."""
        now, issued, expires, since = self._now() / 1000, _seconds(claims["iat"]), _seconds(claims["exp"]), _seconds(claims.get("nbf", 0))
        if not (now < expires <= issued + LONGEST_LIFE and max(issued, since) <= now + LEEWAY):
            return None
        caller = _name(self._settings.issuer, claims)
        if "virtual-key" in self._settings.may and self._settings.key_claim in claims:
            key_id = claims[self._settings.key_claim]
            if not isinstance(key_id, str) or not key_id or not key_id.isprintable():
                return None
            return Pass("virtual-key", caller, int(expires), key_id=key_id, issued_at=int(issued * 1000))
        role = self._role(claims)
        return None if role is None else Pass(role, caller, int(expires))

    def _role(self, claims: dict[str, Any]) -> str | None:
        """Return the highest role that a claim's values lead to and that the table allows."""
        if not self._settings.role_claim:
            return None
        said = claims.get(self._settings.role_claim)
        values = [value for value in (said if isinstance(said, list) else [said]) if isinstance(value, str)]
        roles = dict(self._settings.roles)
        given = {roles.get(value) if roles else value for value in values}
        return next((role for role in ROLES if role in given and role in self._settings.may), None)


def _fixed_keys(settings: IssuerSettings) -> KeySet | None:
    if settings.jwks_url:
        return None
    return parse_jwks(settings.jwks) if settings.jwks else parse_pems(settings.pems)


def _seconds(value: object) -> float:
    """Return a NumericDate (RFC 7519 section 2). Raises ValueError."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e11:
        raise ValueError("no time")
    return float(value)


def _name(issuer: str, claims: dict[str, Any]) -> str:
    """Return who the audit names: the issuer and whom it speaks of, else its token; never long, never unprintable."""
    said = next((claims[name] for name in ("sub", "jti") if isinstance(claims.get(name), str)), "")
    text = f"{issuer}#{said}"[:LONGEST_CALLER]
    return "".join(one if one.isprintable() else "\ufffd" for one in text)
