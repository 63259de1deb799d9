"""A user whom a trusted proxy asserts: found by user name or external id, and only when exactly one has it."""

from __future__ import annotations

import logging

from api.desk import Desk
from sync.store import lookup
from sync.store.lookup import Found

_log = logging.getLogger(__name__)


def asserted_user(desk: Desk, name: str, asked: str | None) -> Found | None:
    """Return the one user of this name, None when there is none or when several have it; `asked` is an address in its compared form."""
    proxy = desk.context.settings.proxy
    found = lookup.by_name(desk.context.store, proxy.match, name, asked=asked) if proxy is not None else []
    if len(found) > 1:
        facts = {"event": "proxy.ambiguous", "asserted": name, "users": ", ".join(f"{one.user_id} ({one.source})" for one in found)}
        _log.warning("a proxy asserts a name that several users have; nobody is answered", extra=facts)
    return found[0] if len(found) == 1 else None
