"""What the routes take and give, beside the store's own views: one object in its noun, lists in the plural.

`extra_json_schema` is for the description of the API only: what the code checks by itself, and answers with a code of its own.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

import msgspec

from sync.store.keys import OwnedKey
from sync.store.views import ChangeView, ConflictView, ExplainView, RunView, SourceView, TokenView, UserView

Moment = Annotated[datetime, msgspec.Meta(tz=True)]
Text = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=200, extra_json_schema={"format": "printable"})]
Label = Annotated[str, msgspec.Meta(extra_json_schema={"format": "printable", "maxLength": 200})]
ADDRESS = {"format": "idn-email", "maxLength": 254}
Email = Annotated[str, msgspec.Meta(extra_json_schema=ADDRESS)]
Lifetime = Annotated[
    str, msgspec.Meta(extra_json_schema={"pattern": "^([1-9][0-9]{0,7}s|[1-9][0-9]{0,5}m|[1-9][0-9]{0,3}h|[1-9][0-9]{0,2}d|[12][0-9]{3}d)$"})
]
Overlap = Annotated[str, msgspec.Meta(extra_json_schema={"pattern": "^([0-9]{1,6}s|[0-9]{1,4}m|[0-9]{1,2}h|[12]?[0-9]d|30d)$"})]
Domain = Annotated[str, msgspec.Meta(extra_json_schema={"format": "hostname"})]
Network = Annotated[str, msgspec.Meta(extra_json_schema={"format": "cidr"})]

RunState = Literal["waiting", "running", "succeeded", "held", "failed", "cancelled", "discarded"]
UserState = Literal["active", "disabled", "missing", "removed"]


class RunRequest(msgspec.Struct, forbid_unknown_fields=True):
    """What to sync. `only` = the address of one person to read and apply at once."""

    source: Text
    mode: Literal["incremental", "full"] | None = None
    dry_run: bool = False
    only: Annotated[str, msgspec.Meta(extra_json_schema={"anyOf": [ADDRESS, {"const": ""}]})] = ""


class GiveRequest(msgspec.Struct, forbid_unknown_fields=True):
    """Who shall hold an address."""

    address: Email
    user_id: Text


class TokenRequest(msgspec.Struct, forbid_unknown_fields=True):
    """A token to issue. `user` = the address or id of a device token's user; `ttl` a duration as in the configuration."""

    role: Literal["admin", "operator", "lookup", "device", "scim"]
    ttl: Lifetime = "90d"
    user: str | None = None
    label: Label = ""
    domain: Domain | None = None
    cidr: Network | None = None
    max_users: Annotated[int, msgspec.Meta(extra_json_schema={"minimum": 1, "maximum": 100_000})] | None = None
    source: str | None = None


class KeyRequest(msgspec.Struct, forbid_unknown_fields=True):
    """A key to mint, or with `value` to import."""

    name: Name
    expires_at: Moment | None = None
    value: Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9._~+/=-]{16,4096}$")] | None = None


class KeyChange(msgspec.Struct, forbid_unknown_fields=True):
    """What shall be different about a key; what is left out stays. `expires_at: null` = never."""

    name: Name | None = None
    is_active: bool | None = None
    expires_at: Moment | msgspec.UnsetType | None = msgspec.UNSET


class RotateRequest(msgspec.Struct, forbid_unknown_fields=True):
    """How long the old value shall go on working, a duration of at most 30 days; `expires_at` = a new expiry for the key."""

    overlap: Overlap = "0s"
    expires_at: Moment | None = None


class KeyValue(msgspec.Struct):
    """A virtual key with its value."""

    id: str
    name: str
    value: str
    is_active: bool


class LookupAnswer(msgspec.Struct):
    """Exactly these members, never null."""

    user_id: str
    email: str
    virtual_keys: list[KeyValue]


class RunAnswer(msgspec.Struct):
    run: RunView


class RunsAnswer(msgspec.Struct, omit_defaults=True):
    runs: list[RunView]
    cursor: str | None = None


class ChangesAnswer(msgspec.Struct, omit_defaults=True):
    changes: list[ChangeView]
    cursor: str | None = None


class SourceAnswer(msgspec.Struct):
    source: SourceView


class SourcesAnswer(msgspec.Struct):
    sources: list[SourceView]


class UserAnswer(msgspec.Struct):
    user: UserView


class ConflictsAnswer(msgspec.Struct):
    conflicts: list[ConflictView]


class ExplainAnswer(msgspec.Struct):
    explanation: ExplainView


class IssuedToken(TokenView, omit_defaults=True, kw_only=True):
    """A token's record with the token itself, which nobody can ask for again."""

    value: str


class IssuedTokenAnswer(msgspec.Struct):
    token: IssuedToken


class TokenAnswer(msgspec.Struct):
    token: TokenView


class TokensAnswer(msgspec.Struct, omit_defaults=True):
    tokens: list[TokenView]
    cursor: str | None = None


class MintedKey(OwnedKey, omit_defaults=True, kw_only=True):
    """A key with its value, shown this once."""

    value: str


class MintedKeyAnswer(msgspec.Struct):
    virtual_key: MintedKey


class KeyAnswer(msgspec.Struct):
    virtual_key: OwnedKey


class Liveness(msgspec.Struct):
    status: str
    version: str


class Readiness(msgspec.Struct, omit_defaults=True):
    """`stale` names the sources whose last completed read is older than they allow; lookups are answered all the same."""

    status: str
    version: str
    stale: list[str]
    why: str | None = None
