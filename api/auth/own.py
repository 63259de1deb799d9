"""Tokens of rosterd's own issuer, checked: signature and claims. Whether a `jti` still stands is the store's word, asked anew each time."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from typing import Any

import jwt
import msgspec

from api.auth.passes import Pass
from api.auth.remembered import Remembered, digest_of
from api.auth.tokens import ROLES, key_id
from api.auth.unproven import Unproven, take_apart
from api.clients import Network
from api.settings import ApiSettings

_REQUIRED = ("exp", "iss", "aud", "jti", "role")

# InvalidKeyError is no InvalidTokenError, and a number too big for an int is no JWT error at all: every one of them is a refusal.
_WRONG = (jwt.PyJWTError, LookupError, ValueError, TypeError, ArithmeticError, RecursionError)


class NotOurs(Exception):
    """The text is no token of rosterd's own issuer; it may be a virtual key, or a token of another issuer."""


class OwnIssuer:
    """Checks tokens that rosterd signed, with HS256."""

    def __init__(self, settings: ApiSettings, now: Callable[[], int]) -> None:
        self._settings = settings
        self._secrets = {key_id(secret): secret for secret in settings.secrets}
        self._remembered = Remembered(now)

    def read(self, token: str) -> Pass | None:
        """Return what the token says, None when anything about it is wrong. Raises NotOurs."""
        digest = digest_of(token)
        if (known := self._remembered.find(digest)) is not None:
            return known
        said = take_apart(token)
        if said is None or not self._is_ours(said):
            raise NotOurs
        found = self._verify(token, said)
        return None if found is None else self._remembered.keep(digest, found)

    def _is_ours(self, said: Unproven) -> bool:
        """Tell whether a token names our issuer, unproven; a key that the gateway signed says so by its `typ`."""
        return said.claims.get("iss") == self._settings.issuer and not said.is_key

    def _verify(self, token: str, said: Unproven) -> Pass | None:
        try:
            kid = said.header.get("kid")
            candidates = list(self._secrets.values()) if kid is None else [self._secrets[kid]]
            for secret in candidates:
                try:
                    return self._read(jwt.decode(token, secret.reveal(), **self._rules()))
                except jwt.InvalidSignatureError:
                    continue
        except _WRONG:
            return None
        return None

    def _rules(self) -> dict[str, Any]:
        # `iat` is not compared: the clocks of two nodes differ by more than nothing, and a token is good as soon as it is issued.
        options = {"require": list(_REQUIRED), "verify_iat": False}
        return {"algorithms": ["HS256"], "issuer": self._settings.issuer, "audience": self._settings.audience, "options": options}

    def _read(self, claims: dict[str, Any]) -> Pass | None:
        cidr: str | None = claims.get("cidr")
        network: Network | None = ipaddress.ip_network(cidr) if cidr is not None else None
        said = {"expires_at": int(claims["exp"]), "caller": claims.get("jti"), "user_id": claims.get("sub")}
        found = msgspec.convert(
            {**said, **{name: claims.get(name) for name in ("role", "jti", "domain", "max_users")}}, Pass
        )  # a wrong type is a ValueError
        if found.role not in ROLES or (found.role == "device") != (found.user_id is not None):
            return None
        return msgspec.structs.replace(found, network=network)
