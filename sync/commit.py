"""The one write transaction of a run: everything the picture allows, in an order that keeps every constraint true throughout."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import NamedTuple

import msgspec

from sync import plan
from sync.guard import Loss
from sync.policy import Rule
from sync.settings import SourceSettings
from sync.store import cursors, events, holds, images, issuing, kept, recognising
from sync.store.engine import Connection
from sync.store.holders import Contested, settle
from sync.store.keeping import Keeper, Keeping
from sync.store.newcomers import Welcome
from sync.store.outcome import ChangeLog
from sync.store.staging import Staging, Verdicted
from sync.user import Kept, Newcomer, UserPlan
from sync.weigh import Picture

_ISSUED = "policy {}"


class Frame(NamedTuple):
    """What a commit happens in. Times in ms; `tick` is called between batches (progress; tests die there)."""

    source: SourceSettings
    run_id: str
    now: int
    away_before: int
    tick: Callable[[], None]


class Commit:
    """Applies one picture. Reads its connection's own writes only."""

    def __init__(self, connection: Connection, staging: Staging, frame: Frame, picture: Picture, log: ChangeLog) -> None:
        self._connection, self._staging, self._picture, self._log = connection, staging, picture, log
        self._source, self._run_id, self._now, self._away_before, self._tick = frame
        self._keeper = Keeper(connection, self._source.name, self._now)
        self._newcomers = Welcome(connection, self._keeper, self._source.name, self._now)

    def apply(self, rules: Sequence[Rule], *, complete: bool, everybody: bool) -> None:
        """Write people, departures, addresses and keys, in that order: keys go to who holds an address in the end."""
        self._people()
        self._departures(complete=complete)
        self._addresses(everybody=everybody)
        self._keys(rules)
        self._withheld()
        self._log.flush(self._connection)

    def _people(self) -> None:
        for staged in self._staging.verdicts(self._connection):
            batch = self._welcome(staged)
            before = kept.load(self._connection, [one.user_id for one in batch if one.known])
            self._switch_off(batch, before)
            keepings = []
            for one in batch:
                withheld = self._picture.withheld(one.user_id)
                old = before.get(one.user_id)
                new = plan.compare(old, one.person, user_id=one.user_id, now=self._now, withheld=withheld)
                dropped = msgspec.json.encode(one.person.dropped).decode()
                keepings.append(Keeping(old, new, b"" if withheld else one.fingerprint, dropped, one.digest))
                # Whose loss is withheld is compared again in every run; what was left out of their entry has been named.
                self._record(old, new, dropped if one.person.dropped and (new.kinds or not withheld) else None)
            self._tell_of_people("user.disabled", (one.plan.user_id for one in keepings if "disabled" in one.plan.kinds))
            images.remember(self._connection, self._run_id, [one.kept for one in keepings if one.kept is not None and one.changes])
            self._keeper.keep(keepings)
            self._log.flush(self._connection)
            self._tick()
        self._newcomers.claim()
        recognising.keep_digests(self._connection)

    def _welcome(self, batch: Sequence[Verdicted]) -> list[Verdicted]:
        """Write who is new and was taken whole; return the others."""
        newcomers, others = list[Newcomer](), list[Verdicted]()
        for one in batch:
            person = one.person
            if one.known or person.bare or person.dropped:
                others.append(one)
                continue
            emails, primary, after = plan.introduce(person)
            newcomers.append(Newcomer(one.user_id, person, emails, primary, after, one.fingerprint, one.digest))
            email = emails[primary].spelt if emails else ""
            self._log.add("added", user_id=one.user_id, external_id=person.external_id, email=email, after=after)
        self._newcomers.write(newcomers)
        return others

    def _switch_off(self, batch: Sequence[Verdicted], before: dict[str, Kept]) -> None:
        """Leave off the keys of those who come back after too long, while the store still says since when they were away."""
        back = [one.user_id for one in batch if one.known and one.person.is_active(self._now) and not before[one.user_id].is_active(self._now)]
        off = issuing.switch_off_long_away(self._connection, back, self._away_before, self._now) if back else []
        for user_id, key_id in off:
            self._add("key_disabled", before[user_id], key_id=key_id, reason="back after longer than revive_within: the old key stays off")
        self._tell("key.disabled", off, reason="back after longer than revive_within")

    def _record(self, old: Kept | None, new: UserPlan, dropped: str | None) -> None:
        email = next((claim.spelt for claim in new.claims if claim.is_primary), old.email if old else "")
        for kind in new.kinds:
            differs = kind in ("added", "changed")
            before = (new.before if old else None) if differs else {"state": old.state if old else None}
            after = new.after if differs else {"state": new.state}
            self._log.add(kind, user_id=new.user_id, external_id=new.external_id, email=email, before=before, after=after)
        if not new.kinds:
            self._log.counts["unchanged"] += 1
        if dropped:
            self._log.add(
                "refused", user_id=new.user_id, external_id=new.external_id, email=email, reason="values of the entry were left out", evidence=dropped
            )

    def _departures(self, *, complete: bool) -> None:
        picture, read_at = self._picture, self._picture.facts.read_at
        held_back = {loss.user_id for loss in picture.ruling.withheld if loss.what == "missing"}
        users = kept.load_all(self._connection, (known.user_id for known in picture.absent))
        leaving = [user_id for user_id in picture.departed if user_id not in held_back]
        images.remember(self._connection, self._run_id, [users[user_id] for user_id in leaving])
        self._keeper.missing(leaving, read_at)
        for user_id in leaving:
            finding = picture.departed[user_id]
            self._add("missing", users[user_id], reason=finding.why, evidence=finding.evidence)
        self._tell_of_people("user.missing", leaving)
        self._keeper.unproven(list(picture.unproven), read_at)
        for user_id, finding in picture.unproven.items():
            self._add("unproven", users[user_id], reason=finding.why, evidence=finding.evidence)
        if complete and not picture.clock_jump:
            self._removals([user_id for user_id, user in users.items() if user.state == "missing"], users)
            ended = self._ended_quarantines()
            images.remember(self._connection, self._run_id, kept.load_all(self._connection, {user_id for _, user_id in ended}).values())
            self._keeper.release(ended)

    def _ended_quarantines(self) -> list[tuple[str, str]]:
        """Return what to free. Looked up again: what another source's commit has made a loss meanwhile waits until the guard has seen it."""
        losses, withheld = self._picture.losses, self._picture.ruling.withheld
        ended = kept.over_quarantine(self._connection, self._source.name, self._now - self._source.guard.address_quarantine * 1000, self._now)
        mine = ((one, Loss(one.user_id, "address")) for one in ended)
        return [(one.matched, one.user_id) for one, loss in mine if loss not in withheld and (not one.costs or loss in losses)]

    def _removals(self, missing: list[str], users: dict[str, Kept]) -> None:
        if not missing:
            return  # whose time has come is sought among all users
        self._keeper.still_missing(missing)
        ripe = kept.ripe_for_removal(self._connection, self._source.name, self._now - self._source.guard.grace * 1000)
        gone = [user_id for user_id in missing if user_id in ripe]
        images.remember(self._connection, self._run_id, [users[user_id] for user_id in gone])
        self._keeper.removed(gone)
        for user_id in gone:
            self._add("removed", users[user_id], reason="missing for longer than the grace period and at least two more complete reads")
        self._tell_of_people("user.removed", gone)

    def _addresses(self, *, everybody: bool) -> None:
        contested: list[Contested] = list(settle(self._connection, self._now, self._keeper.back))
        self._keeper.refresh_emails()
        cursors.look_again(self._connection, self._keeper.gained(everybody=everybody))
        names = kept.load_all(self._connection, {user for one in contested for user in (one.user_id, one.holder, *one.rivals) if user})
        for one in contested:
            others = [names[user] for user in ((one.holder,) if one.holder else one.rivals) if user in names]
            verb = "holds it and keeps it" if one.holder else "claims it equally, so nobody gets it"
            evidence = "; ".join(f"{other.place or other.external_id} {verb}" for other in others)
            loser = names[one.user_id]
            self._add("contested", loser, reason=f"{one.matched} is listed by {loser.place or loser.external_id}", evidence=evidence)
        self._tick()

    def _keys(self, rules: Sequence[Rule]) -> None:
        source, policies = self._source.name, [rule.name for rule in rules]
        issued = issuing.issue_staged(self._connection, source, self._now)
        if issued and self._log.writes_at_once:
            self._log.count_keys(issued)
            issuing.record_given(self._connection, self._run_id, policies, _ISSUED, self._now)
            issued = 0
        for kind, given, reason in (
            ("key.issued", issuing.given(self._connection) if issued else (), _ISSUED),
            ("key.renewed", issuing.renew_staged(self._connection, self._now), "renewed before it expires: policy {}"),
            (
                "key.enabled",
                issuing.enable_again(self._connection, source, policies),
                "enabled again: meets the policy {} again",
            ),
        ):
            for batch in kept.batches(given):
                for one in batch:
                    self._log_key(kind, one, reason.format(one.policy))
                self._log.flush(self._connection)
                self._tell(kind, ((one.user_id, one.key_id) for one in batch))
        withheld = self._picture.ruling.withheld
        stopping = [row for row in self._picture.leaving if Loss(row[1], "key") not in withheld]
        issuing.disable(self._connection, [key_id for key_id, _, _ in stopping], self._now)
        users = kept.load_all(self._connection, {user_id for _, user_id, _ in stopping})
        for key_id, user_id, policy in stopping:
            self._add("key_disabled", users[user_id], key_id=key_id, reason=f"left every group of the policy {policy}")
        self._tell("key.disabled", ((user_id, key_id) for key_id, user_id, _ in stopping), reason="left every group of its policy")
        self._tick()

    def _withheld(self) -> None:
        withheld = sorted(self._picture.ruling.withheld - self._picture.told)
        users = kept.load_all(self._connection, {loss.user_id for loss in withheld})
        for loss in withheld:
            finding = self._picture.departed.get(loss.user_id) if loss.what == "missing" else None
            reason = f"{loss.what}: {self._picture.losses[loss]}"
            self._add("withheld", users[loss.user_id], reason=reason, evidence=finding.evidence if finding else None)

    def _tell(self, kind: str, keys: Iterable[tuple[str, str]], **detail: str) -> None:
        """Tell the readers of the outbox what became of keys, (user id, key id)."""
        rows = ({"user_id": user_id, "key_id": key_id, "run_id": self._run_id, "detail": detail or None} for user_id, key_id in keys)
        events.record_all(self._connection, kind, issuing.BY, self._now, rows)

    def _tell_of_people(self, kind: str, user_ids: Iterable[str]) -> None:
        rows = ({"user_id": user_id, "run_id": self._run_id, "detail": {"source": self._source.name}} for user_id in user_ids)
        events.record_all(self._connection, kind, issuing.BY, self._now, rows)

    def _log_key(self, kind: str, issued: issuing.Issued, reason: str) -> None:
        after = {"name": issued.name, "key_id": issued.key_id, "event": kind}
        self._log.add("key_issued", user_id=issued.user_id, external_id=issued.external_id, email=issued.email, after=after, reason=reason)

    def _add(self, kind: str, user: Kept, *, reason: str, evidence: str | None = None, key_id: str = "") -> None:
        after = {"key_id": key_id, "event": "key.disabled"} if key_id else None
        self._log.add(
            kind, user_id=user.user_id, external_id=user.external_id, email=user.email, after=after, reason=reason, evidence=evidence or None
        )


