"""How a run reads: one person, only what has changed, or everything; and where the next one can go on."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import msgspec

from sync import weigh
from sync.directory import Proof, Reading
from sync.errors import CursorLost
from sync.intake import Changes, Intake
from sync.policy import Rule
from sync.settings import SourceSettings
from sync.store import recognising
from sync.store.cursors import Cursor, Drift, keep_cursor, keep_drift, load_cursor, load_drift
from sync.store.engine import Connection
from sync.store.facts import SourceFacts
from sync.store.recognising import Wanted
from sync.store.staging import Staging
from sync.store.views import RunView
from sync.weigh import Picture


class Approach:
    """The way one run reads its directory. What is incremental about a run is here; all that follows is the same for every run."""

    def __init__(self, run: RunView, source: SourceSettings, rules: Sequence[Rule]) -> None:
        self._run, self._source, self._rules = run, source, rules
        self._bound_to = binding(source, rules)
        self._why_full: str | None = ""
        self._changes: Changes | None = None
        self._drifted = 0

    @property
    def mode(self) -> str:
        """What the run turned out to be: full or incremental."""
        return "full" if self._changes is None else "incremental"

    @property
    def everybody(self) -> bool:
        """Whether everybody was asked for, so that an absence is worth an inquiry."""
        return self._changes is None and not self._run.only

    def reason(self, facts: SourceFacts) -> str:
        """Return why it was read in this way, "" where nothing is to be said."""
        if self._changes is not None:
            return self._changes.delta.how
        return self._why_full or self._run.mode_reason or ("first read" if facts.read_at is None else "")

    def read(
        self, intake: Intake, reading: Reading, connection: Connection, staging: Staging, facts: SourceFacts, now: int
    ) -> tuple[Proof, list[str] | None]:
        """Stage what is to be read. Return what that proves, and the ids that were asked for, None for everybody. Raises SourceError, UnsafePlan."""
        if self._run.only:
            return intake.read_one(reading, connection, staging, self._run.only)
        self._why_full = why_full(self._run, self._source, facts, self._bound_to, now)
        if self._why_full is None and facts.cursor is not None:
            try:
                self._changes = intake.read_changes(reading, connection, staging, facts.cursor)
            except CursorLost as lost:
                self._why_full = lost.message
            else:
                return self._changes.proof, self._changes.ids
        return intake.read_all(reading, connection, staging, self._bound_to), None

    def note(self, connection: Connection, staging: Staging, picture: Picture, now: int) -> None:
        """Complete what was staged and the picture: after a read of everybody by whoever was recognised, after an incremental one by who is in the
        issuing groups and who drifted."""
        if self.everybody:
            absent = (known.external_id for known in picture.absent)
            recognising.stage_same(connection, self._source.name, absent, [_wanted(rule) for rule in self._rules], now)
        if self._changes is None:
            return
        groups = self._changes.delta.members
        picture.seen_members = {rule.name: len(frozenset().union(*(groups.get(group, ()) for group in rule.groups))) for rule in self._rules}
        self._drifted = weigh.count_drifted(connection, staging, self._changes.sample, picture)

    def keep(self, connection: Connection, picture: Picture, now: int) -> None:
        """Remember where to go on; not to be called by a run that withholds something new: its cursor stays."""
        source, before, changes = self._source.name, picture.facts.cursor, self._changes
        if before is None or changes is None:
            keep_cursor(
                connection, source, Cursor(picture.proof.cursor, self._bound_to, now, picture.proof.entries, why_none=picture.proof.no_cursor)
            )
            keep_drift(connection, source, Drift())
            return
        now_kept = load_cursor(connection, source)
        again = set(now_kept.again if now_kept else ()) - set(changes.ids)
        keep_cursor(
            connection,
            source,
            msgspec.structs.replace(before, position=changes.delta.cursor, sampled=changes.sampled, again=tuple(sorted(again))),
        )
        known = load_drift(connection, source)
        keep_drift(connection, source, Drift(known.sampled + len(changes.sample), known.drifted + self._drifted))


def _wanted(rule: Rule) -> Wanted:
    return Wanted(rule.name, rule.groups, None if rule.expires_after is None else rule.renew_before * 1000)


def binding(source: SourceSettings, rules: Sequence[Rule]) -> str:
    """Return a digest of all that decides what an incremental read leaves out: a policy that changes concerns people who did not."""
    said = [(rule.name, sorted(rule.groups), rule.disables, rule.expires_after, rule.renew_before) for rule in rules]
    return hashlib.sha256(msgspec.json.encode([source.digest, said])).hexdigest()


def why_full(run: RunView, source: SourceSettings, facts: SourceFacts, bound_to: str, now: int) -> str | None:
    """Return why everything is to be read ("" = because it was asked for), None when what has changed since the cursor is enough. Pure."""
    cursor = facts.cursor
    if run.mode == "full":
        return ""
    if cursor is None:
        return "first read" if facts.read_at is None else "no earlier full read can be built on"
    if not cursor.position:
        return cursor.why_none or "the directory offers no incremental read"
    if cursor.bound_to != bound_to:
        return "the configuration or the policies changed"
    if facts.undecided:  # whom a hold or an approval names has to be looked at again, changed or not
        return "a hold waits for a decision"
    if now < cursor.full_at:
        return "the clock was turned back"
    if now - cursor.full_at >= source.schedule.full_every * 1000:
        return "everything is read again after full_every"
    return None
