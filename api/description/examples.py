"""One example of everything that the routes take and give: real values of the shapes, so that none can differ from its shape."""

from __future__ import annotations

from typing import Any

import msgspec

from api import shapes
from api.shapes import IssuedToken, KeyValue, LookupAnswer, MintedKey
from sync.store.keys import KeyPage, OwnedKey
from sync.store.views import (
    ChangeView,
    Claimant,
    ConflictView,
    EmailView,
    ExplainView,
    HoldView,
    KeyView,
    RunView,
    SourceView,
    TokenView,
    UserPage,
    UserView,
)

AT, LATER = "2026-01-31T08:00:00Z", "2026-05-01T08:00:00Z"
USER, KEY = "019ab3f2-c1d4-7e7b-8a05-3c1f9d2b7e64", "019ab3f2-c1d5-7012-9f3e-6a7b8c9d0e1f"
JTI, RUN = "3b9f6c1e-8d24-4c55-9a1e-52d7f6a0b8c3", "019ab3f2c1d4e7b0"
ADA = "ada.okafor@example.com"
NO_VALUE = "sk-bf-0000-an-example-not-a-key-0000"

run = RunView(
    id=RUN, source="corp", trigger="api", requested_by=f"operator:{JTI}", mode="full", dry_run=False, state="succeeded", pages=1, entries=30,
    counts={"added": 1, "unchanged": 29}, requested_at=AT, complete=True, server="ldaps://ldap.example.com", started_at=AT, finished_at=AT,
    seconds={"read": 0.21, "plan": 0.02, "apply": 0.03},
)  # fmt: skip
change = ChangeView("added", USER, "id=4711", ADA, after={"username": "ada", "emails": [ADA]})
hold = HoldView(RUN, "12 of 30 people would lose their keys", 12, AT)
source = SourceView(
    name="corp", kind="ldap", state="ok", stale=False, people={"active": 29, "disabled": 1}, unproven=0, read_at=AT, due_at=LATER,
    server="ldaps://ldap.example.com", vendor="openldap", last_run=run,
)  # fmt: skip
user = UserView(
    id=USER, source="corp", external_id="id=4711", username="ada", name="Ada Okafor", email=ADA, emails=[EmailView(ADA, True, True)], state="active",
    blocked=False, groups=["cn=engineers,ou=groups,dc=example,dc=com"], virtual_keys=[KeyView(KEY, "default", "issued", True, AT)], created_at=AT,
    updated_at=AT, last_seen_at=AT,
)  # fmt: skip
claimant = Claimant(USER, "corp", "id=4711", "uid=ada,ou=people,dc=example,dc=com", "ada", "Ada Okafor", "active", False, AT)
token = TokenView(JTI, "device", AT, f"admin:{JTI}", LATER, user_id=USER, email=ADA, label="C02XG0FD")
key = OwnedKey(KEY, "laptop", "issued", True, AT, f"admin:{JTI}", USER, ADA, expires_at=LATER)

ANSWERS: tuple[Any, ...] = (
    LookupAnswer(USER, ADA, [KeyValue(KEY, "default", NO_VALUE, True)]),
    shapes.RunAnswer(run),
    shapes.RunsAnswer([run], "30313961623366326331643465376230"),
    shapes.ChangesAnswer([change]),
    shapes.SourceAnswer(source),
    shapes.SourcesAnswer([source]),
    shapes.UserAnswer(user),
    UserPage([user], 1, 1, 20, 1, False),
    shapes.ConflictsAnswer([ConflictView("shared@example.com", "equal_claims", [claimant], f"`rosterd addresses give shared@example.com {USER}`")]),
    shapes.ExplainAnswer(ExplainView(ADA, ADA, True, "Ada Okafor holds it.", [], user, [claimant])),
    shapes.IssuedTokenAnswer(msgspec.convert({**msgspec.to_builtins(token), "value": "eyJ.an-example.not-a-token"}, IssuedToken)),
    shapes.TokenAnswer(token),
    shapes.TokensAnswer([token]),
    shapes.MintedKeyAnswer(msgspec.convert({**msgspec.to_builtins(key), "value": NO_VALUE}, MintedKey)),
    shapes.KeyAnswer(key),
    KeyPage([key], 1, 1, 100, 0),
    shapes.Liveness("live", "0.1.0"),
    shapes.Readiness("ready", "0.1.0", []),
)

REQUESTS: dict[str, Any] = {
    "RunRequest": {"source": "corp", "dry_run": True},
    "GiveRequest": {"address": "shared@example.com", "user_id": USER},
    "TokenRequest": {"role": "device", "user": ADA, "ttl": "365d", "label": "C02XG0FD"},
    "KeyRequest": {"name": "laptop", "expires_at": "2099-12-31T00:00:00Z"},
    "KeyChange": {"is_active": False},
    "RotateRequest": {"overlap": "1h"},
}

EXAMPLES: dict[str, Any] = {type(one).__name__: msgspec.to_builtins(one) for one in ANSWERS} | REQUESTS
"""Name of a shape to an example of it, as it stands in JSON."""
