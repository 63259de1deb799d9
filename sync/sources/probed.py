"""One thing that was looked at in a directory, and what to do about it; and what a read to the end adds up to."""

from __future__ import annotations

import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sync.directory import Page, Person, Refused
from sync.errors import RosterError
from sync.settings import SourceSettings

SHOWN = 10
"""People who are shown as they would be read."""
SOON = 30 * 86_400
"""A certificate that ends within so many seconds is worth a word."""
SKEW = 60
"""So many seconds two clocks may differ."""


@dataclass(frozen=True, slots=True)
class Probed:
    """`ok` False = it must be mended, by `remedy`; a remedy beside ok = worth a thought.
    `person` is set for the people shown: as they would be read."""

    step: str
    ok: bool
    detail: str
    remedy: str = ""
    person: Person | None = None


@dataclass(slots=True)
class Tally:
    """What the read to the end adds up to."""

    people: int = 0
    disabled: int = 0
    expiring: int = 0
    without_address: int = 0
    in_groups: int = 0
    dropped: int = 0
    refused: int = 0
    first_refused: Refused | None = None
    first: Person | None = None

    def add(self, person: Person) -> None:
        """Count a person."""
        self.first = self.first or person
        self.people += 1
        self.disabled += not person.enabled
        self.expiring += person.expires_at is not None
        self.without_address += not person.emails and not person.bare
        self.in_groups += bool(person.groups)
        self.dropped += len(person.dropped)

    def show(self, page: Page) -> Iterator[Probed]:
        """Count a page, and yield the first people as they would be read."""
        for person in page.persons:
            if self.people < SHOWN:
                yield Probed("person", True, describe_person(person), person=person)
            self.add(person)
        self.refused += len(page.refused)
        self.first_refused = self.first_refused or next(iter(page.refused), None)


def describe_person(person: Person) -> str:
    """Say on one line how a person would be read."""
    addresses = ", ".join(email.spelt for email in person.emails) or "no address"
    state = "" if person.enabled else ", disabled"
    return f"{person.username or '(no user name)'}: {person.name or '(no name)'}, {addresses}{state} [{person.place or person.external_id}]"


def judge_certificate(step: str, certificate: Mapping[str, Any], now: float, whose: str) -> Probed:
    """Say until when a verified certificate, as ssl.SSLSocket.getpeercert() has it, is good. `now` in seconds since the epoch."""
    ends = certificate.get("notAfter")
    if not isinstance(ends, str):
        return Probed(step, True, "verified")
    left = ssl.cert_time_to_seconds(ends) - now
    detail = f"verified; the certificate ends {datetime.fromtimestamp(now + left, UTC):%Y-%m-%d} (in {left / 86_400:.0f} days)"
    return Probed(step, True, detail, f"Renew the {whose}'s certificate soon." if left < SOON else "")


def judge_skew(skew: float, whose: str) -> Probed:
    """Say by how many seconds a directory's clock is ahead of this machine's (behind: negative)."""
    remedy = "" if abs(skew) <= SKEW else "Let both machines keep their time by NTP."
    return Probed("clock", not remedy, f"the {whose}'s clock is {abs(skew):.0f} s {'ahead of' if skew > 0 else 'behind'} this machine's", remedy)


def failed(step: str, error: RosterError) -> Probed:
    """Return a step that ended in an error."""
    return Probed(step, False, error.message, error.remedy)


def judge_domains(settings: SourceSettings) -> Probed:
    """Judge whose addresses a SCIM provider may name: it is not asked, and it is what one should think about first."""
    if settings.domains:
        return Probed("domains", True, f"addresses of {', '.join(settings.domains)} are taken, others are left out")
    remedy = "Set domains: whoever can edit users at the provider could otherwise claim any address that nobody holds yet."
    return Probed("domains", True, "addresses of any domain are taken", remedy)
