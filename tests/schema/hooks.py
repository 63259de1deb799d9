"""What no description can say: every request comes from another client, and nobody saws off the branch they sit on."""

from __future__ import annotations

import os
import random
from typing import Any

import schemathesis

OWN = os.environ["ROSTERD_JTI"]
"""The id of the token that all requests carry. Lists show it, so that sooner or later it would be revoked."""


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: dict[str, Any]) -> None:
    """Send each request from another address: what becomes of one that fails often (429) is for other tests."""
    client = f"10.{random.randrange(256)}.{random.randrange(256)}.{random.randrange(1, 255)}"
    case.headers["X-Forwarded-For"] = client


@schemathesis.hook
def map_path_parameters(context: Any, path_parameters: dict[str, Any]) -> dict[str, Any]:
    """Let the token in use stand: another one, that nobody has, is revoked in its place."""
    return {name: "3b9f6c1e-8d24-4c55-9a1e-52d7f6a0b8c3" if value == OWN else value for name, value in path_parameters.items()}
