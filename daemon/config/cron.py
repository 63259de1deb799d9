"""Cron expressions: five fields, UTC, weekdays by name. Checked here, followed by the clock."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date, timedelta
from itertools import pairwise

from daemon.config.values import Wrong, text

_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_FIELDS = (("minute", 0, 59), ("hour", 0, 23), ("day of the month", 1, 31), ("month", 1, 12))
_ITEM = re.compile(r"(?:(?P<all>\*)|(?P<first>\w+)(?:-(?P<last>\w+))?)(?:/(?P<step>[1-9][0-9]*))?")
_CYCLE = range(date(2001, 1, 1).toordinal(), date(2029, 1, 1).toordinal())
"""28 years, after which dates and weekdays repeat."""


def cron(value: object) -> str:
    """Read a cron expression or "" for none."""
    if text(value):
        longest_gap(text(value))
    return text(value)


def longest_gap(expression: str) -> int:
    """Return the longest time between two firings, in seconds. Raises Wrong for what is no cron expression.

    Day of the month and weekday must both fit, unlike in crontab(5): that is how the clock reads them.
    """
    fields = expression.split()
    if len(fields) != 5:
        raise Wrong(f'must have five fields, "minute hour day month weekday", in UTC; it has {len(fields)}')
    minutes, hours, days, months = (_numbers(field, *limits) for field, limits in zip(fields, _FIELDS, strict=False))
    weekdays = _weekdays(fields[4])
    dates = [date.fromordinal(n) for n in _CYCLE]
    fits = [day for day in dates if day.day in days and day.month in months and day.weekday() in weekdays]
    if not fits:
        raise Wrong("never comes: no such day exists")
    times = sorted(hour * 60 + minute for hour in hours for minute in minutes)
    within = [later - earlier for earlier, later in pairwise(times)]
    apart = max((later - earlier) for earlier, later in pairwise([*fits, fits[0] + timedelta(len(_CYCLE))]))
    return 60 * max([*within, apart.days * 1440 - times[-1] + times[0]])


def _numbers(field: str, what: str, low: int, high: int) -> set[int]:
    names = _MONTHS if what == "month" else ()
    found: set[int] = set()
    for item in field.split(","):
        match = _ITEM.fullmatch(item)
        if match is None:
            raise Wrong(f"the {what} is malformed")
        first = low if match["all"] else _number(match["first"], names, what, low, high)
        single = high if match["all"] or match["step"] else first
        last = _number(match["last"], names, what, low, high) if match["last"] else single
        if first > last:
            raise Wrong(f"the {what} runs backwards; split it in two")
        found.update(range(first, last + 1, int(match["step"] or 1)))
    return found


def _number(word: str, names: Sequence[str], what: str, low: int, high: int) -> int:
    if word.lower() in names:
        return names.index(word.lower()) + 1
    if not word.isascii() or not word.isdigit() or not low <= int(word) <= high:
        raise Wrong(f"the {what} is outside {low} to {high}")
    return int(word)


def _weekdays(field: str) -> set[int]:
    found: set[int] = set()
    for item in field.split(","):
        if item == "*":
            return set(range(7))
        if re.search(r"[0-9]", item):
            raise Wrong('the weekday is a number; write names ("mon", "mon-fri", "sat,sun"), because some count 0 as Sunday and some as Monday')
        first, dash, last = item.lower().partition("-")
        if first not in _DAYS or (dash and last not in _DAYS):
            raise Wrong(f"the weekday is malformed; the names are {', '.join(_DAYS)}")
        begin, end = _DAYS.index(first), _DAYS.index(last or first)
        if begin > end:
            raise Wrong('the weekday runs backwards; the week begins with "mon"')
        found.update(range(begin, end + 1))
    return found
