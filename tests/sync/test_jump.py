"""The clock: time that passed must agree with time that is told."""

import pytest

from sync.jump import Stamp, jumped, take_stamp

HOUR = 3_600_000


@pytest.mark.parametrize(
    ("before", "now", "said"),
    [
        (None, Stamp("b", 0, 0), ""),
        (Stamp("b", 0, 0), Stamp("b", 50 * HOUR, 50 * HOUR), ""),
        (Stamp("b", 0, 0), Stamp("b", 50 * HOUR + HOUR // 2, 50 * HOUR), ""),
        (Stamp("b", 0, 0), Stamp("b", 50 * HOUR, HOUR), "forward by 49.0 hours"),
        (Stamp("b", 9 * HOUR, 0), Stamp("b", 5 * HOUR, HOUR), "back by 5.0 hours"),
        (Stamp("a", 0, 9), Stamp("b", 500 * HOUR, 0), ""),
        (Stamp("a", 9 * HOUR, 9), Stamp("b", 5 * HOUR, 0), "back by 4.0 hours"),
    ],
)
def test_only_a_clock_that_jumped_is_reported(before: Stamp | None, now: Stamp, said: str) -> None:
    """An hour is tolerated, more is said with its size; across a reboot only going back can be told."""
    assert said in jumped(before, now)
    assert bool(jumped(before, now)) == bool(said)


def test_this_host_does_not_jump_between_two_lines() -> None:
    """Two stamps of this moment agree."""
    assert not jumped(take_stamp(), take_stamp())
