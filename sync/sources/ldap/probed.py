"""One thing that was looked at in a directory, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass

from sync.directory import Person


@dataclass(frozen=True, slots=True)
class Probed:
    """`ok` False = it must be mended, by `remedy`; a remedy beside ok = worth a thought.
    `person` is set for the people shown: as they would be read."""

    step: str
    ok: bool
    detail: str
    remedy: str = ""
    person: Person | None = None
