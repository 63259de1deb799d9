"""Reading what one provider has pushed: the Reading that sync.directory asks for, on tables of our own."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

from sync.address import MalformedAddress, normalise
from sync.directory import Absent, Delta, Familiar, Finding, Page, Person, Proof
from sync.settings import SourceSettings
from sync.sources.push.mapping import Mapper
from sync.store import pushed, pushedgroups
from sync.store.engine import Connection
from sync.store.views import rfc3339

PAGE = 500
POSITION = "pushed"
"""Every push is taken over in its own commit, so that an incremental read goes on wherever it is."""
HOW = "every push is taken over at once: only a sample is looked at, and who gained an address"


class PushReading:
    """Reads one source. Complete by nature: what a provider did not push, it has not said."""

    server = ""
    vendor = ""

    def __init__(self, settings: SourceSettings, groups: Sequence[str], connection: Connection) -> None:
        self._source, self._issuing, self._connection = settings.name, frozenset(groups), connection
        self._mapper = Mapper(settings, self._issuing)
        self._pages = self._entries = 0

    def full(self, familiar: Familiar | None = None) -> Iterator[Page]:
        """Yield every page."""
        self._pages = self._entries = 0
        people = self._people(None)
        while page := list(islice(people, PAGE)):
            self._pages += 1
            self._entries += len(page)
            yield Page(page)

    def proof(self) -> Proof:
        """Return what the finished `full` proved."""
        return Proof(
            True, self.server, self._pages, self._entries, groups_found=self.groups_found(), cursor=POSITION, answers_by_id=True, may_be_empty=True
        )

    def groups_found(self) -> dict[str, int | None]:
        """Return which issuing groups have been pushed: 0 = nobody is in it, None = somebody is, and nobody counted."""
        found: dict[str, int | None] = {}
        for group in pushedgroups.issuing_groups(self._connection, self._source, self._issuing):
            for name in group.names & self._issuing:
                found[name] = None if group.listed else found.get(name, 0)
        return found

    def delta(self, cursor: str) -> Delta:
        """Return nobody as touched, and who is in the issuing groups: what was pushed is taken over already."""
        ids: dict[str, set[str]] = {}
        for group in pushedgroups.issuing_groups(self._connection, self._source, self._issuing):
            for name in group.names & self._issuing:
                ids.setdefault(name, set()).add(group.id)
        members = {name: pushedgroups.people_of(self._connection, self._source, found) for name, found in ids.items()}
        return Delta(frozenset(), members, self.groups_found(), HOW, POSITION)

    def find(self, address: str) -> Page:
        """Return whoever lists `address`."""
        try:
            matched = normalise(address)
        except MalformedAddress:
            return Page([])
        return Page([person for person in self._people(None) if any(email.matched == matched for email in person.emails)])

    def find_ids(self, external_ids: Iterable[str]) -> Page:
        """Return the persons with these ids that were not deleted."""
        return Page(list(self._people(external_ids)))

    def evidence(self, absent: Sequence[Absent]) -> Iterator[Finding]:
        """Yield one finding for each absent person: a deletion is the provider's own word, and nothing else is one."""
        known = {user.id: user for user in pushed.users(self._connection, self._source, [one.external_id for one in absent])}
        for one in absent:
            user = known.get(one.external_id)
            if user is None:
                yield Finding(one.external_id, "unproven", "was never pushed under this id", "")
            elif user.deleted_at is None:
                yield Finding(one.external_id, "unproven", "is there", "")
            else:
                said = f"DELETE Users/{one.external_id} at {rfc3339(user.deleted_at)}"
                yield Finding(one.external_id, "departed", "was deleted by the provider", said)

    def _people(self, ids: Iterable[str] | None) -> Iterator[Person]:
        users = pushed.users(self._connection, self._source, ids)
        return (self._mapper.person(user) for user in users if user.deleted_at is None)