def settle_holds(connection: Connection, source: str, run_id: str, picture: Picture, now: int, *, everybody: bool) -> None:
    """Write what the ruling means for holds, approvals and the limits of the next 24 hours.

    A read that proves nothing about the people of an approval, an open hold or a silence leaves them as they are: they neither went nor came
    back. That goes for every read that did not ask for `everybody`.
    """
    ruling = picture.ruling
    unseen = frozenset[str]() if picture.proof.complete else picture.unproven.keys()
    if everybody and not _concern(holds.standing(connection, source, now) or (), unseen):
        holds.consume(connection, source, run_id, now)
    holds.record_losses(connection, source, run_id, ruling.counted, now)
    if ruling.held:
        holds.open_hold(connection, source, run_id, ruling.why, ruling.withheld, now)
        if not holds.repeats(connection, run_id):
            people = len({loss.user_id for loss in ruling.withheld})
            detail = {"source": source, "why": ruling.why, "people": people}
            events.record(connection, "run.held", issuing.BY, now, run_id=run_id, detail=detail)
        return
    if not everybody:
        return
    if not _concern(holds.waiting(connection, source), unseen):
        holds.close(connection, source, "open", "superseded", now)
    unclear = {item for item in holds.silenced(connection, source) if item[0] in picture.unproven}
    holds.narrow_silence(connection, source, ruling.silent | unclear, now)


def _concern(items: Iterable[holds.Item], people: Collection[str]) -> bool:
    return any(user_id in people for user_id, _ in items)
