"""Checking a JWT: its signature and claims. Whether its `jti` still stands is the store's word, asked anew each time."""

from __future__ import annotations

import hashlib
import ipaddress
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import jwt
import msgspec

from api.auth.tokens import ROLES, key_id
from api.clients import Network, parse_address
from api.settings import ApiSettings
from sync.address import domain_of

LONGEST_TOKEN = 8192
"""Octets; a longer credential is refused unread."""

_REMEMBERED = 4096
_REQUIRED = ("exp", "iss", "aud", "jti", "role")

# InvalidKeyError is no InvalidTokenError, and a number too big for an int is no JWT error at all: every one of them is a refusal.
_WRONG = (jwt.PyJWTError, LookupError, ValueError, TypeError, ArithmeticError, RecursionError)


class NotOurs(Exception):
    """The text is no token of rosterd's own issuer; it may be a virtual key."""


class Pass(msgspec.Struct, frozen=True):
    """What a token with a good signature says. `expires_at` in seconds; `user_id` only of a device."""

    role: str
    jti: str
    expires_at: int
    user_id: str | None = None
    domain: str | None = None
    network: Any = None
    max_users: int | None = None

    def reaches(self, matched: str | None, client: str) -> bool:
        """Tell whether the bounds of the token let this client ask for this address (None: for no address)."""
        if self.domain is not None and (matched is None or domain_of(matched) != self.domain):
            return False
        if self.network is None:
            return True
        address, network = parse_address(client), self.network
        return address is not None and address.version == network.version and address in network


class PassCheck:
    """Checks tokens of rosterd's own issuer. Only good signatures are remembered (by digest, bounded, until `exp`), nothing of the store."""

    def __init__(self, settings: ApiSettings, now: Callable[[], int]) -> None:
        self._settings = settings
        self._now = now
        self._secrets = {key_id(secret): secret for secret in settings.secrets}
        self._known: OrderedDict[bytes, Pass] = OrderedDict()

    def read(self, token: str) -> Pass | None:
        """Return what the token says, None when anything about it is wrong.

        Raises NotOurs for what is no JWT of our issuer: a virtual key, whatever its form.
        """
        digest = hashlib.sha256(token.encode()).digest()
        known = self._known.get(digest)
        if known is None:
            if not self._is_ours(token):
                raise NotOurs
            known = self._verify(token)
            if known is not None:
                self._remember(digest, known)
            return known
        if known.expires_at * 1000 > self._now():
            self._known.move_to_end(digest)
            return known
        del self._known[digest]
        return None

    def _remember(self, digest: bytes, found: Pass) -> None:
        self._known[digest] = found
        if len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)

    def _is_ours(self, token: str) -> bool:
        """Tell whether a token names our issuer, unproven; a key that the gateway signed says so by its `typ`."""
        if token.count(".") != 2:
            return False
        try:
            unproven = jwt.decode_complete(token, options={"verify_signature": False})
            return bool(unproven["payload"].get("iss") == self._settings.issuer and unproven["header"].get("typ") != "vk+jwt")
        except _WRONG:
            return False

    def _verify(self, token: str) -> Pass | None:
        try:
            kid = jwt.get_unverified_header(token).get("kid")
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
        named = {name: claims.get(name) for name in ("role", "jti", "domain", "max_users")}
        said = {"expires_at": int(claims["exp"]), "user_id": claims.get("sub"), **named}
        found = msgspec.convert(said, Pass)  # a claim of the wrong type is a ValueError
        if found.role not in ROLES or (found.role == "device") != (found.user_id is not None):
            return None
        return msgspec.structs.replace(found, network=network)
