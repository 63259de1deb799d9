"""Key values that are JWTs: signed with private keys of their own, so that whoever has our JWKS can check them without us."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable
from typing import Any, NamedTuple

import jwt
import msgspec

from api.settings import MintSettings
from sync.errors import ConfigError, InvalidRequest
from sync.ids import new_jti
from sync.vault import Mint, Vault, mint_value

TYP = "vk+jwt"
"""The `typ` of a key: it says that the token is a virtual key, found by its digest, and never the pass of somebody."""

LEAST_RSA_BITS = 2048
_PUBLIC = {"OKP": ("crv", "kty", "x"), "EC": ("crv", "kty", "x", "y"), "RSA": ("e", "kty", "n")}
"""What a public key consists of, in the order in which RFC 7638 section 3.2 (RFC 8037 section 2) digests it. Nothing else leaves this file."""

_PEM = re.compile(r"-----BEGIN ([A-Z ]*PRIVATE KEY)-----\r?\n.*?-----END \1-----", re.DOTALL)
_REMEDY = "`openssl genpkey -algorithm ed25519` makes a good one, `openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256` one for ES256"


class SigningKey(NamedTuple):
    """A private key, the algorithm it signs with, and its public half as a JWK (RFC 7517) without `kid`, `use` and `alg`."""

    private: Any
    algorithm: str
    public: dict[str, str]

    @property
    def kid(self) -> str:
        """Return the thumbprint of the public half (RFC 7638)."""
        digest = hashlib.sha256(msgspec.json.encode(self.public)).digest()
        return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()

    @property
    def jwk(self) -> dict[str, str]:
        """Return what the world may know of it."""
        return {**self.public, "kid": self.kid, "use": "sig", "alg": self.algorithm}


def read_signing_keys(settings: MintSettings) -> list[SigningKey]:
    """Return the keys of `jwt_key_file`, newest first. Raises ConfigError, whose problems never repeat a line of the file."""
    blocks = [found[0] for found in _PEM.finditer(settings.pem.reveal() if settings.pem else "")]
    if not blocks:
        raise ConfigError([f"[keys] jwt_key_file: holds no private key (PEM); {_REMEDY}"])
    keys, problems = [], []
    for number, block in enumerate(blocks, 1):
        try:
            keys.append(_read(block))
        except ValueError as error:
            problems.append(f"[keys] jwt_key_file: key {number} {error}")
    if problems:
        raise ConfigError(problems)
    return keys


def make_mint(settings: MintSettings, now: Callable[[], int]) -> Mint:
    """Return what makes new key values, by `[keys] format`; `now` returns milliseconds. Raises ConfigError.

    A JWT has `iss`, `aud`, `sub` = user id, `vk` = key id, `iat`, `exp`, and a `jti`, so that no two values are ever the same. What is returned
    raises InvalidRequest for a key without an expiry.
    """
    if not settings.as_jwt:
        return mint_value
    newest = read_signing_keys(settings)[0]
    headers = {"typ": TYP, "kid": newest.kid}

    def mint(user_id: str, key_id: str, expires_at: int | None) -> str:
        if expires_at is None:
            raise InvalidRequest(
                "expiry_required", 'With [keys] format = "jwt" a key needs an expiry.', "Send expires_at (`--expires 90d`).", "expires_at"
            )
        claims = {
            "iss": settings.issuer, "aud": settings.audience, "sub": user_id, "vk": key_id, "jti": new_jti(), "iat": now() // 1000,
            "exp": expires_at // 1000,
        }  # fmt: skip
        return jwt.encode(claims, newest.private, algorithm=newest.algorithm, headers=headers)

    return mint


def public_keys(settings: MintSettings) -> bytes:
    """Return the JWKS (RFC 7517 section 5) of all keys of `jwt_key_file`, as JSON; an empty one where there is no such file."""
    keys = read_signing_keys(settings) if settings.pem else []
    return msgspec.json.encode({"keys": [key.jwk for key in keys]})


def value_end(vault: Vault, sealed: bytes, key_id: str, user_id: str) -> int | None:
    """Return when a key's sealed value itself ends (its `exp`, in ms), None for one that does not say. Raises VaultError."""
    value = vault.open(sealed, key_id, user_id)
    try:
        said = jwt.decode_complete(value, options={"verify_signature": False})
        return int(said["payload"]["exp"]) * 1000 if said["header"].get("typ") == TYP else None
    except (jwt.PyJWTError, LookupError, ValueError, TypeError, ArithmeticError, RecursionError):
        return None  # an imported value may look like anything


def _read(block: str) -> SigningKey:
    """Return the key of one PEM block, and the algorithm that its kind calls for. Raises ValueError, which says what is wrong."""
    if "ENCRYPTED" in block:
        raise ValueError("is encrypted with a pass phrase; the file's mode protects it, so write it without one")
    for algorithm in ("EdDSA", "ES256", "RS256"):
        means: Any = jwt.get_algorithm_by_name(algorithm)
        try:
            private = means.prepare_key(block)
            public = means.to_jwk(private, as_dict=True)
        except (jwt.PyJWTError, ValueError, TypeError):
            continue
        if public["kty"] == "OKP" and public["crv"] != "Ed25519":
            break
        if public["kty"] == "RSA" and private.key_size < LEAST_RSA_BITS:
            raise ValueError(f"is an RSA key of {private.key_size} bits; it must have at least {LEAST_RSA_BITS}")
        return SigningKey(private, algorithm, {name: public[name] for name in _PUBLIC[public["kty"]]})
    raise ValueError(f"is no Ed25519, P-256 or RSA key that can be read; {_REMEDY}")
