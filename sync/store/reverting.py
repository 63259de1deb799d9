"""Undoing what a run did to people, in one transaction that is a run itself: seen, recorded and revertible like any other.

Who was changed since is left alone, and an address is never taken from whoever holds it now (rule 6). No key changes its value or its owner.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import Connection, String, bindparam, text
from sqlalchemy.engine import Row

from sync.errors import Conflict
from sync.ids import new_run_id
from sync.store import cursors, events, holders, images, issuing, lease, runs
from sync.store.aftermath import REVERT_OF, Fate, fates
from sync.store.engine import Store, many
from sync.store.keeping import Keeper, Keeping
from sync.store.kept import batches, load_all
from sync.store.outcome import ChangeLog
from sync.store.views import RunView
from sync.user import Kept, KeptClaim, UserPlan, differences

_KEYS = text("select * from virtual_key where id in :ids and deleted_at is null").bindparams(bindparam("ids", expanding=True, type_=String()))
_OFF = f"update virtual_key set enabled = false, disabled_by = '{issuing.BY}', disabled_at = :now where id = :id"
_ON = "update virtual_key set enabled = true, disabled_by = null, disabled_at = null where id = :id"


class _RolledBack(Exception):
    """A dry run's way out of its transaction."""


class Asked(NamedTuple):
    """Who asks for a revert, and how: `trigger` is cli or api."""

    by: str
    trigger: str
    dry_run: bool = False


def revert(store: Store, run_id: str, asked: Asked) -> RunView:
    """Undo a run's changes of people, and pause its source, so that the next sync does not do the same again; return the run that the revert
    is. A dry run records what would change, and changes nothing. Raises NotFound, Conflict."""
    lease.reap(store)
    now = store.now()
    new_id = new_run_id(now)
    log = ChangeLog(new_id, asked.dry_run)
    try:
        with store.write() as connection:
            run = _check(connection, run_id)
            _record(connection, new_id, run, asked, now)
            Revert(connection, run, new_id, asked.by, now, log).apply()
            if asked.dry_run:
                raise _RolledBack
            _end(connection, new_id, run, log, store.now())
            _pause(connection, run, new_id, asked.by, now)
    except _RolledBack:
        with store.write() as connection:
            _record(connection, new_id, run, asked, now)
            _end(connection, new_id, run, log, store.now())
    return runs.get(store, new_id)


