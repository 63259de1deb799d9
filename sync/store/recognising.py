"""People whose entries say what they said before: known by a digest, and staged from what is kept of them instead of being mapped again."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence

from sqlalchemy import Connection, bindparam, text

from sync.store.engine import know_sizes, many, streamed
from sync.store.kept import batches

_SAME = (
    "from \"user\" u where u.source = :source and u.state in ('active', 'disabled')"
    " and not exists (select 1 from absent a where a.external_id = u.external_id)"
    " and not exists (select 1 from staged s where s.external_id = u.external_id)"
)
_SAME_PERSON = (
    "insert into staged (external_id, fingerprint, active, bare, person)"
    f" select u.external_id, u.fingerprint, u.state = 'active' and (u.expires_at is null or u.expires_at > :now), false, :none {_SAME}"
)
_SAME_POLICY = f"insert into staged_policy (external_id, policy) select u.external_id, :policy {_SAME}"
_IN_A_GROUP = (
    " and exists (select 1 from membership m join directory_group g on g.id = m.group_id where m.user_id = u.id and g.external_id in :groups)"
)


def known_digests(connection: Connection, source: str) -> Iterator[tuple[bytes, str]]:
    """Yield (digest, external id) of whoever may be recognised: whoever comes back, was not shown lately, or is to be compared again in every
    read is looked at whatever their entry says."""
    query = (
        "select entry_digest, external_id from \"user\" where source = :source and state in ('active', 'disabled') and unproven_since is null"
        " and entry_digest is not null and fingerprint <> :none"
    )
    yield from streamed(connection, query, {"source": source, "none": b""})


def stage_same(connection: Connection, source: str, absent: Iterable[str], rules: Iterable[tuple[str, Collection[str]]], now: int) -> None:
    """Stage everybody of a source, after a read of everybody, who is neither staged nor `absent` (external ids): as they are kept, with the rules
    (name, groups; none = everybody) that they meet. Nobody compares them, so their person is left blank."""
    for batch in batches(absent):
        many(connection, "insert into absent (external_id) values (:id)", [{"id": external_id} for external_id in batch])
    know_sizes(connection, ["absent"])
    for policy, groups in rules:
        if groups:
            query = text(_SAME_POLICY + _IN_A_GROUP).bindparams(bindparam("groups", expanding=True))
            connection.execute(query, {"source": source, "policy": policy, "groups": sorted(groups)})
        else:
            connection.execute(text(_SAME_POLICY), {"source": source, "policy": policy})
    connection.execute(text(_SAME_PERSON), {"source": source, "now": now, "none": b""})
    know_sizes(connection, ["staged", "staged_policy"])


def note_digests(connection: Connection, digests: Sequence[tuple[str, bytes]]) -> None:
    """Note (user id, digest) of whoever says the same as ever, but in other octets than the ones they are recognised by."""
    many(connection, "insert into recognised (user_id, digest) values (:user_id, :digest)", [{"user_id": u, "digest": d} for u, d in digests])


def keep_digests(connection: Connection) -> None:
    """Keep what has been noted, in the transaction that commits the read."""
    connection.execute(
        text(
            'update "user" set entry_digest = (select r.digest from recognised r where r.user_id = "user".id)'
            " where id in (select user_id from recognised)"
        )
    )
