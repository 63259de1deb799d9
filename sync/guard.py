"""How much a run may take away without a human (rules 2 to 4, 9 and 10). Pure."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from sync.settings import GuardSettings

STATED = "disabled"
"""What the directory states outright; it has a limit of its own."""


class Loss(NamedTuple):
    """Somebody active loses something: `what` is missing, last_address, address, key or disabled."""

    user_id: str
    what: str


class Scale(msgspec.Struct, frozen=True):
    """What a ruling depends on beside the losses.

    `active` = active people of the source before the run, newcomers aside; `lost`, `stated` = people counted over the last 24 hours,
    approved ones left out; `approved` = None when no approval stands; `silenced` = a discarded hold's set;
    `forced` = losses that no limit lets through, with the reason; `alarms` = reasons to hold every loss
    (a configuration key changed, the clock jumped). Of a source that is pushed to: `waiting` = what the open hold withholds from people
    whom this push does not name, `newcomers` = who was first pushed less than a day ago, and is not counted.
    """

    settings: GuardSettings
    active: int
    lost: frozenset[str] = frozenset()
    stated: frozenset[str] = frozenset()
    approved: frozenset[Loss] | None = None
    silenced: frozenset[Loss] = frozenset()
    forced: dict[Loss, str] = {}
    alarms: tuple[str, ...] = ()
    waiting: frozenset[Loss] = frozenset()
    newcomers: frozenset[str] = frozenset()

    @property
    def limit(self) -> int:
        """People that may lose something in 24 hours: the larger of count and percentage, never above the total."""
        share = int(self.active * self.settings.max_removed_percent / 100)
        return min(max(self.settings.max_removed, share), self.settings.max_removed_total)


class Ruling(msgspec.Struct, frozen=True):
    """Which losses happen (`allowed`, and of those `counted` toward the limits), which are withheld, and why.

    `silent` ⊆ `withheld` were discarded by an admin before and raise no new hold; `why` is empty when nothing fresh is withheld.
    """

    allowed: frozenset[Loss]
    counted: frozenset[Loss]
    withheld: frozenset[Loss]
    silent: frozenset[Loss]
    why: str

    @property
    def held(self) -> bool:
        """Tell whether a human has something new to decide."""
        return bool(self.withheld - self.silent)


def rule(losses: frozenset[Loss], scale: Scale) -> Ruling:
    """Decide about every loss of a run at once: a limit that is passed withholds all of its kind, so an approval sees them whole."""
    approved = losses & (scale.approved or frozenset())
    silent = (losses & scale.silenced) - approved
    fresh = losses - approved - silent
    reasons: list[str] = []
    forced = {loss: why for loss, why in scale.forced.items() if loss in fresh}
    reasons += sorted(set(forced.values()))
    withheld = set(forced)
    uncounted = frozenset(loss for loss in fresh - forced.keys() if loss.user_id in scale.newcomers and not scale.alarms)
    taken = frozenset(loss for loss in fresh - forced.keys() - uncounted if loss.what != STATED)
    stated = frozenset(loss for loss in fresh - forced.keys() - uncounted if loss.what == STATED)
    for group, why in ((taken, _taking(taken, scale)), (stated, _stating(stated, scale))):
        if why:
            withheld |= group
            reasons.append(why)
    allowed = losses - withheld - silent
    return Ruling(allowed, allowed - approved - uncounted, frozenset(withheld) | silent, silent, "; ".join(reasons))


def _people(losses: frozenset[Loss]) -> frozenset[str]:
    return frozenset(loss.user_id for loss in losses)


def _taking(losses: frozenset[Loss], scale: Scale) -> str:
    """Say why these losses wait for a human, or ""."""
    if not losses:
        return ""
    if scale.alarms:
        return "; ".join(scale.alarms)
    if scale.approved is not None:
        return f"{len(_people(losses))} people beyond the approved ones would lose something"
    before = scale.lost - _people(losses)
    waiting = _people(frozenset(loss for loss in scale.waiting if loss.what != STATED)) - _people(losses) - before
    people = len(_people(losses) | before | waiting)
    if people <= scale.limit:
        return ""
    said = [f"{len(before)} of them earlier in these 24 hours"] if before else []
    said += [f"{len(waiting)} of them withheld already"] if waiting else []
    others = f" ({', '.join(said)})" if said else ""
    return f"{people} people of {scale.active} would lose something they have{others}; the limit is {scale.limit}"


def _stating(losses: frozenset[Loss], scale: Scale) -> str:
    people = len(_people(losses | frozenset(loss for loss in scale.waiting if loss.what == STATED)) | scale.stated)
    if not losses or people <= scale.settings.max_disabled:
        return ""
    return f"{people} people would be disabled or expired within 24 hours; max_disabled is {scale.settings.max_disabled}"