class Revert:
    """Puts back the people of one run. Releases come before claims, so that every constraint is true throughout."""

    def __init__(self, connection: Connection, run: Row[Any], new_id: str, by: str, now: int, log: ChangeLog) -> None:
        self._connection, self._run, self._new_id, self._by, self._now, self._log = connection, run, new_id, by, now, log
        self._keeper = Keeper(connection, run.source, now)
        self._wanted: dict[tuple[str, str], Kept] = {}

    def apply(self) -> None:
        """Put back people and their keys, batch by batch, then the addresses that they held."""
        for batch in batches(self._revertible()):
            self._people(batch)
            self._keys([(key_id, what, fate.user) for fate in batch for key_id, what in fate.keys])
        self._addresses()

    def _revertible(self) -> Iterator[Fate]:
        for fate in fates(self._connection, self._run):
            if fate.why_not:
                self._log_user("refused", fate.user, reason=f"not reverted: {fate.why_not}")
            else:
                yield fate

    def _people(self, batch: list[Fate]) -> None:
        changed = [fate for fate in batch if fate.added or fate.image is not None]
        images.remember(self._connection, self._new_id, [fate.user for fate in changed])
        added = [fate for fate in changed if fate.added]
        self._keeper.removed([fate.user.user_id for fate in added])
        mark = 'update "user" set fingerprint = :none, inactive_since = coalesce(inactive_since, :now) where id = :id'
        many(self._connection, mark, [{"id": fate.user.user_id, "none": b"", "now": self._now} for fate in added])
        for fate in added:
            self._log_state(fate, "removed", f"added by run {self._run.id}")
        back = [(fate, fate.image) for fate in changed if fate.image is not None and not fate.added]
        keepings = [self._keeping(fate, image) for fate, image in back]
        self._keeper.keep(keepings)
        images.put_back(self._connection, [image for _, image in back])
        gone = [image.user.user_id for _, image in back if image.user.state == "removed"]
        many(self._connection, "update claim set held = false where user_id = :id", [{"id": user_id} for user_id in gone])
        many(self._connection, "delete from loss where run_id = :run and user_id = :id", [{"run": self._run.id, "id": f.user.user_id} for f in batch])

    def _keeping(self, fate: Fate, image: images.Image) -> Keeping:
        """Return what makes the user what they were; addresses they do not hold now wait until everybody else has released theirs."""
        now, was = fate.user, image.user
        held = {claim.matched for claim in now.claims if claim.held}
        claims = tuple(msgspec.structs.replace(claim, held=claim.matched in held) for claim in was.claims)
        lost = (claim for claim in was.claims if claim.held and claim.matched not in held)
        self._wanted |= {(claim.matched, now.user_id): now for claim in lost if was.state != "removed"}
        before, after = differences(now, was)
        if now.state != was.state:
            self._log_state(fate, was.state, f"as before run {self._run.id}")
        if before or after:
            self._log_user("changed", now, before=before, after=after, reason=f"as before run {self._run.id}")
        plan = _plan(now, was, claims, before, after)
        return Keeping(now, plan, b"", msgspec.json.encode(image.dropped).decode())

    def _addresses(self) -> None:
        lost = holders.give_back(self._connection, list(self._wanted))
        names = load_all(self._connection, set(lost.values()))
        for (matched, user_id), holder_id in lost.items():
            holder = names[holder_id]
            evidence = f"{holder.place or holder.external_id} holds it and keeps it"
            self._log_user("contested", self._wanted[matched, user_id], reason=f"{matched} is somebody else's now", evidence=evidence)
        for _ in holders.settle(self._connection, self._now, frozenset()):
            pass
        self._keeper.refresh_emails()
        cursors.look_again(self._connection, self._keeper.gained(everybody=True))

    def _keys(self, batch: list[tuple[str, str, Kept]]) -> None:
        """Switch off what the run issued or switched on, and on what it switched off itself and nobody else since."""
        keys = {row.id: row for row in self._connection.execute(_KEYS, {"ids": [key_id for key_id, _, _ in batch]})}
        ours = {issuing.BY, issuing.BY_LONG_AWAY}
        there = [(key_id, what, user) for key_id, what, user in batch if key_id in keys]
        off = [(key_id, user) for key_id, what, user in there if what in ("key.issued", "key.enabled") and keys[key_id].enabled]
        on = [(key_id, user) for key_id, what, user in there if what == "key.disabled" and keys[key_id].disabled_by in ours]
        steps: tuple[tuple[list[tuple[str, Kept]], str, str, str, Callable[[str], str]], ...] = (
            (off, _OFF, "key_disabled", "key.disabled", "switched on by run {}".format),
            (on, _ON, "key_issued", "key.enabled", "switched off by run {}".format),
        )
        for found, statement, kind, event, reason in steps:
            many(self._connection, statement, [{"id": key_id, "now": self._now} for key_id, _ in found])
            for key_id, user in found:
                after = {"name": keys[key_id].name, "key_id": key_id, "event": event}
                self._log_user(kind, user, after=after, reason=reason(self._run.id))
            facts = ({"user_id": user.user_id, "key_id": key_id, "run_id": self._new_id} for key_id, user in found)
            events.record_all(self._connection, event, self._by, self._now, facts)

    def _log_state(self, fate: Fate, state: str, reason: str) -> None:
        was = fate.user.state
        kind = {"removed": "removed", "missing": "missing"}.get(state) or (
            "returned" if was in ("missing", "removed") else "enabled" if state == "active" else "disabled"
        )
        blocked = "; an admin's block stays" if fate.blocked else ""
        self._log_user(kind, fate.user, before={"state": was}, after={"state": state}, reason=reason + blocked)
        if kind in ("disabled", "missing", "removed"):
            detail = {"source": self._run.source}
            events.record(self._connection, f"user.{kind}", self._by, self._now, user_id=fate.user.user_id, run_id=self._new_id, detail=detail)

    def _log_user(self, kind: str, user: Kept, **facts: Any) -> None:
        self._log.add(kind, user_id=user.user_id, external_id=user.external_id, email=user.email, **facts)
        self._log.flush(self._connection)


