"""A user whom a trusted proxy asserts: found by user name or external id in one source, and only when exactly one has it."""

from __future__ import annotations

import logging

from api.desk import Desk
from sync.store import lookup
from sync.store.lookup import Found

_log = logging.getLogger(__name__)


def asserted_user(desk: Desk, name: str, asked: str | None) -> Found | None:
    """Return the one user of this name, None when there is none or when several have it; `asked` is an address in its compared form."""
    proxy = desk.context.settings.proxy
    if proxy is None:
        return None
    found = lookup.by_name(desk.context.store, proxy.match, name, source=proxy.source, asked=asked)
    if len(found) > 1:
        facts = {"event": "proxy.ambiguous", "asserted": name, "source": proxy.source, "users": ", ".join(one.user_id for one in found)}
        _log.warning("a proxy asserts a name that several users have; nobody is answered", extra=facts)
    return found[0] if len(found) == 1 else None
