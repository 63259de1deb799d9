"""People whose entries say what they said before: known by a digest, not compared, and staged only where their keys are to be looked at."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, bindparam, text

from sync.store.engine import know_sizes, many, streamed
from sync.store.issuing import BY
from sync.store.kept import batches

_RECOGNISABLE = "u.state in ('active', 'disabled') and u.unproven_since is null and u.entry_digest is not null and u.fingerprint <> :none"
_MET = f"({_RECOGNISABLE} and not exists (select 1 from unmet n where n.digest = u.entry_digest))"
_COMPARE = (
    f'insert into compared (external_id, recognised) select u.external_id, {_MET} from "user" u where u.source = :source and not ({_MET}'
    " and not exists (select 1 from staged s where s.external_id = u.external_id) and json_array_length(u.dropped) = 0)"
)
_LEFT_OUT = (
    'select (select count(*) from "user" where source = :source) - (select count(*) from compared), (select count(*) from compared where recognised)'
)
_SAME = (
    "u.source = :source and u.state in ('active', 'disabled')"
    " and not exists (select 1 from absent a where a.external_id = u.external_id)"
    " and not exists (select 1 from staged s where s.external_id = u.external_id)"
)
_IN_A_GROUP = "exists (select 1 from membership m join directory_group g on g.id = m.group_id where m.user_id = u.id and g.external_id in :groups)"
_EVERYBODY = '"user" u where'
_MEMBERS = (  # in this order: groups that issue keys are few, and mostly small
    'directory_group g cross join membership m cross join "user" u'
    " where g.source = :source and g.external_id in :groups and m.group_id = g.id and u.id = m.user_id and"
)
_OWED = (  # who is active was never away, so that no key of theirs is too old; whoever contradicts this is looked at
    "u.state = 'active' and (u.inactive_since is not null or not exists (select 1 from virtual_key k where k.user_id = u.id and k.policy = :policy))"
)
_KEYS = 'virtual_key k cross join "user" u where k.policy = :policy and k.deleted_at is null and u.id = k.user_id and'
_STOPPED = f"(not k.enabled and k.disabled_by = '{BY}')"
_ENDING = "(k.enabled and k.expires_at <= :before)"
_LEFT = f"(k.enabled and not {_IN_A_GROUP})"
_LOOK = f"insert into looked_at (user_id) select u.id from {{0}} {{1}} and {_SAME}{{2}} on conflict do nothing"
_LOOKED_AT = 'from looked_at l cross join "user" u where u.id = l.user_id'
_STAGE = (
    "insert into staged (external_id, fingerprint, active, bare, person)"
    f" select u.external_id, u.fingerprint, u.state = 'active' and (u.expires_at is null or u.expires_at > :now), false, :none {_LOOKED_AT}"
)
_STAGE_POLICY = f"insert into staged_policy (external_id, policy) select u.external_id, :policy {_LOOKED_AT}"

AHEAD_MS = 3_600_000
"""A key that is to be renewed within this time is looked at: a plan may take a while before keys are sealed."""


class Wanted(NamedTuple):
    """A policy as it decides whose keys are to be looked at: `groups` none = everybody; `renew_within` = ms before its end in which a key is
    renewed, None where keys do not end."""

    policy: str
    groups: Collection[str]
    renew_within: int | None


def known_digests(connection: Connection, source: str) -> Iterator[tuple[bytes, str]]:
    """Yield (digest, external id) of whoever may be recognised: whoever comes back, was not shown lately, or is to be compared again in every
    read is looked at whatever their entry says."""
    query = f'select u.entry_digest, u.external_id from "user" u where u.source = :source and {_RECOGNISABLE}'
    yield from streamed(connection, query, {"source": source, "none": b""})


def leave_out(connection: Connection, source: str, met: int, unmet: Iterable[bytes]) -> int | None:
    """Note who is to be compared after a read of everybody, and return how many are left out of that: who was recognised, was not staged as well,
    and of whose entry no value is dropped.

    `met` = how many known digests the read has met, `unmet` = all others. None when users and digests do not match one by one: then everybody is
    to be compared.
    """
    for batch in batches(unmet):
        many(connection, "insert into unmet (digest) values (:digest) on conflict do nothing", [{"digest": digest} for digest in batch])
    know_sizes(connection, ["unmet", "staged"])
    connection.execute(text(_COMPARE), {"source": source, "none": b""})
    know_sizes(connection, ["compared"])
    left_out, recognised = connection.execute(text(_LEFT_OUT), {"source": source}).one()
    return int(left_out) if left_out + recognised == met else None


def stage_same(connection: Connection, source: str, absent: Iterable[str], rules: Sequence[Wanted], now: int) -> None:
    """Stage of a source, after a read of everybody, those who are neither staged nor `absent` (external ids) and whose keys are to be looked at:
    as they are kept, with the rules that they meet. Nobody compares them, so their person is left blank.

    Rather too many than too few: what becomes of a key is decided later, from what is staged. Of everybody else nothing would follow but that a
    group is not empty; so one of its members is staged in any case.
    """
    for batch in batches(absent):
        many(connection, "insert into absent (external_id) values (:id)", [{"id": external_id} for external_id in batch])
    know_sizes(connection, ["absent"])
    for rule in rules:
        _look(connection, source, rule, now)
    know_sizes(connection, ["looked_at"])
    for rule in rules:
        query = f"{_STAGE_POLICY} and {_IN_A_GROUP}" if rule.groups else _STAGE_POLICY
        _execute(connection, query, rule, {"policy": rule.policy})
    connection.execute(text(_STAGE), {"now": now, "none": b""})
    know_sizes(connection, ["staged", "staged_policy"])


def _look(connection: Connection, source: str, rule: Wanted, now: int) -> None:
    """Note who is owed a key by one rule, or has one of it that may have to be enabled again, renewed or stopped."""
    facts: dict[str, Any] = {"source": source, "policy": rule.policy}
    _execute(connection, _LOOK.format(_MEMBERS if rule.groups else _EVERYBODY, _OWED, ""), rule, facts)
    unusual = [_STOPPED]
    if rule.renew_within is not None:
        unusual.append(_ENDING)
        facts["before"] = now + rule.renew_within + AHEAD_MS
    if rule.groups:
        unusual.append(_LEFT)
        _execute(connection, _LOOK.format(_MEMBERS, "true", " limit 1"), rule, {"source": source})
    _execute(connection, _LOOK.format(_KEYS, f"({' or '.join(unusual)})", ""), rule, facts)


def _execute(connection: Connection, query: str, rule: Wanted, facts: Mapping[str, Any]) -> None:
    """Run a statement that may ask for the groups of a rule."""
    if ":groups" in query:
        connection.execute(text(query).bindparams(bindparam("groups", expanding=True)), {**facts, "groups": sorted(rule.groups)})
    else:
        connection.execute(text(query), facts)


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