def _plan(now: Kept, was: Kept, claims: tuple[KeptClaim, ...], before: dict[str, Any], after: dict[str, Any]) -> UserPlan:
    return UserPlan(
        user_id=now.user_id, external_id=now.external_id, kinds=("changed",), state=was.state, place=was.place, username=was.username, name=was.name,
        expires_at=was.expires_at, claims=claims, groups=was.groups, before=before, after=after, loses_last_address=False, stated_disable=False,
    )  # fmt: skip


def _check(connection: Connection, run_id: str) -> Row[Any]:
    """Return the run to revert. Raises NotFound, and Conflict for one that changed nothing, and while another run could cross this."""
    run = runs.find_row(connection, run_id)
    if run.dry_run or run.state not in ("succeeded", "held", "discarded"):
        what = "is a dry run" if run.dry_run else f"is {run.state}"
        raise Conflict("run_not_revertible", f"Run {run.id} {what}: it changed nothing that could be undone.", "`rosterd runs` lists the others.")
    source = connection.execute(text("select configured, lease_run from source where name = :name"), {"name": run.source}).one()
    if not source.configured:
        why = f"The source {run.source} is no longer in the configuration."
        raise Conflict("source_unconfigured", why, "Put its [[source]] table back to undo what its runs did.")
    query = text("select id, state from run where source = :name and state in ('waiting', 'running') and not dry_run order by state limit 1")
    other = connection.execute(query, {"name": run.source}).one_or_none()
    if other is not None or source.lease_run is not None:
        facts = f"Run {other.id if other else source.lease_run} of {run.source} is {other.state if other else 'running'}."
        raise Conflict("source_busy", facts, "Let it end, or `rosterd runs cancel` it; then try again.")
    return run


def _record(connection: Connection, new_id: str, run: Row[Any], asked: Asked, now: int) -> None:
    """Insert the revert's own run under the source's next fencing number."""
    connection.execute(text("update source set fence = fence + 1 where name = :name"), {"name": run.source})
    connection.execute(
        text(
            "insert into run (id, source, trigger, requested_by, mode, mode_reason, dry_run, \"only\", state, pages, entries, counts, seconds, fence,"
            " requested_at, started_at) values (:id, :source, :trigger, :by, :mode, :why, :dry, '', 'succeeded', 0, 0, '{}', '{}',"
            " (select fence from source where name = :source), :now, :now)"
        ),
        {"id": new_id, "source": run.source, "trigger": asked.trigger, "by": asked.by, "mode": run.mode, "why": f"{REVERT_OF}{run.id}",
         "dry": asked.dry_run, "now": now},
    )  # fmt: skip


def _end(connection: Connection, new_id: str, run: Row[Any], log: ChangeLog, now: int) -> None:
    log.flush(connection, rest=True)
    facts = {"counts": msgspec.json.encode(dict(log.counts)).decode(), "now": now, "id": new_id}
    connection.execute(text("update run set counts = :counts, finished_at = :now where id = :id"), facts)


def _pause(connection: Connection, run: Row[Any], new_id: str, by: str, now: int) -> None:
    """Stop the schedule; whenever somebody lets it go on, everybody is read."""
    facts = {"name": run.source, "by": by, "now": now, "run": run.id, "new": new_id}
    connection.execute(text("update source set paused_by = :by, paused_at = :now where name = :name and paused_by is null"), facts)
    connection.execute(text("update source set cursor = null where name = :name"), facts)
    decide = "update run set decision_by = :by, decision_at = :now, decision_run = :new where id = :run and state = 'succeeded'"
    connection.execute(text(decide), facts)
    events.record(connection, "run.reverted", by, now, run_id=run.id, detail={"source": run.source, "revert": new_id})
