"""Who holds an address: the holder keeps it, a free one goes to the best claim, equal claims withhold it."""

import msgspec
import pytest

from sync.claims import Bid, decide

BOB = Bid("bob", source_rank=1, enabled=True, since=5, is_primary=True, keeps=False, bids=True)


def eve(**facts: object) -> Bid:
    return msgspec.structs.replace(BOB, user_id="eve", **facts)


def test_the_holder_keeps_it_against_every_better_claim() -> None:
    """Neither source order nor age nor being enabled takes an address from whoever holds it."""
    holder = Bid("bob", 9, False, 99, False, keeps=True, bids=False)
    assert decide([eve(source_rank=0, since=0), holder]) == "bob"


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        ({"source_rank": 0, "enabled": False}, {"source_rank": 1}),
        ({"enabled": True, "since": 9}, {"enabled": False, "since": 1}),
        ({"since": 1, "is_primary": False}, {"since": 2, "is_primary": True}),
        ({"is_primary": True}, {"is_primary": False}),
    ],
)
def test_a_free_address_goes_by_source_then_state_then_age_then_primary(better: dict[str, object], worse: dict[str, object]) -> None:
    """Each criterion decides only where those before it are equal."""
    winner, loser = msgspec.structs.replace(BOB, **better), eve(**worse)
    assert decide([winner, loser]) == decide([loser, winner]) == "bob"


def test_equal_claims_withhold_it_from_all() -> None:
    """When nothing tells two claims apart nobody gets the address."""
    assert decide([BOB, eve()]) is None


def test_a_third_equal_claim_changes_nothing_for_a_better_one() -> None:
    """Only a tie for the first place withholds."""
    assert decide([BOB, eve(since=7), msgspec.structs.replace(eve(since=7), user_id="mal")]) == "bob"


def test_nobody_gets_what_nobody_lists() -> None:
    """A claim that is dropped, or of somebody gone, wins nothing."""
    assert decide([]) is None
    assert decide([eve(bids=False)]) is None
