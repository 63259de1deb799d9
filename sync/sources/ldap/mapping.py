"""From an entry to a Person: which attribute says what, and what becomes of values that are bad (rule 7)."""

from __future__ import annotations

from collections.abc import Callable

from sync.address import MalformedAddress, domain_of, normalise, normalise_domain
from sync.directory import Dropped, Listed, Person, Refused
from sync.settings import SourceSettings
from sync.sources.ldap.ber import Entry
from sync.sources.ldap.dialect import Dialect
from sync.sources.ldap.dn import MalformedDn, normalise_dn, parse_dn
from sync.sources.ldap.names import attribute_key
from sync.sources.ldap.nesting import PRIMARY_ATTRIBUTES, Nesting
from sync.sources.ldap.state import StateReader

LONGEST_VALUE = 1024
"""Octets of a value that is taken."""
MOST_ADDRESSES = 64
MOST_GROUPS = 5000
MOST_DROPPED = 100
"""Dropped values that are named; of the others only the number is told."""
_SHOWN = 80

GroupsOf = Callable[[Entry, str], list[str]]
"""The groups of an entry with a username, in compared form, any order, perhaps repeated."""


class _Sieve:
    """Collects what is left out of one entry."""

    def __init__(self) -> None:
        self._dropped: list[Dropped] = []
        self._more = 0

    def drop(self, attribute: str, value: str | bytes, why: str) -> None:
        if len(self._dropped) < MOST_DROPPED:
            text = value if isinstance(value, str) else value[: 4 * _SHOWN].decode("utf-8", "backslashreplace")
            self._dropped.append(Dropped(attribute, text[:_SHOWN], why))
        else:
            self._more += 1

    def result(self) -> tuple[Dropped, ...]:
        if self._more:
            return (*self._dropped, Dropped("", "", f"{self._more} more values were left out"))
        return tuple(self._dropped)


