"""What the configuration becomes: the values that the composition root and the commands hand on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from api.settings import ApiSettings, MintSettings
from sync.settings import Policy, Secret, SourceSettings, StoreSettings


@dataclass(frozen=True, slots=True)
class HttpSettings:
    """`[http]`: where the daemon listens. `unix_socket` None = TCP only; both TLS files or neither."""

    host: str = "127.0.0.1"
    port: int = 8321
    unix_socket: Path | None = None
    tls_cert_file: Path | None = None
    tls_key_file: Path | None = None
    public_url: str = ""
    trusted_proxies: tuple[str, ...] = ()
    metrics_token_file: Path | None = None
    metrics_token: Secret | None = None
    hosts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class AuditSettings:
    """`[audit]`: the file, and how many seconds of it are kept."""

    path: Path
    keep: int


@dataclass(frozen=True, slots=True)
class WebhookSettings:
    """One `[[webhook]]`: where to, what signs, and which kinds of events. The URL may hold a secret, so it is one."""

    url: Secret
    secret: Secret
    events: frozenset[str]


@dataclass(frozen=True, slots=True)
class Config:
    """A whole configuration without a mistake. `path` is its file; `revive_within` in seconds."""

    path: Path
    store: StoreSettings
    http: HttpSettings
    audit: AuditSettings
    api: ApiSettings
    vault_secret: Secret
    minting: MintSettings
    revive_within: int
    policies: tuple[Policy, ...]
    sources: tuple[SourceSettings, ...]
    webhooks: tuple[WebhookSettings, ...] = ()
