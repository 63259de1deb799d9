"""Writing people who are new, nearly everybody of a first sync: a table at a time, and an address that nobody else claims is theirs at once.

`Keeper` would write the same, row by row, and `settle` decide each address; a test compares the two ways.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import BigInteger, Boolean, Column, Connection, Integer, MetaData, Table, Text, text

from sync.store.engine import insert, know_sizes
from sync.store.keeping import Keeper
from sync.store.temporary import make_empty
from sync.user import Newcomer

_temporary = MetaData()
Table(
    "new_claim",
    _temporary,
    Column("matched", Text, nullable=False),
    Column("user_id", Text, nullable=False),
    Column("spelt", Text, nullable=False),
    Column("position", Integer, nullable=False),
    Column("marked", Boolean, nullable=False),
    Column("is_primary", Boolean, nullable=False),
    Column("since", BigInteger, nullable=False),
    prefixes=["TEMPORARY"],
)
_USER = (
    "id", "source", "external_id", "place", "username", "name", "email", "state", "inactive_since", "expires_at", "fingerprint", "entry_digest",
    "dropped", "created_at", "updated_at", "missing_reads",
)  # fmt: skip
_CLAIM = ("matched", "user_id", "spelt", "position", "marked", "is_primary", "since")
_CONTESTED = (
    "insert into touched (matched) select matched from new_claim group by matched having count(*) > 1"
    " union select n.matched from new_claim n join claim c on c.matched = n.matched on conflict do nothing"
)
_UNSETTLED = (
    "insert into touched_user (user_id) select n.user_id from touched t cross join new_claim n where n.matched = t.matched on conflict do nothing"
)
_CLAIMS = (
    f"insert into claim ({', '.join(_CLAIM)}, held) select {', '.join(_CLAIM)}, matched not in (select matched from touched)"
    " from new_claim order by matched, user_id"  # as the indexes are: each page of theirs is written once
)


class Welcome:
    """Writes the newcomers of one source, in batches; their addresses when all of them and everybody else of the commit have been written."""

    def __init__(self, connection: Connection, keeper: Keeper, source: str, now: int) -> None:
        self._connection, self._keeper, self._source, self._now = connection, keeper, source, now
        self._list_addresses = False

    def write(self, newcomers: Sequence[Newcomer]) -> None:
        """Write new users and their memberships, and remember what they claim. Until `claim`, `email` is the primary address that they list."""
        users: list[tuple[Any, ...]] = []
        claims: list[tuple[Any, ...]] = []
        members: list[tuple[Any, ...]] = []
        for user_id, person, emails, primary, _, fingerprint, digest in newcomers:
            state, inactive_since = ("active", None) if person.enabled else ("disabled", self._now)
            users.append((
                user_id, self._source, person.external_id, person.place, person.username, person.name, emails[primary].spelt if emails else "",
                state, inactive_since, person.expires_at, fingerprint, digest, "[]", self._now, self._now, 0,
            ))  # fmt: skip
            for place, email in enumerate(emails):
                claims.append((email.matched, user_id, email.spelt, place, email.marked, place == primary, self._now))
            members += [(user_id, self._keeper.group(group)) for group in set(person.groups)]
        insert(self._connection, "user", _USER, users)
        insert(self._connection, "membership", ("user_id", "group_id"), members)
        if claims and not self._list_addresses:
            make_empty(self._connection, _temporary)
            self._list_addresses = True
        insert(self._connection, "new_claim", _CLAIM, claims)

    def claim(self) -> None:
        """Give newcomers the addresses that nobody else claims; `settle` is to decide the others, and whatever was touched already."""
        if not self._list_addresses:
            return
        know_sizes(self._connection, ["new_claim", "touched"])
        for statement in (_CONTESTED, _UNSETTLED, _CLAIMS):
            self._connection.execute(text(statement))
