"""What the API needs to know from the configuration, already checked. daemon/config builds it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from sync.settings import Secret


@dataclass(frozen=True, slots=True)
class IssuerSettings:
    """One `[[auth.issuer]]`: somebody else who signs tokens, and what those may do here.

    Its public keys stand in `jwks` (the text of a JWKS), in `pems` (one text each), or at `jwks_url`, whose server is verified with `ca_file`
    (None = the system's authorities). `roles` maps values of `role_claim` to roles; empty = the values are the roles.
    """

    issuer: str
    audience: str
    jwks_url: str = ""
    ca_file: Path | None = None
    jwks: str = ""
    pems: tuple[str, ...] = ()
    algorithms: tuple[str, ...] = ("RS256", "ES256", "EdDSA")
    may: tuple[str, ...] = ("virtual-key",)
    key_claim: str = "vk"
    role_claim: str = ""
    roles: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class ProxySettings:
    """`[auth.proxy]`: the header in which a trusted proxy says who asks, what of a user it must equal, and whose people it may name.

    `header` in lower case; `source` is the name of one source.
    """

    header: str
    match: Literal["username", "external_id"]
    source: str


@dataclass(frozen=True, slots=True)
class MintSettings:
    """How key values are made. `pem` = the private keys of `[keys] jwt_key_file`, newest first; `as_jwt` = the newest of them signs new values."""

    issuer: str
    audience: str
    pem: Secret | None = None
    as_jwt: bool = False


@dataclass(frozen=True, slots=True)
class ApiSettings:
    """`[auth]` and the parts of `[http]` that decide who is answered.

    `secrets` are the HS256 secrets of rosterd's own issuer, newest first. `hosts` are accepted Host names beside loopback, `host` and
    `public_url`'s; `trusted_proxies` addresses or networks ("10.0.0.0/8") whose X-Forwarded-For is believed. `max_body` in octets.
    `pushed` are the names of the sources that a provider pushes to.
    """

    issuer: str
    audience: str
    secrets: tuple[Secret, ...]
    key_sees: Literal["all", "own"] = "all"
    host: str = "127.0.0.1"
    hosts: tuple[str, ...] = ()
    public_url: str = ""
    trusted_proxies: tuple[str, ...] = ()
    max_body: int = 65_536
    max_streams: int = 32
    metrics_token: Secret | None = None
    issuers: tuple[IssuerSettings, ...] = ()
    proxy: ProxySettings | None = None
    pushed: tuple[str, ...] = ()
