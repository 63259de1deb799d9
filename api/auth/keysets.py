"""The public keys of another issuer: read from a JWKS (RFC 7517) or PEM files, found by `kid`. Nothing symmetric, nothing private, nothing weak."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import jwt
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from api.auth.strictjson import read_object

LARGEST = 256 * 1024
"""Octets of a JWKS."""

MOST_KEYS = 64
MOST_TRIED = 16
"""Keys that a token which names none is tried against: checking a signature takes time on the event loop."""

LONGEST_KID = 256
_RSA_BITS = (2048, 8192)
"""NIST SP 800-131A wants the least; a bigger one than the most takes long to verify with."""

_ALGORITHMS: dict[tuple[str, str], tuple[Any, frozenset[str]]] = {
    ("RSA", ""): (RSAAlgorithm, frozenset({"RS256", "RS384", "RS512", "PS256"})),
    ("EC", "P-256"): (ECAlgorithm, frozenset({"ES256"})),
    ("EC", "P-384"): (ECAlgorithm, frozenset({"ES384"})),
    ("OKP", "Ed25519"): (OKPAlgorithm, frozenset({"EdDSA"})),
    ("OKP", "Ed448"): (OKPAlgorithm, frozenset({"EdDSA"})),
}
"""By `kty` and `crv`: who reads the key, and what may be verified with it (RFC 7518 section 3.1, RFC 8037)."""

_WRONG = (jwt.PyJWTError, LookupError, ValueError, TypeError, ArithmeticError, RecursionError)


class BadKeySet(ValueError):
    """What was read is no set of public keys; the message says why and repeats no key."""


class PublicKey(NamedTuple):
    """One key that verifies. `kid` None = it has no name."""

    kid: str | None
    algorithms: frozenset[str]
    key: Any


class KeySet:
    """The keys of one issuer. `unusable` says in a few words about each key that is none for verifying what nobody should publish."""

    def __init__(self, keys: Iterable[PublicKey] = (), unusable: Sequence[str] = ()) -> None:
        self.keys = tuple(keys)
        self.unusable = tuple(unusable)
        self._named = {key.kid: key for key in self.keys if key.kid is not None}
        self._nameless = tuple(key for key in self.keys if key.kid is None)

    def candidates(self, kid: str | None, algorithm: str) -> list[PublicKey]:
        """Return the keys that may have signed: the one of that name, else those without names; any of them for a token without `kid`."""
        named = self._named.get(kid) if kid is not None else None
        found = (named,) if named is not None else self._nameless if kid is not None else self.keys
        return [key for key in found if algorithm in key.algorithms][:MOST_TRIED]

    def lacks(self, kid: str | None) -> bool:
        """Tell whether a newer set may know more: no key at all, or none of this name."""
        return not self.keys or (kid is not None and kid not in self._named)


def parse_jwks(text: str | bytes) -> KeySet:
    """Read a JWKS (RFC 7517 section 5). Keys for other purposes or of unknown kinds are passed over. Raises BadKeySet."""
    if len(text) > LARGEST:
        raise BadKeySet(f"is larger than {LARGEST // 1024} KiB")
    try:
        listed = read_object(text)["keys"]
    except (ValueError, LookupError, RecursionError):
        raise BadKeySet('is no JWKS: a JSON object like {"keys": […]}, with no name twice') from None
    if not isinstance(listed, list) or not all(isinstance(one, dict) for one in listed):
        raise BadKeySet('is no JWKS: "keys" is no list of keys')
    if len(listed) > MOST_KEYS:
        raise BadKeySet(f"holds more than {MOST_KEYS} keys")
    return _gather(listed)


def parse_pems(pems: Iterable[str]) -> KeySet:
    """Read public keys in PEM (SubjectPublicKeyInfo), one in each text. Raises BadKeySet."""
    return _gather([_jwk_of(pem) for pem in pems])


def _gather(jwks: list[dict[str, Any]]) -> KeySet:
    keys: list[PublicKey] = []
    unusable: list[str] = []
    for number, jwk in enumerate(jwks, 1):
        kid = jwk.get("kid")
        called = f"the key {kid!r}" if isinstance(kid, str) and len(kid) <= LONGEST_KID and kid.isprintable() else f"key number {number}"
        try:
            if (found := _read(jwk)) is not None:
                keys.append(found)
        except BadKeySet as bad:
            unusable.append(f"{called} {bad}")
    names = [key.kid for key in keys if key.kid is not None]
    if len(set(names)) < len(names):
        raise BadKeySet("holds two keys with the same kid")
    if not keys and not unusable:
        raise BadKeySet("holds no key that verifies signatures")
    return KeySet(keys, unusable)


def _read(jwk: dict[str, Any]) -> PublicKey | None:
    """Return the key, None for one that is honestly for something else. Raises BadKeySet for one that ought not to be there."""
    if jwk.get("kty") == "oct":
        raise BadKeySet("is symmetric: whoever can verify with it could sign with it")
    if "d" in jwk:
        raise BadKeySet("is a private key: whoever can read it can sign; make a new one")
    crv = jwk.get("crv", "")
    reader, algorithms = _ALGORITHMS.get((str(jwk.get("kty")), str(crv)), (None, frozenset()))
    if "alg" in jwk:
        algorithms &= {str(jwk["alg"])}
    if not algorithms or not _is_for_signatures(jwk):
        return None
    kid = jwk.get("kid")
    if kid is not None and not (isinstance(kid, str) and 0 < len(kid) <= LONGEST_KID):
        raise BadKeySet(f"has a kid that is no text of 1 to {LONGEST_KID} characters")
    try:
        key = reader.from_jwk(jwk)
    except _WRONG:
        raise BadKeySet("is malformed") from None
    if jwk["kty"] == "RSA" and not _RSA_BITS[0] <= key.key_size <= _RSA_BITS[1]:
        raise BadKeySet(f"has {key.key_size} bits; RSA keys have {_RSA_BITS[0]} to {_RSA_BITS[1]}")
    return PublicKey(kid, algorithms, key)


def _is_for_signatures(jwk: dict[str, Any]) -> bool:
    operations = jwk.get("key_ops", ["verify"])
    return jwk.get("use", "sig") == "sig" and isinstance(operations, list) and "verify" in operations


def _jwk_of(pem: str) -> dict[str, Any]:
    """Return a PEM key as a JWK, so that both are judged by the same rules."""
    if "PRIVATE KEY" in pem:
        raise BadKeySet("holds a private key; rosterd needs only the public one: openssl pkey -in KEY -pubout")
    if "BEGIN CERTIFICATE" in pem:
        raise BadKeySet("is a certificate; take the key out: openssl x509 -in CERT -noout -pubkey")
    if pem.count("-----BEGIN ") != 1 or "-----BEGIN PUBLIC KEY-----" not in pem:
        raise BadKeySet('is not one public key in PEM ("-----BEGIN PUBLIC KEY-----")')
    readers: tuple[Any, ...] = (RSAAlgorithm(RSAAlgorithm.SHA256), ECAlgorithm(ECAlgorithm.SHA256), OKPAlgorithm())
    for reader in readers:
        try:
            return dict(reader.to_jwk(reader.prepare_key(pem), as_dict=True))
        except _WRONG:
            continue
    raise BadKeySet("holds no RSA, EC or Ed25519 key that can be read")
