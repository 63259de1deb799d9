"""From a pushed user to a Person, value by value: what is bad is dropped and named, not the person (rule 7)."""

from __future__ import annotations

from collections.abc import Collection

from sync.directory import Listed, Person
from sync.settings import SourceSettings
from sync.sources.sieve import LONGEST_VALUE, Addresses, Sieve, compared_domains, take_groups
from sync.store.pushed import PushedEmail, PushedGroup, PushedUser

_RANKS = {"work": 1}


class Mapper:
    """Makes Persons of pushed users, by the words of one source. `issuing` = the groups of policies, as those name them."""

    def __init__(self, settings: SourceSettings, issuing: Collection[str]) -> None:
        self._domains = compared_domains(settings.domains)
        self._issuing = frozenset(issuing)

    def person(self, user: PushedUser) -> Person:
        """Return what a pushed user says about one human."""
        sieve = Sieve()
        return Person(
            external_id=user.id,
            place="",
            username=_text("userName", user.user_name, sieve),
            name=_text("displayName", user.name, sieve),
            emails=self._addresses(user.emails, sieve),
            groups=self._groups(user.groups, sieve),
            enabled=user.active,
            dropped=sieve.result(),
        )

    def _addresses(self, emails: Collection[PushedEmail], sieve: Sieve) -> tuple[Listed, ...]:
        """Return the addresses: first those marked primary, then those of the type work, then the others, in the order sent."""
        found = Addresses(self._domains, sieve)
        for email in sorted(emails, key=lambda one: 0 if one.primary else _RANKS.get((one.type or "").lower(), 2)):
            if text := _text("emails", email.value, sieve):
                found.take("emails", text, text, email.primary)
        return found.result()

    def _groups(self, groups: Collection[PushedGroup], sieve: Sieve) -> tuple[str, ...]:
        named = {name for group in groups for name in (group.id, group.display_name, group.external_id) if name}
        return take_groups("groups", list(named & self._issuing), sieve)


def _text(attribute: str, value: str, sieve: Sieve) -> str:
    """Return a text, stripped; "" for one that is bad, and then it is named."""
    if "\0" in value or len(value.encode("utf-8", "surrogatepass")) > LONGEST_VALUE:
        sieve.drop(attribute, value, f"is no text of at most {LONGEST_VALUE} octets")
        return ""
    return value.strip()
