"""`rosterd conflicts` and `rosterd addresses`: contested addresses, and settling one."""

from __future__ import annotations

import click

from daemon.commands.choosing import choose
from daemon.commands.opening import caller, opened
from daemon.commands.options import takes_config, takes_json
from daemon.printing import plural, print_json, safe, say
from sync.store.views import Claimant, ConflictView

_CAUSES = {
    "taken": "Held by one, listed by others too; the holder keeps it",
    "equal_claims": "Claimed equally by several, so nobody has it",
}


@click.command()
@takes_json
def conflicts(as_json: bool) -> int:
    """List contested addresses, grouped by cause, each with a proposal."""
    from sync.store.addresses import conflicts as contested

    with opened() as place:
        found = contested(place.store)
    if as_json:
        print_json(conflicts=found)
        return 0
    if not found:
        say("No address is contested.")
    for cause in dict.fromkeys(one.cause for one in found):
        alike = [one for one in found if one.cause == cause]
        say(f"{_CAUSES.get(cause, cause)} ({plural(len(alike), 'address', 'addresses')}):")
        for one in alike:
            _print(one)
    return 0


@click.group()
@takes_config
def addresses() -> None:
    """Settle contested addresses."""


@addresses.command()
@click.argument("address")
@click.argument("user")
@takes_json
def give(address: str, user: str, as_json: bool) -> int:
    """Let USER (an id, or another address of theirs) hold ADDRESS, which their entry must list.

    The lookups of ADDRESS answer with that user's keys from the next request on. A given address stays.
    """
    from sync.store import addresses as held

    with opened() as place:
        owner = held.give(place.store, address, choose(place.store, user).id, caller())
    if as_json:
        print_json(user=owner)
    else:
        say(f"{safe(owner.username or owner.id)} holds {safe(address)} from now on.")
    return 0


def _print(conflict: ConflictView) -> None:
    say(f"  {safe(conflict.address)}")
    for claimant in conflict.claimants:
        say(f"    {describe(claimant)}")
    say(f"    → {safe(conflict.proposal)}")


def describe(claimant: Claimant) -> str:
    """Return one claimant as a line."""
    named = " ".join(part for part in (claimant.username, claimant.name) if part) or claimant.external_id
    verb = "holds" if claimant.holds else "lists"
    where = claimant.place or claimant.external_id
    return safe(f"{verb} it since {claimant.since}: {named} ({claimant.state}, {claimant.source}), {where}, user {claimant.user_id}")
