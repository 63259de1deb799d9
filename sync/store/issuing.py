"""Giving and stopping policy keys inside a run's transaction (rule 8): at most one key per user and policy, ever."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import Connection, bindparam, text


class Issued(NamedTuple):
    """A key given to a user, for the change log."""

    user_id: str
    external_id: str
    email: str
    policy: str
    name: str


_DUE = (
    'from staged_key k join "user" u on u.source = :source and u.external_id = k.external_id'
    " where u.state = 'active' and u.email <> ''"
    " and not exists (select 1 from virtual_key v where v.user_id = u.id and v.policy = k.policy)"
)


def issue_staged(connection: Connection, source: str, now: int) -> list[Issued]:
    """Give every staged key to its owner, if the owner is active and holds an address; return who got which."""
    issued = [Issued(*row) for row in connection.execute(text(f"select u.id, u.external_id, u.email, k.policy, k.policy {_DUE}"), {"source": source})]
    connection.execute(
        text(
            "insert into virtual_key (id, user_id, name, policy, origin, sealed, digest, enabled, expires_at, created_at, created_by)"
            f" select k.id, u.id, k.policy, k.policy, 'issued', k.sealed, k.digest, true, k.expires_at, :now, 'sync' {_DUE}"
        ),
        {"source": source, "now": now},
    )
    return issued


def disable(connection: Connection, key_ids: Sequence[str], now: int) -> None:
    """Disable these keys in the name of the sync, so that only the sync enables them again."""
    rows = [{"id": key_id, "now": now} for key_id in key_ids]
    if rows:
        connection.execute(text("update virtual_key set enabled = false, disabled_by = 'sync', disabled_at = :now where id = :id and enabled"), rows)


def enable_again(connection: Connection, source: str, policies: Sequence[str]) -> list[Issued]:
    """Enable what the sync disabled of people who meet the policy again; return whose."""
    if not policies:
        return []
    query = text(
        "select k.id, u.id, u.external_id, u.email, k.policy, k.name from virtual_key k"
        ' join "user" u on u.id = k.user_id join staged_policy p on p.external_id = u.external_id and p.policy = k.policy'
        " where u.source = :source and u.state = 'active' and not k.enabled and k.disabled_by = 'sync' and k.deleted_at is null"
        " and k.policy in :policies"
    ).bindparams(bindparam("policies", expanding=True))
    rows = connection.execute(query, {"source": source, "policies": list(policies)}).all()
    if rows:
        enable = text("update virtual_key set enabled = true, disabled_by = null, disabled_at = null where id = :id")
        connection.execute(enable, [{"id": row[0]} for row in rows])
    return [Issued(*row[1:]) for row in rows]
