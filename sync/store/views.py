"""What the store answers, in the shapes of the HTTP contract: the API sends them, `--json` prints them.

Times are RFC 3339 UTC texts ("2026-01-31T08:00:00Z"; `rfc3339` makes them). A member that does not apply is None
here and left out of the JSON (`omit_defaults`); a required member has no default and is always there.
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import msgspec


def rfc3339(millis: int | None) -> str | None:
    """Return `millis` since the epoch as RFC 3339 in UTC with whole seconds, None for None."""
    return None if millis is None else _written(millis // 1000)


@lru_cache(256)
def _written(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def must_rfc3339(millis: int) -> str:
    """Return `millis` since the epoch as RFC 3339 in UTC."""
    return rfc3339(millis) or ""


class Decision(msgspec.Struct, omit_defaults=True):
    by: str
    at: str
    run: str | None = None


class RunError(msgspec.Struct, omit_defaults=True):
    code: str
    message: str
    remedy: str | None = None


COUNTS = (
    "added", "changed", "unchanged", "disabled", "enabled", "missing", "returned", "removed",
    "refused", "contested", "unproven", "withheld", "keys_issued", "keys_disabled",
)  # fmt: skip
"""Every member of a run's `counts`; the kind of a change is one of these in the singular (`key_issued`, `key_disabled`)."""


class RunView(msgspec.Struct, omit_defaults=True):
    id: str
    source: str
    trigger: str
    requested_by: str
    mode: str
    dry_run: bool
    state: str
    pages: int
    entries: int
    counts: dict[str, int]
    requested_at: str
    mode_reason: str | None = None
    only: str | None = None
    decision: Decision | None = None
    phase: str | None = None
    complete: bool | None = None
    server: str | None = None
    error: RunError | None = None
    started_at: str | None = None
    finished_at: str | None = None
    seconds: dict[str, float] | None = None


class ChangeView(msgspec.Struct, omit_defaults=True):
    kind: str
    user_id: str | None = None
    external_id: str | None = None
    email: str | None = None
    before: Any = None
    after: Any = None
    reason: str | None = None
    evidence: str | None = None


class EmailView(msgspec.Struct):
    address: str
    primary: bool
    held: bool


class KeyView(msgspec.Struct, omit_defaults=True):
    """A key without its value."""

    id: str
    name: str
    origin: str
    is_active: bool
    created_at: str
    expires_at: str | None = None


class UserView(msgspec.Struct, omit_defaults=True):
    id: str
    source: str
    external_id: str
    username: str
    name: str
    email: str
    emails: list[EmailView]
    state: str
    blocked: bool
    groups: list[str]
    virtual_keys: list[KeyView]
    created_at: str
    updated_at: str
    last_seen_at: str | None = None
    expires_at: str | None = None


class UserPage(msgspec.Struct):
    users: list[UserView]
    total: int
    page: int
    limit: int
    total_pages: int
    has_more: bool


class HoldView(msgspec.Struct, omit_defaults=True):
    run: str
    why: str
    people: int
    opened_at: str


class DriftView(msgspec.Struct):
    """What samples found since everything was last read: people looked at, those who differed although nothing said so, and their share."""

    sampled: int
    drifted: int
    ratio: float


class SourceView(msgspec.Struct, omit_defaults=True):
    """`state` is one of ok, stale, failing, paused, unconfigured, new (nothing read yet); `full_at` = when everything was last read;
    `restored_at` = its people are as a backup had them: lookups wait until everything has been read."""

    name: str
    kind: str
    state: str
    stale: bool
    people: dict[str, int]
    unproven: int
    read_at: str | None = None
    due_at: str | None = None
    paused_by: str | None = None
    paused_at: str | None = None
    server: str | None = None
    vendor: str | None = None
    last_run: RunView | None = None
    open_hold: HoldView | None = None
    full_at: str | None = None
    drift: DriftView | None = None
    restored_at: str | None = None


class Claimant(msgspec.Struct, omit_defaults=True):
    user_id: str
    source: str
    external_id: str
    place: str
    username: str
    name: str
    state: str
    holds: bool
    since: str


class ConflictView(msgspec.Struct, omit_defaults=True):
    """An address that several entries list. `cause`: taken (somebody holds it) or equal_claims (nobody does)."""

    address: str
    cause: str
    claimants: list[Claimant]
    proposal: str


class TokenView(msgspec.Struct, omit_defaults=True):
    jti: str
    role: str
    issued_at: str
    issued_by: str
    expires_at: str
    user_id: str | None = None
    email: str | None = None
    source: str | None = None
    label: str | None = None
    domain: str | None = None
    cidr: str | None = None
    max_users: int | None = None
    revoked_at: str | None = None
    revoked_by: str | None = None
    last_used_at: str | None = None


class ExplainView(msgspec.Struct, omit_defaults=True):
    """Why an address does or does not answer. `why` is a sentence for a human, `notes` more of them."""

    address: str
    matched: str
    answers: bool
    why: str
    notes: list[str]
    user: UserView | None = None
    claimants: list[Claimant] = []
    hold: HoldView | None = None
