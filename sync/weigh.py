"""What a staged read would take away: the losses, the evidence for departures, and the guard's ruling on them."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from msgspec.structs import replace

from sync import guard, plan
from sync.directory import Absent, Finding, Proof, Reading
from sync.guard import Loss, Ruling, Scale
from sync.policy import Rule, vanished
from sync.settings import GuardSettings, SourceSettings
from sync.store import holds, kept, recognising
from sync.store.engine import Connection
from sync.store.facts import SourceFacts
from sync.store.staging import Staging, compared_users, known_users, named_users
from sync.user import Kept, Known, UserPlan

A_FEW = 3
"""People of one container whose leaving together is a vanishing: one or two leave an office now and then."""


@dataclass(slots=True)
class Picture:
    """What a run found out before it writes anything."""

    proof: Proof
    facts: SourceFacts
    unchanged: int = 0
    dropped: int = 0
    """Values that are left out of entries which say what they said before."""
    absent: list[Known] = field(default_factory=list)
    departed: dict[str, Finding] = field(default_factory=dict)
    unproven: dict[str, Finding] = field(default_factory=dict)
    leaving: list[tuple[str, str, str]] = field(default_factory=list)
    losses: dict[Loss, str] = field(default_factory=dict)
    forced: dict[Loss, str] = field(default_factory=dict)
    ruling: Ruling = field(default_factory=lambda: guard.rule(frozenset(), Scale(GuardSettings(), 0)))
    clock_jump: str = ""
    jumped_by: int = 0
    seen_members: dict[str, int] | None = None
    """{policy: people in its groups now}, where not everybody was read."""
    told: frozenset[Loss] = frozenset()
    """What was withheld before a push that withholds it again: not to be told once more."""

    def withheld(self, user_id: str) -> frozenset[str]:
        """Return what this user is not to lose in this run."""
        return frozenset(what for what in ("last_address", "disabled") if Loss(user_id, what) in self.ruling.withheld)


@dataclass(frozen=True, slots=True)
class Comparison:
    """What is compared with what was staged: everybody of a source or `only` some, and whose entries were `recognised` instead of being read.
    `left_out` = how many of those need not be looked at one by one, None when it is not known who (see recognising)."""

    source: str
    only: list[str] | None
    new_user_id: plan.MakeId
    recognised: Callable[[Known], bool] = lambda user: False
    left_out: int | None = None


def compare_all(connection: Connection, staging: Staging, what: Comparison, picture: Picture) -> None:
    """Merge what is known with what was staged: note who is new or differs, keep who is absent."""
    noted: list[tuple[str, str, bool]] = []
    digests: list[tuple[str, bytes]] = []
    picture.unchanged = what.left_out or 0
    for verdict, known, seen in plan.merge(_known(connection, what), staging.seen(connection), what.recognised):
        if verdict == "unchanged" and known is not None:
            picture.unchanged += 1
            if seen is None:
                picture.dropped += known.dropped
            elif seen.digest and seen.digest != known.digest:
                digests.append((known.user_id, seen.digest))
        elif verdict == "absent" and known is not None:
            picture.absent.append(known)
        elif seen is not None:
            noted.append((seen.external_id, known.user_id if known else what.new_user_id(), known is not None))
        if len(noted) + len(digests) >= kept.BATCH:
            staging.note(connection, noted)
            recognising.note_digests(connection, digests)
            noted, digests = [], []
    staging.note(connection, noted)
    recognising.note_digests(connection, digests)


def _known(connection: Connection, what: Comparison) -> Iterator[Known]:
    if what.only is not None:
        return named_users(connection, what.source, what.only)
    return known_users(connection, what.source) if what.left_out is None else compared_users(connection, what.source)


def count_drifted(connection: Connection, staging: Staging, sample: frozenset[str], picture: Picture) -> int:
    """Return how many of the sampled people differ from what is kept, although nothing said that they changed."""
    gone = sum(known.external_id in sample and not known.unproven for known in picture.absent)
    return gone + sum(one.person.external_id in sample for batch in staging.verdicts(connection, known=True) for one in batch)


def find_losses(connection: Connection, staging: Staging, source: SourceSettings, rules: tuple[Rule, ...], now: int, picture: Picture) -> None:
    """Gather what active people would lose, departures aside; `forced` = the losses that no limit lets through, with the reason."""
    # Only a complete read ends a quarantine.
    ending = kept.over_quarantine(connection, source.name, now - source.guard.address_quarantine * 1000, now) if picture.proof.complete else []
    costs = {one.matched: one.costs for one in ending if one.costs}
    holders = {one.matched: one.user_id for one in ending if one.working}
    kept_on: set[str] = set()
    for batch in staging.verdicts(connection, known=not holders):  # who is new loses nothing, but may take what somebody's quarantine keeps
        before = kept.load(connection, [one.user_id for one in batch if one.known])
        for one in batch:
            for matched in {email.matched for email in one.person.emails} & holders.keys() if holders else ():
                if holders[matched] == one.user_id:
                    kept_on.add(matched)
                else:
                    costs.setdefault(matched, "an address in quarantine goes to somebody who lists it")
            old = before.get(one.user_id)
            if old is not None:
                picture.losses |= _losses_of(old, plan.compare(old, one.person, user_id=one.user_id, now=now), now)
    picture.losses |= {Loss(holders[matched], "address"): why for matched, why in costs.items() if matched not in kept_on}
    _find_key_losses(connection, staging, source.name, rules, now, picture)


def _losses_of(old: Kept, new: UserPlan, now: int) -> dict[Loss, str]:
    if not old.is_active(now):
        return {}
    losses = {}
    if new.loses_last_address:
        losses[Loss(old.user_id, "last_address")] = "the entry lists no address any more"
    if new.stated_disable:
        losses[Loss(old.user_id, guard.STATED)] = "the directory says disabled or expired"
    return losses


def _find_key_losses(connection: Connection, staging: Staging, source: str, rules: tuple[Rule, ...], now: int, picture: Picture) -> None:
    leaving = kept.leaving_a_group(connection, source, [rule.name for rule in rules if rule.disables], now)
    picture.leaving = [(key_id, user_id, policy) for key_id, user_id, policy, _ in leaving]
    members = staging.members(connection) if picture.seen_members is None else picture.seen_members
    reasons = {rule.name: vanished(rule, picture.proof.groups_found, members.get(rule.name, 0)) for rule in rules}
    for _, user_id, policy, working in leaving:
        if working or reasons[policy]:
            picture.losses[Loss(user_id, "key")] = f"left every group of the policy {policy}"
        if reasons[policy]:
            picture.forced[Loss(user_id, "key")] = reasons[policy]


def find_departures(reading: Reading, users: dict[str, Kept], now: int, picture: Picture, *, trusted: bool) -> None:
    """Ask the directory about everybody absent who was here; `trusted` = absence counts (a complete read, or one person asked for)."""
    here = {user.external_id: user for user in users.values() if user.state in ("active", "disabled")}
    if not trusted:
        why = picture.proof.why_incomplete or "the read was not complete"
        findings: Iterator[Finding] = (Finding(external_id, "unproven", why, "") for external_id in list(here))
    else:
        findings = reading.evidence([Absent(user.external_id, user.place) for user in here.values()]) if here else iter(())
    for finding in findings:
        user = here.pop(finding.external_id)
        if finding.verdict == "unproven":
            picture.unproven[user.user_id] = finding
            continue
        picture.departed[user.user_id] = finding
        if user.is_active(now):
            picture.losses[Loss(user.user_id, "missing")] = finding.why
    for user in here.values():
        picture.unproven[user.user_id] = Finding(user.external_id, "unproven", "the directory gave no answer about this entry", "")


def find_vanished(connection: Connection, source: str, picture: Picture) -> None:
    """Force a hold for everybody who leaves with all the others of a container: that is a place that vanished or was hidden, or a human's wholesale
    decision, and no limit tells which."""
    leaving: defaultdict[str, list[str]] = defaultdict(list)
    for user_id, finding in picture.departed.items():
        if finding.container and Loss(user_id, "missing") in picture.losses:
            leaving[finding.container].append(user_id)
    for container, user_ids in leaving.items():
        if len(user_ids) >= A_FEW and not kept.others_below(connection, source, container, user_ids):
            picture.forced |= {Loss(user_id, "missing"): f"all {len(user_ids)} people of {container} are gone at once" for user_id in user_ids}


def judge(connection: Connection, source: SourceSettings, now: int, picture: Picture) -> None:
    """Let the guard rule on all losses."""
    standing = holds.standing(connection, source.name, now)
    picture.ruling = guard.rule(
        frozenset(picture.losses),
        replace(
            measure(connection, source, now, picture),
            approved=None if standing is None else frozenset(Loss(*item) for item in standing),
            alarms=tuple(alarm for alarm in (changed_configuration(source, picture.facts), picture.clock_jump) if alarm),
        ),
    )


def measure(connection: Connection, source: SourceSettings, now: int, picture: Picture, waiting: frozenset[Loss] = frozenset()) -> Scale:
    """Return what the losses are to be weighed with, approvals and alarms aside; `waiting` as in Scale."""
    lost = holds.lost_lately(connection, source.name, now, stated=False)
    taking = lost | {loss.user_id for loss in picture.losses.keys() | waiting if loss.what != guard.STATED}
    limits = source.guard
    # The share of the active people matters only beyond the fixed number, and counting a large source takes its time.
    takes = any(loss.what != guard.STATED for loss in picture.losses)
    counts = takes and len(taking) > min(limits.max_removed, limits.max_removed_total)
    people, day_ago = {loss.user_id for loss in picture.losses}, now - holds.DAY_MS
    known_since, enough = (day_ago if source.is_pushed else now), enough_people(limits, len(taking))
    return Scale(
        settings=limits,
        active=kept.active_people(connection, source.name, now, known_since=known_since, most=enough) if counts else 0,
        lost=lost,
        stated=holds.lost_lately(connection, source.name, now, stated=True),
        silenced=frozenset(Loss(*item) for item in holds.silenced(connection, source.name)),
        forced=picture.forced,
        waiting=waiting,
        newcomers=kept.newcomers(connection, people, day_ago) if source.is_pushed and people else frozenset(),
    )


def enough_people(limits: GuardSettings, losing: int) -> int | None:
    """Return how many active people suffice for so many to lose something, None where no number does or a human is to be told the whole one."""
    if losing > limits.max_removed_total or not limits.max_removed_percent:
        return None
    return math.ceil(losing * 100 / limits.max_removed_percent) + 1


def changed_configuration(source: SourceSettings, facts: SourceFacts) -> str:
    """Say that and how the configuration changed since it was accepted, or ""."""
    changed = changed_keys(source, facts)
    return f"the configuration of {source.name} changed ({', '.join(changed)}) since its last accepted run" if changed else ""


def changed_keys(source: SourceSettings, facts: SourceFacts) -> list[str]:
    """Return the keys of the source's table that decide who is read and that differ from the last accepted run's."""
    if not facts.digest or facts.digest == source.digest:
        return []
    return sorted(key for key in facts.parts.keys() | source.parts.keys() if facts.parts.get(key) != source.parts.get(key)) or ["unknown"]
