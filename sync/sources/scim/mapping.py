"""From a SCIM resource to a Person, attribute by attribute: what is bad is dropped and named, not the person (rule 7)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from sync.directory import Listed, Person, Refused
from sync.settings import SourceSettings
from sync.sources.scim.answers import Malformed, lowered, read_object, value_of
from sync.sources.sieve import LONGEST_VALUE, Addresses, Sieve, compared_domains, take_groups

GroupsOf = Callable[[str, list[str]], list[str]]
"""The issuing groups of an id, given what its own resource says (ids and display names of groups)."""
_RANKS = {"work": 1}


class Mapper:
    """Makes Persons of resources, by the words of one source."""

    def __init__(self, settings: SourceSettings, groups_of: GroupsOf) -> None:
        self._domains = compared_domains(settings.domains)
        self._groups_of = groups_of

    def person(self, raw: msgspec.Raw, where: str) -> Person | Refused:
        """Return what a resource says about one human, or why it cannot be taken; `where` = how to call it if it has no id."""
        try:
            told = read_object(raw)
        except Malformed as malformed:
            return Refused(where, str(malformed))
        external_id = id_of(told)
        if external_id is None:
            return Refused(where, "has no id that can be used")
        sieve = Sieve()
        place = f"Users/{external_id}"
        kind = lowered(_value(told, "meta", sieve)).get("resourcetype")
        if isinstance(kind, str) and kind.lower() != "user":
            return Refused(place, f"is a {kind[:40]}, no User", external_id)
        enabled = _is_enabled(told)
        if enabled is None:
            return Refused(place, "has an `active` that is neither true nor false: whether it is disabled cannot be known", external_id)
        return Person(
            external_id=external_id,
            place="",
            username=_text(told, "username", sieve),
            name=_name_of(told, sieve),
            emails=self._addresses(told, sieve),
            groups=self._groups(external_id, told, sieve),
            enabled=enabled,
            dropped=sieve.result(),
        )

    def _addresses(self, told: dict[str, msgspec.Raw], sieve: Sieve) -> tuple[Listed, ...]:
        """Return the addresses: first those marked primary, then those of the type work, then the others, in the provider's order."""
        found = Addresses(self._domains, sieve)
        ranked: list[tuple[int, str, bool]] = []
        for inner in _items(told, "emails", sieve):
            text = _inner_text(inner, "value", "emails", sieve)
            primary = str(inner.get("primary")).lower() == "true"
            if text:
                ranked.append((0 if primary else _RANKS.get(str(inner.get("type")).lower(), 2), text, primary))
        for _, text, primary in sorted(ranked, key=lambda one: one[0]):
            found.take("emails", text, text.strip(" "), primary)
        return found.result()

    def _groups(self, external_id: str, told: dict[str, msgspec.Raw], sieve: Sieve) -> tuple[str, ...]:
        said = [text for inner in _items(told, "groups", sieve) for name in ("value", "display") if (text := _plain(inner.get(name)))]
        names = self._groups_of(external_id, said)
        return take_groups("groups", names, sieve) if names else ()


def id_of(told: dict[str, msgspec.Raw]) -> str | None:
    """Return the id of a resource, None for one that cannot be used. A number is taken as it is written, for some providers count."""
    try:
        found = value_of(told.get("id"))
    except Malformed:
        return None
    if isinstance(found, int) and not isinstance(found, bool):
        found = str(found)
    # A path like /Users/.. would be another one.
    usable = isinstance(found, str) and found.strip(".") and found.isprintable() and found == found.strip() and len(found.encode()) <= LONGEST_VALUE
    return found if usable and isinstance(found, str) else None


def _is_enabled(told: dict[str, msgspec.Raw]) -> bool | None:
    """Return what `active` says: true where it is absent (RFC 7643 section 2.5: null is), None for what cannot be understood."""
    try:
        said = value_of(told.get("active"))
    except Malformed:
        return None
    if isinstance(said, str):
        return {"true": True, "false": False}.get(said.strip().lower())
    return True if said is None else said if isinstance(said, bool) else None


def _name_of(told: dict[str, msgspec.Raw], sieve: Sieve) -> str:
    shown = _text(told, "displayname", sieve)
    if shown:
        return shown
    parts = lowered(_value(told, "name", sieve))
    formatted = _inner_text(parts, "formatted", "name", sieve)
    both = (_inner_text(parts, "givenname", "name", sieve), _inner_text(parts, "familyname", "name", sieve))
    return formatted or " ".join(part for part in both if part)


def _value(told: dict[str, msgspec.Raw], name: str, sieve: Sieve) -> Any:
    try:
        return value_of(told.get(name))
    except Malformed as malformed:
        sieve.drop(name, "", str(malformed))
        return None


def _text(told: dict[str, msgspec.Raw], name: str, sieve: Sieve) -> str:
    return _inner_text({name: _value(told, name, sieve)}, name, name, sieve)


def _inner_text(inner: Any, name: str, shown: str, sieve: Sieve) -> str:
    """Return a text, stripped; "" for one that is absent or bad, and then it is named."""
    value = inner.get(name)
    if value is None:
        return ""
    text = _plain(value)
    if not text and value != "":
        sieve.drop(shown, str(value), f"is no text of at most {LONGEST_VALUE} octets")
    return text


def _plain(value: object) -> str:
    if not isinstance(value, str) or "\0" in value or len(value.encode("utf-8", "surrogatepass")) > LONGEST_VALUE:
        return ""
    return value.strip()


def _items(told: dict[str, msgspec.Raw], name: str, sieve: Sieve) -> Iterator[Any]:
    """Yield the values of a multi-valued attribute, names in lower case; a single one, or a plain text, is taken for one."""
    value = _value(told, name, sieve)
    for inner in value if isinstance(value, list) else [] if value is None else [value]:
        if isinstance(inner, str):
            yield {"value": inner}
        elif isinstance(inner, dict):
            yield lowered(inner)
        elif inner is not None:
            sieve.drop(name, str(inner), "is no value of this attribute")