class Mapper:
    """Makes Persons of entries, by the words of one source."""

    def __init__(self, settings: SourceSettings, dialect: Dialect, groups_of: GroupsOf | None = None, nesting: Nesting | None = None) -> None:
        self._dialect, self._nesting = dialect, nesting
        self._id, self._username = attribute_key(dialect.id), attribute_key(dialect.username)
        self._read_id = dialect.id_form.read
        self._name_keys = [(name, attribute_key(name)) for name in (dialect.name, "cn") if name]
        self._emails = [(name, attribute_key(name), form) for name, form in dialect.emails]
        self._groups = attribute_key(dialect.groups)
        self._groups_of = groups_of
        self._domains = frozenset(_compared_domain(domain) for domain in settings.domains)
        self._state = StateReader(dialect)

    @property
    def attributes(self) -> list[str]:
        """The attributes to ask for."""
        words = self._dialect
        wanted = [*self.state_attributes, words.username, words.name, "cn", *(name for name, _ in words.emails)]
        if not self._groups_of:
            wanted.append(words.groups)
        if words.vendor.by_sid:
            wanted += PRIMARY_ATTRIBUTES
        return list(dict.fromkeys(name for name in wanted if name))

    @property
    def state_attributes(self) -> list[str]:
        """The attributes that say who it is and whether they are enabled, and nothing else."""
        return [self._dialect.id, *self._state.attributes]

    def sets_aside(self, entry: Entry) -> bool:
        """Tell whether the entry is none of the people, for where it stands."""
        return bool(self._dialect.aside) and self._dialect.sets_aside(entry.dn)

    def external_id(self, entry: Entry) -> str | None:
        """Return the entry's stable id in canonical form, None when there is none that can be read."""
        values = entry.attributes.get(self._id, ())
        return self._read_id(values[0]) if len(values) == 1 else None

    def person(self, entry: Entry) -> Person | Refused:
        """Return what the entry says about one human, or why it cannot be taken."""
        external_id = self.external_id(entry)
        if external_id is None or self._state.hidden(entry):
            return self._refused(entry, external_id)
        if entry.cut:
            return self.bare(entry)
        sieve = _Sieve()
        username = self._username_of(entry, sieve)
        return Person(
            external_id=external_id,
            place=entry.dn,
            username=username,
            name=self._name_of(entry, sieve),
            emails=self._addresses(entry, sieve),
            groups=self._group_names(entry, username, sieve),
            enabled=self._state.enabled(entry),
            expires_at=self._state.expires_at(entry),
            dropped=sieve.result(),
        )

    def bare(self, entry: Entry) -> Person | Refused:
        """Return a person of whom only id and state were read, because the whole entry is too big or came in part."""
        external_id = self.external_id(entry)
        if external_id is None or self._state.hidden(entry):
            return self._refused(entry, external_id)
        return Person(external_id, entry.dn, "", "", (), (), self._state.enabled(entry), self._state.expires_at(entry), bare=True)

    def _refused(self, entry: Entry, external_id: str | None) -> Refused:
        if external_id is None:
            return Refused(entry.dn, self._why_no_id(entry))
        why = f"does not show {self._state.hidden(entry)}: whether it is disabled is hidden from the bind account"
        return Refused(entry.dn, why, external_id)

    def _why_no_id(self, entry: Entry) -> str:
        values = entry.attributes.get(self._id, ())
        name = self._dialect.id
        if not values:
            return f"shows no {name}"
        return f"shows {len(values)} values of {name}" if len(values) > 1 else f"has an unreadable {name}"

    def _texts(self, entry: Entry, key: str, sieve: _Sieve, shown: str) -> list[str]:
        texts = []
        for value in entry.attributes.get(key, ()):
            if len(value) > LONGEST_VALUE:
                sieve.drop(shown, value, f"is longer than {LONGEST_VALUE} octets")
                continue
            try:
                texts.append(value.decode())
            except UnicodeDecodeError:
                sieve.drop(shown, value, "is not UTF-8")
        return texts

    def _name_of(self, entry: Entry, sieve: _Sieve) -> str:
        for shown, key in self._name_keys:
            for text in self._texts(entry, key, sieve, shown):
                if text.strip():
                    return text.strip()
        return ""

    def _username_of(self, entry: Entry, sieve: _Sieve) -> str:
        """Return the username; of several the one that names the entry, for the order of values is nobody's promise."""
        texts = self._texts(entry, self._username, sieve, self._dialect.username) if self._username else []
        if len(texts) > 1:
            naming = _naming_values(entry.dn, self._username)
            texts.sort(key=lambda text: text.lower() not in naming)
        return texts[0].strip() if texts else ""

    def _addresses(self, entry: Entry, sieve: _Sieve) -> tuple[Listed, ...]:
        found: dict[str, Listed] = {}
        for shown, key, form in self._emails:
            for text in self._texts(entry, key, sieve, shown):
                told = form.read(text.strip(" "))  # spaces are insignificant in this syntax (RFC 4518 section 2.6.1)
                if told is None:
                    continue
                spelt, marked = told
                try:
                    matched = normalise(spelt)
                except MalformedAddress as error:
                    sieve.drop(shown, text, str(error))
                    continue
                if self._domains and domain_of(matched) not in self._domains:
                    sieve.drop(shown, text, "is in none of the source's domains")
                elif matched not in found and len(found) >= MOST_ADDRESSES:
                    sieve.drop(shown, text, f"is one more than {MOST_ADDRESSES} addresses")
                elif marked or matched not in found:
                    found[matched] = Listed(spelt, matched, marked or (matched in found and found[matched].marked))
        return self._primary_marked(found, entry)

    def _primary_marked(self, found: dict[str, Listed], entry: Entry) -> tuple[Listed, ...]:
        """Return the addresses; where none is marked, that of the vendor's own primary attribute is."""
        primary = self._dialect.vendor.primary
        if primary and not any(email.marked for email in found.values()):
            for text in entry.texts(attribute_key(primary)):
                matched = _matched(text.strip(" "))
                if matched in found:
                    found[matched] = Listed(found[matched].spelt, matched, True)
        return tuple(found.values())

    def _group_names(self, entry: Entry, username: str, sieve: _Sieve) -> tuple[str, ...]:
        names = self._groups_of(entry, username) if self._groups_of else self._listed_groups(entry, sieve)
        if self._nesting:
            names = [*names, *self._nesting.beyond(entry, names)]
        if not names:
            return ()
        ordered = sorted(set(names))
        for name in ordered[MOST_GROUPS:]:
            sieve.drop(self._dialect.groups, name, f"is one more than {MOST_GROUPS} groups")
        return tuple(ordered[:MOST_GROUPS])

    def _listed_groups(self, entry: Entry, sieve: _Sieve) -> list[str]:
        names = []
        for text in self._texts(entry, self._groups, sieve, self._dialect.groups) if self._groups else ():
            try:
                names.append(normalise_dn(text))
            except MalformedDn as error:
                sieve.drop(self._dialect.groups, text, f"is no DN: {error}")
        return names


def _matched(spelt: str) -> str:
    try:
        return normalise(spelt)
    except MalformedAddress:
        return ""


def _naming_values(dn: str, attribute: str) -> set[str]:
    try:
        levels = parse_dn(dn)
    except MalformedDn:
        return set()
    return {value for kind, value in (levels[0] if levels else ()) if kind == attribute}


def _compared_domain(domain: str) -> str:
    try:
        return normalise_domain(domain)
    except MalformedAddress:
        return domain.lower()
