"""Who holds an address (rule 6). Pure."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec


class Bid(msgspec.Struct, frozen=True):
    """One user's claim to one address, with what ranks it.

    `keeps` = the user holds it now and may keep it (listed, in quarantine, or the user is missing);
    `bids` = the entry lists it now and the user is active or disabled.
    """

    user_id: str
    source_rank: int
    enabled: bool
    since: int
    is_primary: bool
    keeps: bool
    bids: bool

    @property
    def rank(self) -> tuple[int, bool, int, bool]:
        return (self.source_rank, not self.enabled, self.since, not self.is_primary)


def decide(bids: Sequence[Bid]) -> str | None:
    """Return the user id that holds the address from now on, or None (nobody wants it, or equal claims withhold it).

    The holder keeps it; a free one goes by source order, enabled before disabled, older claim, primary before alias.
    """
    holder = next((bid.user_id for bid in bids if bid.keeps), None)
    if holder is not None:
        return holder
    ranked = sorted((bid for bid in bids if bid.bids), key=lambda bid: bid.rank)
    if not ranked or (len(ranked) > 1 and ranked[0].rank == ranked[1].rank):
        return None
    return ranked[0].user_id
