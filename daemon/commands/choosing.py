"""Which user a word on the command line means."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sync.errors import Conflict
from sync.store.views import UserView

if TYPE_CHECKING:
    from sync.store.engine import Store


def find(store: Store, word: str) -> UserView:
    """Return the user with this id, or who holds or lists this address. Raises NotFound, InvalidRequest."""
    from sync.store.people import find_user, get_user

    return find_user(store, word) if "@" in word else get_user(store, word)


def choose(store: Store, word: str) -> UserView:
    """Return the user that is to be changed: by id, or by an address they hold; listing it is not enough. Raises NotFound, Conflict."""
    from sync.store.people import matched_form

    user = find(store, word)
    if "@" not in word:
        return user
    matched = matched_form(word)
    if any(email.held and matched_form(email.address) == matched for email in user.emails):
        return user
    raise Conflict(
        "address_not_held",
        f"Nobody holds {matched}; {user.username or user.id} is one of those who listed it.",
        f"Give the user's id instead: `rosterd explain {matched}` shows who claims it.",
    )
