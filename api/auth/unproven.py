"""A JWT taken apart before anything of it is proven: what it says decides who must prove it, and nothing else."""

from __future__ import annotations

import base64
import binascii
from typing import Any, NamedTuple

from api.auth.strictjson import read_object

_ORDERS = {
    "ES256": 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551,
    "ES384": 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFC7634D81F4372DDF581A0DB248B0A77AECEC196ACCC52973,
}
"""The orders of P-256 and P-384 (NIST SP 800-186 section 3.2.1)."""


class Unproven(NamedTuple):
    """Header and claims of a token whose signature nobody has checked."""

    header: dict[str, Any]
    claims: dict[str, Any]

    @property
    def is_key(self) -> bool:
        """Tell whether it says of itself that it is the value of a virtual key (`typ`, in whichever spelling of RFC 7515 section 4.1.9)."""
        typ = self.header.get("typ")
        return isinstance(typ, str) and typ.lower().removeprefix("application/") == "vk+jwt"


def take_apart(token: str) -> Unproven | None:
    """Return what a JWT says (RFC 7519, in the compact form of RFC 7515 section 7.1); None for what is none.

    Each part must be spelt in the one canonical way, and no object may say anything twice: else two readers could see two tokens.
    """
    parts = token.split(".")
    if len(parts) != 3:
        return None
    try:
        header, claims, _ = (_decode(part) for part in parts)
        return Unproven(read_object(header), read_object(claims))
    except (ValueError, RecursionError):
        return None


def spellings(token: str) -> tuple[str, ...]:
    """Return the texts that prove the same: of an ECDSA signature (r, s) anybody can make (r, -s), which is as good and has another digest."""
    said = take_apart(token)
    algorithm = said.header.get("alg") if said is not None else None
    order = _ORDERS.get(algorithm) if isinstance(algorithm, str) else None
    if order is None:
        return (token,)
    signing, _, signature = token.rpartition(".")
    raw, size = _decode(signature), order.bit_length() // 8
    r, s = raw[:size], int.from_bytes(raw[size:])
    if len(raw) != 2 * size or not 0 < s < order:
        return (token,)
    other = base64.urlsafe_b64encode(r + (order - s).to_bytes(size)).rstrip(b"=").decode()
    return (token, f"{signing}.{other}")


def _decode(part: str) -> bytes:
    try:
        raw = base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
    except binascii.Error:
        raise ValueError("no base64url") from None
    if base64.urlsafe_b64encode(raw).rstrip(b"=") != part.encode():
        raise ValueError("not the canonical base64url")
    return raw
