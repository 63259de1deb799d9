"""Whether a token is the value of a key, or was: such a one is good by its digest or not at all, however its signature is spelt."""

from __future__ import annotations

from api.auth.unproven import spellings
from api.desk import Desk
from sync.store import lookup


def is_or_was_key(desk: Desk, token: str) -> bool:
    """Tell whether a token, or another text that proves the same, is or was a key's value."""
    vault = desk.context.vault
    return lookup.is_known(desk.context.store, [digest for text in spellings(token) for digest in vault.digests(text)])
