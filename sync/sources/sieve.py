"""What every directory's values pass before they belong to a Person: bad ones are left out and named, addresses are compared (rule 7)."""

from __future__ import annotations

from collections.abc import Sequence

from sync.address import MalformedAddress, are_usual, domain_of, normalise, normalise_domain
from sync.directory import Dropped, Listed

LONGEST_VALUE = 1024
"""Octets of a value that is taken."""
MOST_ADDRESSES = 64
MOST_GROUPS = 5000
MOST_DROPPED = 100
"""Dropped values that are named; of the others only the number is told."""
_SHOWN = 80


class Sieve:
    """Collects what is left out of one entry."""

    __slots__ = ("_dropped", "_more")

    def __init__(self) -> None:
        self._dropped: list[Dropped] = []
        self._more = 0

    def drop(self, attribute: str, value: str | bytes, why: str) -> None:
        """Leave a value out, and say why."""
        if len(self._dropped) < MOST_DROPPED:
            text = value if isinstance(value, str) else value[: 4 * _SHOWN].decode("utf-8", "backslashreplace")
            self._dropped.append(Dropped(attribute, text[:_SHOWN], why))
        else:
            self._more += 1

    def result(self) -> tuple[Dropped, ...]:
        """Return what was left out."""
        if self._more:
            return (*self._dropped, Dropped("", "", f"{self._more} more values were left out"))
        return tuple(self._dropped)


class Addresses:
    """The addresses of one entry, in the order in which they are taken. `domains` in compared form; empty = any."""

    __slots__ = ("_domains", "_found", "_sieve")

    def __init__(self, domains: frozenset[str], sieve: Sieve) -> None:
        self._domains, self._sieve = domains, sieve
        self._found: dict[str, Listed] = {}

    def take(self, attribute: str, text: str, spelt: str, marked: bool) -> None:
        """Take the address `spelt`, which stands in the value `text`, or leave it out."""
        try:
            matched = normalise(spelt)
        except MalformedAddress as error:
            self._sieve.drop(attribute, text, str(error))
            return
        known = self._found.get(matched)
        if self._domains and domain_of(matched) not in self._domains:
            self._sieve.drop(attribute, text, "is in none of the source's domains")
        elif known is not None:
            if marked:
                self._found[matched] = Listed(spelt, matched, True)
        elif len(self._found) >= MOST_ADDRESSES:
            self._sieve.drop(attribute, text, f"is one more than {MOST_ADDRESSES} addresses")
        else:
            self._found[matched] = Listed(spelt, matched, marked)

    def take_usual(self, texts: Sequence[str]) -> bool:
        """Do as `take` for each of these, which nobody marks, where there is nothing to find fault with; else do nothing and return False."""
        if self._domains or self._found or len(texts) > MOST_ADDRESSES or not are_usual(texts):
            return False
        self._found = {text: Listed(text, text) for text in texts}
        return True

    @property
    def any_marked(self) -> bool:
        """Whether the directory calls one of them primary."""
        return any(email.marked for email in self._found.values())

    def mark(self, text: str) -> None:
        """Mark an address as the primary one, if it was taken."""
        try:
            matched = normalise(text)
        except MalformedAddress:
            return
        if matched in self._found:
            self._found[matched] = Listed(self._found[matched].spelt, matched, True)

    def result(self) -> tuple[Listed, ...]:
        """Return all of them."""
        return tuple(self._found.values())


def take_groups(attribute: str, names: list[str], sieve: Sieve) -> tuple[str, ...]:
    """Return the names of groups in order, each once, and so many and no more."""
    ordered = sorted(set(names))
    for name in ordered[MOST_GROUPS:]:
        sieve.drop(attribute, name, f"is one more than {MOST_GROUPS} groups")
    return tuple(ordered[:MOST_GROUPS])


def compared_domains(domains: tuple[str, ...]) -> frozenset[str]:
    """Return the domains of a source in compared form."""
    return frozenset(_compared(domain) for domain in domains)


def _compared(domain: str) -> str:
    try:
        return normalise_domain(domain)
    except MalformedAddress:
        return domain.lower()
