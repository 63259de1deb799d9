"""The guard: how much may be taken away without a human."""

import pytest

from sync.guard import Loss, Scale, rule
from sync.settings import GuardSettings
from sync.weigh import enough_people


def gone(first: int, last: int, what: str = "missing") -> frozenset[Loss]:
    return frozenset(Loss(f"u{n}", what) for n in range(first, last))


def scale(active: int = 1000, **facts: object) -> Scale:
    return Scale(GuardSettings(), active, **facts)  # type: ignore[arg-type]


def test_the_limit_is_the_larger_of_count_and_share_but_never_above_the_total() -> None:
    """10 of 20, 50 of 1,000, 200 of 100,000."""
    assert [scale(active).limit for active in (20, 1000, 100_000)] == [10, 50, 200]


def test_up_to_the_limit_happens_and_counts() -> None:
    """50 of 1,000 go, and are remembered for 24 hours."""
    ruling = rule(gone(0, 50), scale())
    assert (len(ruling.allowed), len(ruling.counted), ruling.withheld, ruling.held) == (50, 50, frozenset(), False)


def test_over_the_limit_the_whole_taking_away_waits_with_numbers_in_the_reason() -> None:
    """60 of 1,000 wait, all of them, and the sentence says how many of how many and what the limit is."""
    ruling = rule(gone(0, 60), scale())
    assert ruling.allowed == frozenset()
    assert ruling.withheld == gone(0, 60)
    assert "60 people of 1000" in ruling.why
    assert "limit is 50" in ruling.why


def test_slices_add_up_over_24_hours() -> None:
    """Thirty at a time is no way around the limit."""
    assert rule(gone(30, 60), scale(lost=frozenset(f"u{n}" for n in range(30)))).held
    assert not rule(gone(30, 60), scale(lost=frozenset(f"u{n}" for n in range(20)))).held


def test_one_person_losing_two_things_is_one_person() -> None:
    """People are counted, not losses."""
    assert not rule(gone(0, 50) | gone(0, 50, "key"), scale()).held


def test_what_the_directory_states_has_its_own_limit() -> None:
    """300 stated disables pass, 501 wait, and neither touches the other limit."""
    assert not rule(gone(0, 300, "disabled"), scale()).held
    both = rule(gone(0, 501, "disabled") | gone(600, 610), scale())
    assert both.allowed == gone(600, 610)
    assert "max_disabled is 500" in both.why


def test_an_approval_lets_its_set_go_and_withholds_every_other_departure() -> None:
    """60 approved, 10 more gone meanwhile: the 60 go without counting, the 10 wait although 10 is within the limit."""
    ruling = rule(gone(0, 70), scale(approved=gone(0, 60)))
    assert ruling.allowed == gone(0, 60)
    assert ruling.counted == frozenset()
    assert ruling.withheld == gone(60, 70)
    assert ruling.held


def test_an_approval_covers_only_what_it_names() -> None:
    """Approving that somebody goes missing approves no other loss of the same person."""
    assert rule(gone(0, 1, "key"), scale(approved=gone(0, 1))).withheld == gone(0, 1, "key")


def test_a_discarded_set_is_withheld_in_silence_until_it_grows() -> None:
    """The same 60 raise no second alarm; sixty more people do, and the hold then names all of them."""
    silent = rule(gone(0, 60), scale(silenced=gone(0, 60)))
    assert (silent.held, silent.withheld) == (False, gone(0, 60))
    grown = rule(gone(0, 120), scale(silenced=gone(0, 60)))
    assert grown.held
    assert grown.withheld == gone(0, 120)


def test_a_changed_configuration_holds_even_one_departure() -> None:
    """Right after a change no limit lets anybody go, and the reason names the key."""
    ruling = rule(gone(0, 1), scale(alarms=("the configuration of corp changed (filter)",)))
    assert ruling.held
    assert "filter" in ruling.why


def test_losses_of_a_vanished_group_wait_whatever_the_limit() -> None:
    """One key lost because an issuing group was not found waits; a departure beside it does not."""
    key = Loss("u1", "key")
    ruling = rule(gone(5, 6) | {key}, scale(forced={key: "the issuing group x was not found"}))
    assert ruling.withheld == {key}
    assert ruling.allowed == gone(5, 6)
    assert ruling.why == "the issuing group x was not found"


def test_an_empty_directory_of_ten_has_room_for_ten() -> None:
    """max_removed is a floor for small sources, so one leaver among five is no emergency."""
    assert not rule(gone(0, 1), scale(active=5)).held


@pytest.mark.parametrize("percent", [1, 3, 5, 7, 33, 100])
def test_whoever_is_counted_is_enough(percent: int) -> None:
    """People are counted only as far as the ruling needs them: so many let these losses through, however many more there are; and a number that is
    told to somebody, because they are held, is the whole one."""
    limits = GuardSettings(max_removed=2, max_removed_percent=percent, max_removed_total=150)
    for losing in range(3, 151):
        most = enough_people(limits, losing)
        assert most is not None and Scale(limits, active=most).limit >= losing
    assert enough_people(limits, 151) is None
    assert enough_people(GuardSettings(max_removed=2, max_removed_percent=0), 3) is None
