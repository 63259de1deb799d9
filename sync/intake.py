"""Reading a directory into the staging tables, and refusing answers of which nothing is to be believed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from sync import plan
from sync.address import MalformedAddress, normalise
from sync.digests import Digests, salt_of
from sync.directory import Delta, Page, Person, Proof, Reading, Refused
from sync.errors import CursorLost, InvalidRequest, UnsafePlan
from sync.policy import Rule, wanted
from sync.pulse import Pulse
from sync.settings import SourceSettings
from sync.store import cursors, kept, recognising
from sync.store.cursors import Cursor
from sync.store.engine import Connection, Store
from sync.store.lease import Progress
from sync.store.staging import StagedPerson, StagedRow, Staging
from sync.user import Known

MOST_REFUSED_KEPT = 1000
"""Refused entries that the change log names; all are counted."""
FEW_REFUSED = 10
"""So many refused entries never stop a run, whatever their share."""
MOST_AT_ONCE = 10
"""People that share the address of a run for one person: more are the guard's business."""
SAMPLE = 50
"""People of whom an incremental read looks at although nothing says that they changed."""
FEW_CHANGES = 1000
"""So many changes are always read one by one; more than a quarter of the directory are not: reading all of it is quicker then."""


class Changes(NamedTuple):
    """What an incremental read brought: what it proves, whose ids it looked at, which of those only as a sample, and where that ended."""

    proof: Proof
    delta: Delta
    ids: list[str]
    sample: frozenset[str]
    sampled: str


