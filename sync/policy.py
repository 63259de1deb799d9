"""Who is to have a key: the `[[keys.issue]]` policies, compiled for one source. Pure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence

import msgspec

from sync.settings import Policy


class Rule(msgspec.Struct, frozen=True):
    """One policy as it applies to one source: `groups` normalised, empty = everyone active."""

    name: str
    groups: frozenset[str]
    disables: bool
    expires_after: int | None
    renew_before: int = 30 * 86_400


def compile_rules(policies: Iterable[Policy], source: str, normalise_group: Callable[[str], str]) -> tuple[Rule, ...]:
    """Return the rules that concern `source`, in the order of the file."""
    return tuple(
        Rule(
            policy.name,
            frozenset(normalise_group(group) for group in policy.groups),
            policy.on_leave_group == "disable",
            policy.expires_after,
            policy.renew_before,
        )
        for policy in policies
        if not policy.sources or source in policy.sources
    )


def wanted(rules: Sequence[Rule], groups: Collection[str]) -> list[str]:
    """Return the names of the rules that give a key to an active person in `groups`."""
    return [rule.name for rule in rules if not rule.groups or not rule.groups.isdisjoint(groups)]


def vanished(rule: Rule, found: dict[str, int | None], seen_members: int) -> str:
    """Say why the losses of this rule cannot be believed, or "": an issuing group not found, or suddenly empty (rule 8)."""
    if not rule.groups:
        return ""
    absent = sorted(rule.groups - found.keys())
    if absent:
        return f"the issuing group {absent[0]} was not found"
    if seen_members == 0:
        return f"no person read is in an issuing group of {rule.name} any more"
    empty = sorted(group for group, members in found.items() if group in rule.groups and members == 0)
    return f"the issuing group {empty[0]} is suddenly empty" if empty else ""
