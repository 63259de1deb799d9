"""From an entry to a Person: which attribute says what, and what becomes of values that are bad (rule 7)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sync.directory import Listed, Person, Refused
from sync.settings import SourceSettings
from sync.sources.ldap.ber import Entry
from sync.sources.ldap.dialect import Dialect
from sync.sources.ldap.dn import MalformedDn, normalise_dn, parse_dn
from sync.sources.ldap.forms import PLAIN
from sync.sources.ldap.names import attribute_key
from sync.sources.ldap.nesting import PRIMARY_ATTRIBUTES, Nesting
from sync.sources.ldap.state import StateReader
from sync.sources.sieve import LONGEST_VALUE, Addresses, Sieve, compared_domains, take_groups

GroupsOf = Callable[[Entry, str], list[str]]
"""The groups of an entry with a username, in compared form, any order, perhaps repeated."""


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
        self._domains = compared_domains(settings.domains)
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
        sieve = Sieve()
        username = self._username_of(entry, sieve)
        enabled, expires_at = (True, None) if self._state.is_silent(entry) else (self._state.enabled(entry), self._state.expires_at(entry))
        return Person(
            external_id=external_id,
            place=entry.dn,
            username=username,
            name=self._name_of(entry, sieve),
            emails=self._addresses(entry, sieve),
            groups=self._group_names(entry, username, sieve),
            enabled=enabled,
            expires_at=expires_at,
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

    def _texts(self, entry: Entry, key: str, sieve: Sieve, shown: str) -> list[str]:
        """Return the values of an attribute that are texts; of values that are as nearly all are, in one go."""
        values = entry.attributes.get(key)
        if not values:
            return []
        whole = values[0] if len(values) == 1 else b"".join(values)
        if len(whole) <= LONGEST_VALUE and b"\0" not in whole:
            try:
                return [value.decode() for value in values]
            except UnicodeDecodeError:
                pass
        return _texts_plainly(values, sieve, shown)

    def _name_of(self, entry: Entry, sieve: Sieve) -> str:
        for shown, key in self._name_keys:
            for text in self._texts(entry, key, sieve, shown):
                if stripped := text.strip():
                    return stripped
        return ""

    def _username_of(self, entry: Entry, sieve: Sieve) -> str:
        """Return the username; of several the one that names the entry, for the order of values is nobody's promise."""
        texts = self._texts(entry, self._username, sieve, self._dialect.username) if self._username else []
        if len(texts) > 1:
            naming = _naming_values(entry.dn, self._username)
            texts.sort(key=lambda text: text.lower() not in naming)
        return texts[0].strip() if texts else ""

    def _addresses(self, entry: Entry, sieve: Sieve) -> tuple[Listed, ...]:
        found = Addresses(self._domains, sieve)
        for shown, key, form in self._emails:
            texts = self._texts(entry, key, sieve, shown)
            if form is PLAIN and found.take_usual(texts):
                continue
            for text in texts:
                told = form.read(text.strip(" "))  # spaces are insignificant in this syntax (RFC 4518 section 2.6.1)
                if told is not None:
                    found.take(shown, text, *told)
        primary = self._dialect.vendor.primary
        if primary and not found.any_marked:
            for text in entry.texts(attribute_key(primary)):
                found.mark(text.strip(" "))
        return found.result()

    def _group_names(self, entry: Entry, username: str, sieve: Sieve) -> tuple[str, ...]:
        if not (self._groups_of or self._nesting or self._groups in entry.attributes):
            return ()
        names = self._groups_of(entry, username) if self._groups_of else self._listed_groups(entry, sieve)
        if self._nesting:
            names = [*names, *self._nesting.beyond(entry, names)]
        return take_groups(self._dialect.groups, names, sieve) if names else ()

    def _listed_groups(self, entry: Entry, sieve: Sieve) -> list[str]:
        names = []
        for text in self._texts(entry, self._groups, sieve, self._dialect.groups) if self._groups else ():
            try:
                names.append(normalise_dn(text))
            except MalformedDn as error:
                sieve.drop(self._dialect.groups, text, f"is no DN: {error}")
        return names


def _texts_plainly(values: Sequence[bytes], sieve: Sieve, shown: str) -> list[str]:
    """Return those values that are texts, and name each of the others."""
    texts = []
    for value in values:
        if len(value) > LONGEST_VALUE:
            sieve.drop(shown, value, f"is longer than {LONGEST_VALUE} octets")
            continue
        if b"\0" in value:
            sieve.drop(shown, value, "holds a NUL character")
            continue
        try:
            texts.append(value.decode())
        except UnicodeDecodeError:
            sieve.drop(shown, value, "is not UTF-8")
    return texts


def _naming_values(dn: str, attribute: str) -> set[str]:
    try:
        levels = parse_dn(dn)
    except MalformedDn:
        return set()
    return {value for kind, value in (levels[0] if levels else ()) if kind == attribute}
