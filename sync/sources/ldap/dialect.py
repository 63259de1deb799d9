"""The words in which one source asks its directory: each is the configuration's, or else the vendor's. The only place where the two meet."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from sync.settings import GroupSearch, SourceSettings
from sync.sources.ldap.ber import Entry
from sync.sources.ldap.dn import is_under
from sync.sources.ldap.filters import any_of, bracketed, equals
from sync.sources.ldap.forms import AddressForm, IdForm, address_form, id_form
from sync.sources.ldap.names import attribute_key
from sync.sources.ldap.vendors import Vendor


@dataclass(frozen=True, slots=True)
class Dialect:
    """Attribute names as they are asked for, and how their values are written. `filter` has its brackets; `group_search` is complete;
    `disabled_when` is the configuration's alone and comes beside the vendor's locks; `aside` are the DNs, inside the bases, below
    which nobody counts."""

    vendor: Vendor
    id: str
    id_form: IdForm
    username: str
    name: str
    emails: tuple[tuple[str, AddressForm], ...]
    groups: str
    filter: str
    group_search: GroupSearch
    disabled_when: tuple[str, ...]
    aside: tuple[str, ...]

    def sets_aside(self, dn: str) -> bool:
        """Tell whether an entry waits where the vendor keeps those who are no people of today."""
        return any(is_under(dn, place) for place in self.aside)

    def ids_of(self, entry: Entry) -> list[str | None]:
        """Return the ids an entry shows in canonical form, None for what cannot be read as one."""
        return [self.id_form.read(value) for value in entry.attributes.get(attribute_key(self.id), ())]

    def written(self, external_id: str) -> str:
        """Return an id as people find it in the directory."""
        raw = self.id_form.write(external_id)
        return raw if isinstance(raw, str) else external_id

    def with_ids(self, external_ids: Iterable[str]) -> str:
        """Return the filter for the entries with any of these ids."""
        return any_of(equals(self.id, self.id_form.write(one)) for one in external_ids)

    def with_addresses(self, spellings: Iterable[str]) -> str:
        """Return the filter for the entries that list any of these spellings of an address."""
        return any_of(self._listing(sorted(spellings)))

    def _listing(self, spellings: list[str]) -> Iterator[str]:
        for name, form in self.emails:
            for value in dict.fromkeys(value for spelling in spellings for value in form.write(spelling)):
                yield equals(name, value)


def dialect_of(settings: SourceSettings, vendor: Vendor, contexts: Sequence[str] = ()) -> Dialect:
    """Return the words for one source on a server of this kind, with these naming contexts (none = they are hidden)."""
    given, search = settings.attributes, settings.groups
    chosen_id = vendor.id if given.id is None else given.id
    emails = vendor.emails if given.emails is None else given.emails
    kept_aside = [f"{vendor.aside},{top}" for top in (contexts or settings.bases)] if vendor.aside else []
    return Dialect(
        vendor=vendor,
        id=chosen_id,
        id_form=id_form(chosen_id),
        username=vendor.username if given.username is None else given.username,
        name=vendor.display if given.name is None else given.name,
        emails=tuple((name, address_form(name)) for name in emails),
        groups=vendor.groups if given.groups is None else given.groups,
        filter=bracketed(settings.filter or vendor.filter),
        group_search=replace(search, filter=bracketed(search.filter or vendor.group_filter)),
        disabled_when=settings.disabled_when,
        aside=tuple(place for place in kept_aside if any(is_under(place, base) for base in settings.bases)),
    )


def describe(dialect: Dialect, settings: SourceSettings) -> str:
    """Say for people which words are used, and which of them are the vendor's."""
    given = settings.attributes
    words = {
        "id": (dialect.id, given.id),
        "username": (dialect.username, given.username),
        "name": (dialect.name, given.name),
        "emails": (", ".join(name for name, _ in dialect.emails), given.emails),
        "groups": (f"by a search below {dialect.group_search.base}", "") if dialect.group_search.base else (dialect.groups, given.groups),
        "filter": (dialect.filter, settings.filter or None),
    }
    return "; ".join(
        f"{key} = {word or 'none'}{f' ({dialect.vendor.name})' if own is None else ' (configured)'}" for key, (word, own) in words.items()
    )