class Intake:
    """What one read brought in, page by page."""

    def __init__(self, store: Store, source: SourceSettings, rules: Sequence[Rule], pulse: Pulse) -> None:
        self._store, self._source, self._rules, self._pulse = store, source, rules, pulse
        self.server = ""
        self.vendor = ""
        self.pages = 0
        self.entries = 0
        self.dropped = 0
        self.refused: list[Refused] = []
        self.refused_count = 0
        self._digests = Digests()

    def read_all(self, reading: Reading, connection: Connection, staging: Staging, bound_to: str) -> Proof:
        """Stage the whole directory, but for whoever is recognised; what that hangs on beside their entries is `bound_to` (a digest).
        Raises UnsafePlan, or what the source raises."""
        with self._store.read(on=connection):
            expected = kept.people(connection, self._source.name)
            self._digests = Digests(salt_of(bound_to), expected)
            for digest, external_id in recognising.known_digests(connection, self._source.name):
                self._digests.add(digest, external_id)
        for page in reading.full(self._digests):
            self.server, self.vendor = reading.server, reading.vendor
            self._stage(page, staging)
            self._pulse.beat(self.progress("read", expected))
        proof = reading.proof()
        self._refuse_suspicious(0 if proof.may_be_empty else expected)
        return proof

    def read_changes(self, reading: Reading, connection: Connection, staging: Staging, cursor: Cursor) -> Changes:
        """Stage whoever is touched, joined or left an issuing group, or is due to be sampled. Raises CursorLost, or what the source raises."""
        source = self._source.name
        delta = reading.delta(cursor.position)
        self.server, self.vendor = reading.server, reading.vendor
        with self._store.read(on=connection):
            moved = {one for group, now in delta.members.items() for one in now ^ kept.members(connection, source, group)}
            sample = cursors.next_sample(connection, source, cursor.sampled, SAMPLE)
        ids = delta.touched.union(moved, cursor.again)
        if len(ids) > max(FEW_CHANGES, cursor.entries // 4):
            raise CursorLost("cursor_lost", f"{len(ids)} entries have changed, too many to be read one by one")
        named = sorted(ids.union(sample))
        for batch in kept.batches(named):
            self._stage(reading.find_ids(batch), staging)
            self._pulse.beat(self.progress("read", len(named)))
        self._refuse_many_refused()
        why = "only what has changed was asked for"
        proof = Proof(False, reading.server, self.pages, self.entries, why, delta.groups_found, delta.cursor)
        return Changes(proof, delta, named, frozenset(sample) - ids, sample[-1] if sample else "")

    def read_one(self, reading: Reading, connection: Connection, staging: Staging, address: str) -> tuple[Proof, list[str]]:
        """Stage whoever lists the address now, and whoever is remembered with it; return all their external ids. Raises UnsafePlan."""
        self.server = reading.server
        found = reading.find(address)
        self._stage(found, staging)
        with self._store.read(on=connection):
            remembered = set(kept.ids_of(connection, self._source.name, _normalised(address)))
        seen = {person.external_id for person in found.persons}
        if len(remembered | seen) > MOST_AT_ONCE:
            raise UnsafePlan(
                "too_many_people",
                f"{len(remembered | seen)} people of {self._source.name} list {address}, or did; nothing was changed.",
                "A run for one person is outside the guard. Give an address of their own, or sync the whole source.",
            )
        if remembered - seen:
            self._stage(reading.find_ids(sorted(remembered - seen)), staging)
        groups: dict[str, int | None] = {group: None for rule in self._rules for group in rule.groups}
        return Proof(False, reading.server, self.pages, self.entries, "only one person was asked for", groups), sorted(remembered | seen)

    def recognised(self, user: Known) -> bool:
        """Tell whether the user's entry said what it said before, so that it was not read."""
        return self._digests.met(user.digest)

    def leave_out(self, connection: Connection) -> int | None:
        """Leave whoever was recognised out of the comparison, where that is worth it; return how many, None when everybody is to be compared."""
        if self._digests.met_count <= self._digests.count // 2:
            return None
        return recognising.leave_out(connection, self._source.name, self._digests.met_count, self._digests.unmet())

    def progress(self, phase: str, expected: int = 0) -> Progress:
        """Return how far the run is."""
        return Progress(phase, self.pages, self.entries, self.server, expected)

    def _stage(self, page: Page, staging: Staging) -> None:
        now = self._store.now()
        digests = page.digests or [b""] * len(page.persons)
        staging.add([staged(person, self._rules, now, digest) for person, digest in zip(page.persons, digests, strict=True)])
        self._digests.meet(page.same)
        self.pages += 1
        self.entries += len(page.persons) + len(page.refused) + len(page.same)
        self.dropped += sum(len(person.dropped) for person in page.persons)
        self.refused_count += len(page.refused)
        self.refused += page.refused[: MOST_REFUSED_KEPT - len(self.refused)]

    def _refuse_suspicious(self, expected: int) -> None:
        """Raise UnsafePlan for an empty answer and for too many entries that could not be taken (rule 3)."""
        if self.entries == 0 and expected:
            raise UnsafePlan(
                "empty_answer",
                f"{self._source.name} answered with no entry at all, but had {expected} people; nothing was changed.",
                "Check base, filter and the bind account's rights with `rosterd check`.",
            )
        self._refuse_many_refused()

    def _refuse_many_refused(self) -> None:
        limit = self._source.guard.max_refused_percent
        if self.refused_count > max(FEW_REFUSED, self.entries * limit / 100):
            first = self.refused[0]
            raise UnsafePlan(
                "too_many_refused",
                f"{self.refused_count} of {self.entries} entries could not be taken, the first: {first.place or '(no name)'} {first.why};"
                f" more than max_refused_percent = {limit:g} allows, nothing was changed.",
                "Check that the bind account may read the id attribute of every person.",
            )


def staged(person: Person, rules: Sequence[Rule], now: int, digest: bytes = b"") -> StagedPerson:
    """Return a person as they are staged; `digest` = of their entry."""
    octets = plan.encode(person)
    row = StagedRow(person.external_id, plan.fingerprint_of(octets), person.is_active(now), person.bare, octets, digest or None)
    return StagedPerson(row, wanted(rules, person.groups))


def _normalised(address: str) -> str:
    try:
        return normalise(address)
    except MalformedAddress as error:
        raise InvalidRequest("invalid_address", f"The address {error}.", "Give it as local-part@domain.", "only") from None
