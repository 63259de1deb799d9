"""What single values of an entry mean for its state: locked or not, and until which moment. Pure; vendors are made of these."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

Test = Callable[[str], bool]
"""Tells whether a value says "disabled". Values come stripped and in lower case."""
Moment = Callable[[str], int | None]
"""Reads the end that a value states, in milliseconds since the epoch; None = it states none."""

_DAY = 86_400_000
_LAST_DAY = 2_932_896
"""The last day of the year 9999; a later expiry is none."""


def exactly(word: str) -> Test:
    """Return the test for one value; `*` = any value."""
    wanted = word.strip().lower()
    return lambda value: wanted in ("*", value)


def anything_but(word: str) -> Test:
    """Return the test for every value except one."""
    harmless = word.lower()
    return lambda value: value != harmless


def end_of_day(value: str) -> int | None:
    """Read a number of days since 1970, as shadow(5) counts them.

    It leaves two things open. Read as SSSD reads directories: the day itself is still good (expired once today > shadowExpire), and
    0, like a negative number, means never.
    """
    if not (value.isascii() and value.isdigit() and len(value) < 20):
        return None
    return (int(value) + 1) * _DAY if 0 < int(value) <= _LAST_DAY else None


def generalized_time(value: str) -> int | None:
    """Read a GeneralizedTime in UTC (RFC 4517 section 3.3.13) to the second; other zones, which no directory writes, are not read."""
    digits, zone = value[:14], value[14:].partition("z")
    if not (digits.isascii() and digits.isdigit() and len(digits) == 14 and zone[1:] == ("z", "")):
        return None
    try:
        return int(datetime.strptime(digits, "%Y%m%d%H%M%S").replace(tzinfo=UTC).timestamp()) * 1000
    except ValueError:
        return None
