"""What one read saw, kept in temporary tables of the run's own connection: bounded memory, gone with the process."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import msgspec
from sqlalchemy import BigInteger, Boolean, Column, Connection, LargeBinary, MetaData, Table, Text, bindparam, text

from sync.directory import Person
from sync.store import issuing
from sync.store.engine import Store, insert, know_sizes, many, streamed
from sync.store.kept import batches
from sync.store.temporary import make_empty
from sync.user import Known, Seen

_temporary = MetaData()
Table(
    "staged",
    _temporary,
    Column("external_id", Text, primary_key=True),
    Column("fingerprint", LargeBinary, nullable=False),
    Column("active", Boolean, nullable=False),
    Column("bare", Boolean, nullable=False),
    Column("person", LargeBinary, nullable=False),
    Column("digest", LargeBinary),
    prefixes=["TEMPORARY"],
)
Table(
    "staged_policy",
    _temporary,
    Column("external_id", Text, primary_key=True),
    Column("policy", Text, primary_key=True),
    prefixes=["TEMPORARY"],
    sqlite_with_rowid=False,
)
Table(
    "verdict",
    _temporary,
    Column("external_id", Text, primary_key=True),
    Column("user_id", Text, nullable=False),
    Column("known", Boolean, nullable=False),
    prefixes=["TEMPORARY"],
    sqlite_with_rowid=False,
)
Table(
    "staged_key",
    _temporary,
    Column("id", Text, nullable=False),
    Column("external_id", Text, nullable=False),
    Column("policy", Text, nullable=False),
    Column("sealed", LargeBinary, nullable=False),
    Column("digest", LargeBinary, nullable=False),
    Column("expires_at", BigInteger),
    Column("renews", Boolean, nullable=False),
    prefixes=["TEMPORARY"],
)

# Of a read that recognised entries (see recognising): which known digests it did not meet, who is to be compared, who is not there any more, whose
# keys are to be looked at, and by what others are to be recognised from now on.
Table("unmet", _temporary, Column("digest", LargeBinary, primary_key=True), prefixes=["TEMPORARY"])
Table("compared", _temporary, Column("external_id", Text, primary_key=True), Column("recognised", Boolean, nullable=False), prefixes=["TEMPORARY"])
Table("looked_at", _temporary, Column("user_id", Text, primary_key=True), prefixes=["TEMPORARY"])
Table("absent", _temporary, Column("external_id", Text, primary_key=True), prefixes=["TEMPORARY"])
Table("recognised", _temporary, Column("user_id", Text, primary_key=True), Column("digest", LargeBinary, nullable=False), prefixes=["TEMPORARY"])

_AGAIN = (
    "on conflict (external_id) do update set"
    " fingerprint = excluded.fingerprint, active = excluded.active, bare = excluded.bare, person = excluded.person, digest = excluded.digest"
)
_VERDICT = ("external_id", "user_id", "known")
_KEY = ("id", "external_id", "policy", "sealed", "digest", "expires_at", "renews")

_decode = msgspec.msgpack.Decoder(Person).decode
BATCH = 1000
ENTITLED = 20_000
"""People owed a key that are held in memory at once: many, for PostgreSQL may join everybody anew to find them."""
BEFORE_ALL = ("", "")
"""The (external id, policy) after which everybody comes."""
FEW = 200
"""Ids that are asked for at once: so many are always sought in the index, one by one."""


class StagedRow(NamedTuple):
    """A person on the way in: `active` = enabled and not expired now; `person` = the person in MessagePack; `digest` = by what their entry is
    recognised next time."""

    external_id: str
    fingerprint: bytes
    active: bool
    bare: bool
    person: bytes
    digest: bytes | None


class StagedPerson(NamedTuple):
    """A person on the way in, and the policies whose groups they are in."""

    row: StagedRow
    policies: Sequence[str]


class StagedKey(NamedTuple):
    """A sealed key ready for whoever turns out to be entitled to it in the commit; `renews` = the next value of the key that has this id."""

    id: str
    external_id: str
    policy: str
    sealed: bytes
    digest: bytes
    expires_at: int | None
    renews: bool = False


class Verdicted(msgspec.Struct):
    """A staged person who is new (`known` False, `user_id` just made) or differs from what is kept."""

    person: Person
    user_id: str
    known: bool
    fingerprint: bytes
    digest: bytes | None


class Staging:
    """The temporary tables of one run. Every method opens and ends its own transaction, but for those that take a connection."""

    def __init__(self, store: Store, connection: Connection) -> None:
        self._store = store
        self._connection = connection
        with store.read(on=connection):
            make_empty(connection, _temporary)

    def add(self, people: Sequence[StagedPerson]) -> None:
        """Stage one page. An external id staged before is replaced (a page read again)."""
        if not people:
            return
        bare = [{"external_id": one.row.external_id} for one in people if one.row.bare]
        wants = [(one.row.external_id, policy) for one in people for policy in one.policies]
        with self._store.read(on=self._connection) as connection:
            insert(connection, "staged", StagedRow._fields, [one.row for one in people], _AGAIN)
            # A bare person may replace one staged before (two entries with one id): nothing may follow from what the first one said.
            many(connection, "delete from staged_policy where external_id = :external_id", bare)
            insert(connection, "staged_policy", ("external_id", "policy"), wants, "on conflict do nothing")

    def seen(self, connection: Connection) -> Iterator[Seen]:
        """Yield everybody staged, sorted by id, byte order."""
        know_sizes(connection, _temporary.tables)
        yield from map(Seen._make, streamed(connection, "select external_id, fingerprint, digest from staged order by external_id"))

    def note(self, connection: Connection, verdicts: Sequence[tuple[str, str, bool]]) -> None:
        """Remember who is to be compared in full: (external id, user id, known)."""
        insert(connection, "verdict", _VERDICT, verdicts)

    def verdicts(self, connection: Connection, *, known: bool = False) -> Iterator[list[Verdicted]]:
        """Yield everybody noted, in batches; with `known` only those who are not new."""
        query = text(
            "select v.external_id, v.user_id, v.known, s.person, s.fingerprint, s.digest"
            " from verdict v join staged s on s.external_id = v.external_id"
            f" where v.external_id > :after{' and v.known' if known else ''} order by v.external_id limit :batch"
        )
        after, full = "", True
        while full and (rows := connection.execute(query, {"after": after, "batch": BATCH}).all()):
            after, full = rows[-1][0], len(rows) == BATCH
            yield [Verdicted(_decode(person), user_id, bool(is_known), *prints) for _, user_id, is_known, person, *prints in rows]

    def count(self, connection: Connection) -> int:
        """Return how many people are staged."""
        return int(connection.execute(text("select count(*) from staged")).scalar_one())

    def members(self, connection: Connection) -> dict[str, int]:
        """Return how many staged people each policy wants to give a key."""
        return {row[0]: row[1] for row in connection.execute(text("select policy, count(*) from staged_policy group by policy"))}

    def entitled(self, connection: Connection, source: str, away_before: int, after: tuple[str, str]) -> list[tuple[str, str, str]]:
        """Return (external id, user id, policy) of active people, known or noted as new, whom a policy owes its first key, or its first since
        they came back: away since before `away_before`, their old ones stay off. The first ENTITLED `after` an (external id, policy), sorted."""
        if after == BEFORE_ALL:
            know_sizes(connection, _temporary.tables)
        query = text(
            "select p.external_id, coalesce(u.id, v.user_id), p.policy from staged_policy p join staged s on s.external_id = p.external_id"
            ' left join "user" u on u.source = :source and u.external_id = p.external_id left join verdict v on v.external_id = p.external_id'
            " left join virtual_key k on k.user_id = u.id and k.policy = p.policy"
            " where (p.external_id, p.policy) > (:external_id, :policy) and s.active and (k.id is null"
            f" or (k.deleted_at is null and {issuing.LONG_AWAY})) order by p.external_id, p.policy"  # as users' ids are: their keys' follow them
            " limit :most"
        )
        facts = {"source": source, "away_before": away_before, "external_id": after[0], "policy": after[1], "most": ENTITLED}
        return [(row[0], row[1], row[2]) for row in connection.execute(query, facts)]

    def renewable(self, connection: Connection, source: str, policy: str, expiring_before: int) -> Iterator[tuple[str, str, str]]:
        """Yield (external id, user id, key id) of enabled keys of a policy that expire before `expiring_before` while their owner meets it."""
        query = text(
            "select p.external_id, u.id, k.id from staged_policy p join staged s on s.external_id = p.external_id"
            ' join "user" u on u.source = :source and u.external_id = p.external_id'
            " join virtual_key k on k.user_id = u.id and k.policy = p.policy"
            " where p.policy = :policy and s.active and k.deleted_at is null and k.enabled and k.expires_at <= :before"
        )
        for row in connection.execute(query, {"source": source, "policy": policy, "before": expiring_before}):
            yield row[0], row[1], row[2]

    def add_keys(self, keys: Sequence[StagedKey]) -> None:
        """Stage sealed keys."""
        if keys:
            with self._store.read(on=self._connection) as connection:
                insert(connection, "staged_key", _KEY, keys)


_KNOWN = (
    "select u.external_id, u.id, u.fingerprint, u.state, u.unproven_since is not null, u.entry_digest, json_array_length(u.dropped)"
    ' from {0}"user" u where u.source = :source{1} order by u.external_id'
)


def known_users(connection: Connection, source: str) -> Iterator[Known]:
    """Yield every user of `source` sorted by external id, byte order."""
    yield from map(Known._make, streamed(connection, _KNOWN.format("", ""), {"source": source}))


def compared_users(connection: Connection, source: str) -> Iterator[Known]:
    """Yield those users who are to be compared after a read that recognised most entries (see recognising), sorted by external id."""
    query = _KNOWN.format("compared c cross join ", " and u.external_id = c.external_id")
    yield from map(Known._make, streamed(connection, query, {"source": source}))


def named_users(connection: Connection, source: str, external_ids: Iterable[str]) -> Iterator[Known]:
    """Yield the users of `source` who have these external ids, sorted by them."""
    named = text(_KNOWN.format("", " and u.external_id in :ids")).bindparams(bindparam("ids", expanding=True))
    for ids in batches(sorted(set(external_ids)), FEW):
        yield from map(Known._make, connection.execute(named, {"source": source, "ids": ids}).all())
