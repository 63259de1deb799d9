"""What the core needs to know from the configuration, already checked. daemon/config builds these."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal


class Secret:
    """A text that never shows itself: not in repr, str, a log or a traceback's locals."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """Return the text. Call it in the argument list of whoever needs it, and nowhere else."""
        return self._text

    def __repr__(self) -> str:
        return "Secret(…)"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self._text == other._text

    def __hash__(self) -> int:
        return hash(self._text)


@dataclass(frozen=True, slots=True)
class Attributes:
    """Which attribute of an entry says what. None = whatever the vendor calls it; an empty name = the directory does not say it."""

    id: str | None = None
    username: str | None = None
    name: str | None = None
    emails: tuple[str, ...] | None = None
    groups: str | None = None


@dataclass(frozen=True, slots=True)
class GroupSearch:
    """Groups found by a search instead of an attribute of the person; off while `base` is empty. An empty `filter` = the vendor's."""

    base: str = ""
    filter: str = ""
    member: str = "member"
    nested: bool = True


@dataclass(frozen=True, slots=True)
class ClientCredentials:
    """Where a SCIM source gets its tokens, and for whom: OAuth 2.0 client credentials (RFC 6749 section 4.4)."""

    token_url: str
    client_id: str
    client_secret: Secret
    scope: str = ""


@dataclass(frozen=True, slots=True)
class ScheduleSettings:
    """When to sync. Seconds. `cron` (UTC, day names) replaces `every`."""

    every: int = 300
    full_every: int = 86_400
    jitter: str = "10%"
    cron: str = ""


@dataclass(frozen=True, slots=True)
class GuardSettings:
    """How much a run may take away without a human (docs/rules.md). Durations in seconds."""

    max_removed: int = 10
    max_removed_percent: float = 5
    max_removed_total: int = 200
    max_disabled: int = 500
    max_refused_percent: float = 5
    grace: int = 7 * 86_400
    address_quarantine: int = 7 * 86_400
    stale_after: int | None = None
    fail_closed_after: int | None = None


@dataclass(frozen=True, slots=True)
class SourceSettings:
    """One `[[source]]`. `rank` is its place in the file (0 first); `parts` maps each key that decides who is read
    ("base", "filter", "attributes.emails" …) to a digest of its value, `digest` is one over all of them (rule 9).
    An empty `filter` = the vendor's, for SCIM none. `keytab_mark` changes when the keytab does. Timeouts in seconds.
    What stands below `domains` is for the kind that has it: LDAP `attributes`, `groups` and `disabled_when`, SCIM `token`, `username` or
    `oauth2`."""

    name: str
    kind: Literal["ldap", "scim", "scim-push"]
    rank: int
    urls: tuple[str, ...] = ()
    vendor: str = "auto"
    tls: Literal["ldaps", "starttls", "plain"] = "ldaps"
    allow_plaintext: bool = False
    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None
    bind_dn: str = ""
    password: Secret | None = None
    sasl: str = ""
    principal: str = ""
    keytab_file: Path | None = None
    keytab_mark: Secret | None = None
    bases: tuple[str, ...] = ()
    filter: str = ""
    page_size: int = 500
    connect_timeout: float = 10.0
    read_timeout: float = 60.0
    domains: tuple[str, ...] = ()
    attributes: Attributes = field(default_factory=Attributes)
    groups: GroupSearch = field(default_factory=GroupSearch)
    disabled_when: tuple[str, ...] = ()
    token: Secret | None = None
    username: str = ""
    oauth2: ClientCredentials | None = None
    schedule: ScheduleSettings = field(default_factory=ScheduleSettings)
    guard: GuardSettings = field(default_factory=GuardSettings)
    parts: dict[str, str] = field(default_factory=dict)
    digest: str = ""

    @property
    def is_pushed(self) -> bool:
        """Whether its people are pushed to us, and kept in tables of our own, instead of read elsewhere."""
        return self.kind == "scim-push"


@dataclass(frozen=True, slots=True)
class Policy:
    """One `[[keys.issue]]`: who gets a key. `groups` as written (compared normalised); empty = everyone active of
    `sources` (empty = the only source). `was` = the name it had before."""

    name: str
    groups: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    on_leave_group: Literal["disable", "keep"] = "disable"
    expires_after: int | None = None
    renew_before: int = 30 * 86_400
    was: str = ""


@dataclass(frozen=True, slots=True)
class StoreSettings:
    """Where the store is and how long it remembers. Seconds. `url` = sqlite:/// and a path, or postgresql+psycopg://user@host/database."""

    url: str
    password: Secret | None = None
    history: int = 90 * 86_400
    forget_after: int = 365 * 86_400

    @property
    def file(self) -> Path | None:
        """The store's file, None for a database server."""
        return Path(self.url.removeprefix("sqlite:///")) if self.url.startswith("sqlite:///") else None
