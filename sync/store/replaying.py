"""Taking away again, from a store that was put back from a backup, what was taken away since: nothing that ended comes back to life.

What the audit file told since is all there is to go by; it holds ids only. What was given since (a key, a token, an unblocking) is not in the
backup and is not made up; whether people are here, the next whole read of each source decides again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import text

from sync.errors import NotFound, RosterError
from sync.store import forgetting, issuing, keychanges, people, tokens
from sync.store.engine import Store
from sync.store.holders import settle
from sync.store.keeping import Keeper
from sync.store.keys import read_key
from sync.store.pushedkeeping import Shelf
from sync.vault import Mint, Vault


class Told(msgspec.Struct, frozen=True):
    """One change as the audit file has it (`sync.store.events.Happening`, whose `kind` is called `action` there)."""

    event: int
    action: str
    by: str
    user_id: str | None = None
    key_id: str | None = None
    jti: str | None = None
    detail: dict[str, Any] | None = None


class Taken(NamedTuple):
    """What was taken away again, or why it was not: `outcome` is a sentence for people."""

    told: Told
    outcome: str


class Means(NamedTuple):
    """What a replay works with. `mint` makes new key values."""

    store: Store
    vault: Vault
    mint: Mint


_AWAY = ("active", "disabled", "missing", "removed")
"""States of users, from here to gone."""

_GIVEN = ("key.issued", "key.imported", "token.issued", "user.adopted", "address.given")
"""What an admin did that a backup made before does not know, and that nobody but an admin can do again."""

_IS_PUSHED = text(
    'select 1 from virtual_key k join "user" u on u.id = k.user_id'
    " join pushed_user p on p.source = u.source and p.id = u.external_id where k.id = :id"
)

_ORDER = ("user.blocked", "user.away", "key.disabled", "key.expiry", "key.rotated", "key.deleted", "token.revoked", "user.erased")


def takings(told: Iterable[Told]) -> list[Told]:
    """Return what was taken away and not given back later, each once, as it was last said. Pure."""
    standing: dict[tuple[str, str], Told] = {}
    for one in sorted(told, key=lambda one: one.event):
        subject = one.key_id or one.jti or one.user_id or ""
        if one.action == "user.unblocked":
            standing.pop(("user.blocked", subject), None)
        elif one.action == "key.enabled":
            standing.pop(("key.disabled", subject), None)
        elif one.action in ("user.disabled", "user.missing", "user.removed"):
            standing["user.away", subject] = one
        elif one.action in _ORDER:
            standing[one.action, subject] = one
    return [one for _, one in sorted(standing.items(), key=lambda item: (_ORDER.index(item[0][0]), item[1].event))]


def lost(told: Iterable[Told]) -> list[Told]:
    """Return what admins gave since, which the backup does not have: for a human to decide again. Pure."""
    return [one for one in told if one.action in _GIVEN and one.by != issuing.BY]


def replay(means: Means, told: Iterable[Told]) -> Iterator[Taken]:
    """Take away again, one by one, and tell what became of each. What the backup does not know had come later and is gone anyway."""
    for one in takings(told):
        deed = _DEEDS["user.away" if one.action in ("user.disabled", "user.missing", "user.removed") else one.action]
        try:
            yield Taken(one, deed(means, one))
        except NotFound:
            yield Taken(one, "not in the backup")


def _by(told: Told) -> str:
    """Return who a replayed change is recorded as: a sync's own stays the sync's, for it may undo what it did."""
    return told.by if told.by == issuing.BY else f"restore:{told.by}"


def _block(means: Means, told: Told) -> str:
    if people.get_user(means.store, told.user_id or "").blocked:
        return "blocked already"
    people.block(means.store, told.user_id or "", _by(told))
    return "blocked"


def _away(means: Means, told: Told) -> str:
    """Let a user be away as they were; whoever came back since does so with the next whole read, before anybody is answered."""
    store, state = means.store, told.action.partition(".")[2]
    user = people.get_user(store, told.user_id or "")
    if _AWAY.index(user.state) >= _AWAY.index(state):
        return f"{user.state} already"
    with store.write() as connection:
        now = store.now()
        keeper = Keeper(connection, user.source, now)
        if state == "removed":
            keeper.removed([user.id])
        elif state == "missing":
            keeper.missing([user.id], None)
        else:
            connection.execute(text("update \"user\" set state = 'disabled' where id = :id"), {"id": user.id})
        again = 'update "user" set fingerprint = :none, inactive_since = coalesce(inactive_since, :now), updated_at = :now where id = :id'
        connection.execute(text(again), {"none": b"", "now": now, "id": user.id})
        for _ in settle(connection, now, frozenset()):
            pass
        keeper.refresh_emails()
        is_pushed = _take_back(Shelf(connection, user.source, now), user.external_id, state)
    return f"{state}, until {'the provider pushes them again' if is_pushed else 'the directory shows them'}"


def _take_back(shelf: Shelf, external_id: str, state: str) -> bool:
    """Let what a provider had pushed about somebody say so too: no read asks the provider, and the backup would bring them to life. Tell whether
    they were pushed at all."""
    pushed = shelf.user(external_id)
    if pushed is None:
        return False
    if state == "disabled":
        shelf.change_user(external_id, pushed.external_id, {**pushed.resource, "active": False})
    else:
        shelf.delete_user(external_id)
    return True


def _switch_off(means: Means, told: Told) -> str:
    """Switch a key off, and for good if its user is pushed: the groups of the backup are no evidence that a sync may go by."""
    with means.store.read() as connection:
        was_pushed = connection.execute(_IS_PUSHED, {"id": told.key_id}).first() is not None
    by = f"restore:{told.by}" if was_pushed else _by(told)
    key = keychanges.change(means.store, told.key_id or "", keychanges.Wanted(is_active=False), keychanges.Stamp(by))
    return f"disabled the key {key.name}" + (", until an admin enables it" if was_pushed else "")


def _let_expire(means: Means, told: Told) -> str:
    """Let a key end when it was told to, if that is earlier than the backup says; what has ended is switched off."""
    with means.store.read() as connection:
        before = read_key(connection, told.key_id or "", means.store.now()).expires_at
    ends = (told.detail or {}).get("to")
    if ends is None or (before is not None and _ms(before) <= _ms(ends)):
        return "ends no earlier than the backup says"
    if _ms(ends) <= means.store.now():
        return _switch_off(means, told)
    keychanges.change(means.store, told.key_id or "", keychanges.Wanted(expires_at=_ms(ends)), keychanges.Stamp(_by(told)))
    return f"ends {ends}"


def _ms(time: str) -> int:
    return int(datetime.fromisoformat(time).timestamp() * 1000)


def _rotate(means: Means, told: Told) -> str:
    """Give the key a next value: the one in the backup was rotated away, and the one that replaced it is unknown."""
    try:
        keychanges.rotate(means.store, means.vault, told.key_id or "", keychanges.Stamp(_by(told)), mint=means.mint)
    except NotFound:
        raise
    except RosterError as error:
        return f"{_switch_off(means, told)}: {error.message}"
    return "rotated: it has a value that nobody has seen yet"


def _delete(means: Means, told: Told) -> str:
    return f"deleted the key {keychanges.delete(means.store, told.key_id or '', keychanges.Stamp(_by(told))).name}"


def _revoke(means: Means, told: Told) -> str:
    if tokens.get_token(means.store, told.jti or "").revoked_at:
        return "revoked already"
    tokens.revoke(means.store, told.jti or "", _by(told))
    return "revoked"


def _erase(means: Means, told: Told) -> str:
    forgetting.erase(means.store, told.user_id or "", _by(told), shown_too=True)
    return "erased"


_DEEDS: dict[str, Callable[[Means, Told], str]] = {
    "user.blocked": _block,
    "user.away": _away,
    "key.disabled": _switch_off,
    "key.expiry": _let_expire,
    "key.rotated": _rotate,
    "key.deleted": _delete,
    "token.revoked": _revoke,
    "user.erased": _erase,
}
