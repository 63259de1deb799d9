"""Recognising entries by their octets: one that says what it said when it was last mapped would become the same person again."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from sync.directory import Familiar
from sync.settings import SourceSettings
from sync.sources.ldap.ber import Entry, dn_of
from sync.sources.ldap.dialect import Dialect
from sync.sources.ldap.groups import GroupIndex
from sync.sources.ldap.nesting import Nesting


class Recognition:
    """Makes the digests of one read. All that a person is made of is in them: the entry as it came, and as their key the words in which it was
    asked for, whatever the caller adds (`familiar.salt`), and what other entries say of groups."""

    def __init__(
        self,
        familiar: Familiar,
        dialect: Dialect,
        settings: SourceSettings,
        attributes: Sequence[str],
        index: GroupIndex | None,
        nesting: Nesting | None,
    ) -> None:
        self.place, self.whose = familiar.place, familiar.whose
        self._index = index if index and index.by_place else None
        emails = [name for name, _ in dialect.emails]
        words = (dialect.vendor.name, dialect.id, dialect.username, dialect.name, emails, dialect.groups, dialect.group_search)
        others = (index.said if index and not self._index else "", nesting.said if nesting else "")
        said = repr((words, dialect.disabled_when, dialect.aside, settings.domains, attributes, others))
        self._key = hashlib.blake2b(said.encode("utf-8", "surrogatepass"), key=familiar.salt, digest_size=32).digest()

    def digest(self, octets: bytes) -> bytes:
        """Return the 16 octets by which this entry is recognised. Raises Garbled."""
        if self._index is None:
            return hashlib.blake2b(octets, digest_size=16, key=self._key).digest()
        groups = sorted(self._index.groups_of(Entry(dn_of(octets)), ""))
        return hashlib.blake2b(octets + repr(groups).encode("utf-8", "surrogatepass"), digest_size=16, key=self._key).digest()
