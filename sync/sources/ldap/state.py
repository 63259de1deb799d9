"""Whether an entry is disabled, and when it expires."""

from __future__ import annotations

from sync.sources.ldap.ber import Entry
from sync.sources.ldap.dialect import Dialect
from sync.sources.ldap.names import attribute_key
from sync.sources.ldap.signs import exactly


class StateReader:
    """Reads the state of entries, by one vendor's habits and one source's `[source.disabled] when`."""

    def __init__(self, dialect: Dialect) -> None:
        conditions = [condition.partition("=") for condition in dialect.disabled_when]
        locks = [*((name.strip(), exactly(value)) for name, _, value in conditions), *dialect.vendor.locks]
        ends = dialect.vendor.expiry
        self._locks = [(attribute_key(name), holds) for name, holds in locks]
        self._ends = [(attribute_key(name), moment) for name, moment in ends]
        self.attributes = list(dict.fromkeys([*(name for name, _ in locks), *(name for name, _ in ends)]))
        """The attributes to ask for."""
        self._telling = frozenset(name for name, _ in (*self._locks, *self._ends))
        self._always = dialect.vendor.always
        self._always_key = attribute_key(self._always)

    def hidden(self, entry: Entry) -> str:
        """Return the attribute that no entry is without and this one does not show, "" if nothing is known to be hidden."""
        return self._always if self._always and not entry.attributes.get(self._always_key) else ""

    def is_silent(self, entry: Entry) -> bool:
        """Tell whether nothing in the entry speaks of its state, as for most people: it is enabled, and never expires."""
        return self._telling.isdisjoint(entry.attributes)

    def enabled(self, entry: Entry) -> bool:
        """Return False if any lock or condition holds for any value: `attr=value` (compared without case) or `attr=*` (present)."""
        for name, holds in self._locks:
            listed = entry.attributes.get(name)
            if listed and any(map(holds, _texts(listed))):
                return False
        return True

    def expires_at(self, entry: Entry) -> int | None:
        """Return when the entry expires, in milliseconds since the epoch, the earliest of several ends; None = never."""
        ends: list[int] = []
        for name, moment in self._ends:
            listed = entry.attributes.get(name)
            if listed:
                ends += [end for end in map(moment, _texts(listed)) if end is not None]
        return min(ends, default=None)


def _texts(values: list[bytes]) -> list[str]:
    return [value.decode("utf-8", "replace").strip().lower() for value in values]
