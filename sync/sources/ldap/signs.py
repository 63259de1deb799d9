"""What single values of an entry mean for its state: locked or not, and until which moment. Pure; vendors are made of these."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime

Test = Callable[[str], bool]
"""Tells whether a value says "disabled". Values come stripped and in lower case."""
Moment = Callable[[str], int | None]
"""Reads the end that a value states, in milliseconds since the epoch; None = it states none."""

_GENERALIZED = re.compile(r"([0-9]{10}(?:[0-9]{2}){0,2})(?:[.,][0-9]+)?(z|[+-][0-9]{2}(?:[0-9]{2})?)")
_EPOCH_AS_FILETIME = 116_444_736_000_000_000
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


def has_bit(bit: int) -> Test:
    """Return the test for a bit of a number."""
    return lambda value: value.lstrip("-").isdecimal() and value.isascii() and bool(int(value[:20]) & bit)


def end_of_day(value: str) -> int | None:
    """Read a number of days since 1970, as shadow(5) counts them.

    It leaves two things open. Read as SSSD reads directories: the day itself is still good (expired once today > shadowExpire), and
    0, like a negative number, means never.
    """
    if not (value.isascii() and value.isdigit() and len(value) < 20):
        return None
    return (int(value) + 1) * _DAY if 0 < int(value) <= _LAST_DAY else None


def filetime(value: str) -> int | None:
    """Read a number of 100 ns since 1601 (MS-DTYP section 2.3.3); 0, and whatever lies after the year 9999 like 0x7FFFFFFFFFFFFFFF, is never."""
    if not (value.isascii() and value.isdigit() and len(value) < 20) or int(value) == 0:
        return None
    end = (int(value) - _EPOCH_AS_FILETIME) // 10_000
    return end if end < (_LAST_DAY + 1) * _DAY else None


def generalized_time(value: str) -> int | None:
    """Read a GeneralizedTime (RFC 4517 section 3.3.13), fractions cut off. Kerberos keeps seconds since 1970 and takes 0 for never."""
    found = _GENERALIZED.fullmatch(value)
    if found is None:
        return None
    zone = "+0000" if found[2] == "z" else found[2].ljust(5, "0")
    try:
        seconds = int(datetime.strptime(found[1].ljust(14, "0") + zone, "%Y%m%d%H%M%S%z").timestamp())
    except (ValueError, OverflowError):
        return None
    return seconds * 1000 if seconds > 0 else None
