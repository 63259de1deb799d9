"""How often Python looks for circles of garbage: seldom while much is imported or a run makes millions of values, and not once more at the end."""

from __future__ import annotations

import gc

_USUAL = gc.get_threshold()
_SELDOM = (50_000, 50, 50)


def look_seldom() -> None:
    """Look seldom from now on: what is imported stays, and a run makes hardly a circle. Looking took a fifth of a start and a tenth of a run."""
    gc.set_threshold(*_SELDOM)


def look_as_usual() -> None:
    """Look as often as Python does by itself, in a process that lives for long."""
    gc.set_threshold(*_USUAL)


def look_no_more() -> None:
    """Leave out the last collection, which looks through all that was imported: a seventh of a short command's time."""
    gc.freeze()
