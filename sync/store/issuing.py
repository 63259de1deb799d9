"""Giving, renewing and stopping policy keys inside a run's transaction (rule 8): at most one key per user and policy that is not off for good."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import msgspec
from sqlalchemy import Connection, String, bindparam, text

from sync.store import events
from sync.store.engine import many, streamed

BY = "sync"
"""Who a run is in the records: only what it did itself does it undo."""

BY_LONG_AWAY = "sync: long away"
"""…and of keys that stay off until an admin enables them, for their owners came back after too long."""

LONGEST_OVERLAP = 30 * 86_400_000
"""Milliseconds that the old value of a renewed key works beside the new one, unless it expires before."""

LONG_AWAY = "(u.inactive_since <= :away_before or (u.inactive_since is null and u.expires_at <= :away_before))"
"""Users `u` who have been away since before `away_before`: longer than [keys] revive_within."""


class Issued(NamedTuple):
    """A key given to a user, for the change log."""

    user_id: str
    external_id: str
    email: str
    policy: str
    name: str
    key_id: str


_DUE = (
    'from staged_key k join "user" u on u.source = :source and u.external_id = k.external_id'
    " where not k.renews and u.state = 'active' and u.email <> ''"
    " and not exists (select 1 from virtual_key v where v.user_id = u.id and v.policy = k.policy)"
)
_NEW_KEYS = "staged_key k join virtual_key v on v.id = k.id and not k.renews"
_GIVEN_FROM = f'from {_NEW_KEYS} join "user" u on u.id = v.user_id'
_GIVEN = f"select u.id, u.external_id, u.email, k.policy, k.policy, k.id {_GIVEN_FROM}"
_RENEWED = (
    'from staged_key s cross join virtual_key v cross join "user" u'
    " where v.id = s.id and u.id = v.user_id and s.renews and u.state = 'active' and u.email <> '' and v.enabled"
    " and v.deleted_at is null and v.policy = s.policy"
    " and v.expires_at < s.expires_at"
)
_RETIRE = (
    "insert into retired_value (digest, key_id, sealed, until, retired_at)"
    " select v.digest, v.id, case when v.expires_at > :now then v.sealed end,"
    f" case when v.expires_at <= :now then :now when v.expires_at < :now + {LONGEST_OVERLAP} then v.expires_at else :now + {LONGEST_OVERLAP} end,"
    f" :now {_RENEWED}"
)
_REPLACE = "update virtual_key set sealed = :sealed, digest = :digest, expires_at = :expires_at, rotated_at = :now, origin = 'issued' where id = :id"
_SWITCH_OFF = f"update virtual_key set enabled = false, disabled_by = '{BY_LONG_AWAY}', disabled_at = :now, policy = null where id = :id"


def issue_staged(connection: Connection, source: str, now: int) -> int:
    """Give every staged key to its owner, if the owner is active and holds an address; return how many were given."""
    given = connection.execute(
        text(
            "insert into virtual_key (id, user_id, name, policy, origin, sealed, digest, enabled, expires_at, created_at, created_by)"
            f" select k.id, u.id, k.policy, k.policy, 'issued', k.sealed, k.digest, true, k.expires_at, :now, '{BY}' {_DUE}"
        ),
        {"source": source, "now": now},
    )
    return int(given.rowcount)


def given(connection: Connection) -> Iterator[Issued]:
    """Yield who got which of the staged keys, as a stream: they may be all the people of a directory."""
    return (Issued(*row) for row in streamed(connection, _GIVEN))


def record_given(connection: Connection, run_id: str, policies: Iterable[str], reason: str, now: int) -> None:
    """Write what a run's change log and the outbox say of the keys that were just given, without their leaving the database: what `Commit` writes
    of other keys, one by one. `reason` has a place for the name of the policy."""
    json = "cast({} as json)" if connection.dialect.name == "postgresql" else "{}"
    told = json.format(":before_id || k.id || :after_id")
    changes = text(
        "insert into change (run_id, kind, user_id, external_id, email, after, reason)"
        f" select :run, 'key_issued', u.id, u.external_id, u.email, {told}, :reason {_GIVEN_FROM} where k.policy = :policy"
    )
    for policy in policies:
        before_id, after_id = msgspec.json.encode({"name": policy, "key_id": "?", "event": "key.issued"}).decode().rsplit("?", 1)
        facts = {"run": run_id, "before_id": before_id, "after_id": after_id, "reason": reason.format(policy), "policy": policy}
        connection.execute(changes, facts)
    events.record_keys(connection, "key.issued", BY, now, run_id, f"select v.user_id, v.id as key_id from {_NEW_KEYS}")


def renew_staged(connection: Connection, now: int) -> list[Issued]:
    """Give every key staged for it its next value; the old one works until it expires, at most 30 days. Return whose."""
    query = text(f"select u.id, u.external_id, u.email, s.policy, v.name, v.id, s.sealed, s.digest, s.expires_at {_RENEWED}")
    found = connection.execute(query).all()
    if found:
        connection.execute(text(_RETIRE), {"now": now})
        rows = [{"id": row[5], "sealed": row[6], "digest": row[7], "expires_at": row[8], "now": now} for row in found]
        many(connection, _REPLACE, rows)
    return [Issued(*row[:6]) for row in found]


def disable(connection: Connection, key_ids: Sequence[str], now: int) -> None:
    """Disable these keys in the name of the sync, so that only the sync enables them again."""
    rows = [{"id": key_id, "now": now} for key_id in key_ids]
    many(connection, f"update virtual_key set enabled = false, disabled_by = '{BY}', disabled_at = :now where id = :id and enabled", rows)


def switch_off_long_away(connection: Connection, user_ids: Iterable[str], away_before: int, now: int) -> list[tuple[str, str]]:
    """Switch off for good the keys of those among `user_ids` who come back after longer than `revive_within`, so that their policies issue
    new ones; an admin can enable them. To be called while the store still says that they are away. Return (user id, key id)."""
    query = text(
        f'select u.id, k.id from "user" u join virtual_key k on k.user_id = u.id where u.id in :ids and k.deleted_at is null and {LONG_AWAY}'
    ).bindparams(bindparam("ids", expanding=True, type_=String()))
    found = [(row[0], row[1]) for row in connection.execute(query, {"ids": list(user_ids), "away_before": away_before})]
    many(connection, _SWITCH_OFF, [{"id": key_id, "now": now} for _, key_id in found])
    return found


def enable_again(connection: Connection, source: str, policies: Sequence[str]) -> list[Issued]:
    """Enable what the sync disabled of people who meet the policy again; return whose."""
    if not policies:
        return []
    query = text(
        "select u.id, u.external_id, u.email, k.policy, k.name, k.id"
        ' from staged_policy p cross join "user" u cross join virtual_key k'  # in this order: an incremental run stages few
        f" where u.source = :source and u.external_id = p.external_id and k.user_id = u.id and k.policy = p.policy"
        f" and u.state = 'active' and not k.enabled and k.disabled_by = '{BY}' and k.deleted_at is null"
        " and k.policy in :policies"
    ).bindparams(bindparam("policies", expanding=True, type_=String()))
    found = [Issued(*row) for row in connection.execute(query, {"source": source, "policies": list(policies)})]
    enable = "update virtual_key set enabled = true, disabled_by = null, disabled_at = null where id = :id"
    many(connection, enable, [{"id": one.key_id} for one in found])
    return found
