"""What no description can say: how requests differ from one another in time and place, and whose token it is that may not go."""

from __future__ import annotations

import os
import random
import re
from typing import Any

import schemathesis
from hypothesis import strategies as st

OWN = os.environ["ROSTERD_JTI"]
"""The id of the token that all requests carry. Lists show it, so that sooner or later it would be revoked."""

NOBODYS = "3b9f6c1e-8d24-4c55-9a1e-52d7f6a0b8c3"
MOMENT = re.compile(r"\d{4}(-\d\d-\d\dT\d\d:\d\d:\d\d.*)")

letters = "abcxyzABZ0189_äßñ§łжω中𠮷"
word = st.text(letters, min_size=1, max_size=8)
atom = st.text(letters + "!#$%&'*+/=?^`{|}~-", min_size=1, max_size=8)
local, domain = (st.lists(part, min_size=1, max_size=3).map(".".join) for part in (atom, word))
printable = st.text(st.characters(exclude_categories=["C", "Zl", "Zp", "Zs"]) | st.just(" "), min_size=1, max_size=200)

schemathesis.openapi.format("idn-email", st.tuples(local, domain).map("@".join))
schemathesis.openapi.format("printable", printable.filter(str.isprintable))
schemathesis.openapi.format("cidr", st.ip_addresses().map(lambda address: f"{address}/{address.max_prefixlen}"))


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: dict[str, Any]) -> None:
    """Send each request from another client, for what becomes of one that fails often (429) is for other tests; let the token in
    use stand; and let a key that expires do so in the future, for that a moment has passed no schema can say."""
    case.headers["X-Forwarded-For"] = f"10.{random.randrange(256)}.{random.randrange(256)}.{random.randrange(1, 255)}"
    if (case.path_parameters or {}).get("jti") == OWN:
        case.path_parameters["jti"] = NOBODYS
    if isinstance(case.body, dict) and isinstance(case.body.get("expires_at"), str):
        case.body["expires_at"] = MOMENT.sub(r"2096\1", case.body["expires_at"])
