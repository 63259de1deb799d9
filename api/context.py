"""What every route may use; the composition root fills it in."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from api.audit import AuditLog
from api.auth.fanout import Fanout
from api.auth.published import Published
from api.metrics import Metrics
from api.settings import ApiSettings
from sync.store.engine import Store
from sync.store.pushedkeeping import Applied, no_change
from sync.vault import Mint, Vault, mint_value


@dataclass(frozen=True, slots=True)
class ApiContext:
    """`wake` tells the daemon that a run waits (any thread may call it, it returns at once); `stopping` is set when the daemon begins to end,
    and makes open streams say `bye`."""

    store: Store
    vault: Vault
    settings: ApiSettings
    audit: AuditLog
    wake: Callable[[], None]
    stopping: asyncio.Event
    version: str
    mint: Mint = mint_value
    jwks: bytes = b'{"keys":[]}'
    """The public halves of what signs key values, as JSON."""
    metrics: Metrics = field(default_factory=Metrics)
    published: Published = field(default_factory=Published)
    fanout: Fanout = field(default_factory=Fanout)
    applied: Applied = no_change
    """What follows for users from what a provider pushes, inside the transaction of the request."""
