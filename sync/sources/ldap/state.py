"""Whether an entry is disabled, and when it expires."""

from __future__ import annotations

from collections.abc import Iterator

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

    def enabled(self, entry: Entry) -> bool:
        """Return False if any lock or condition holds for any value: `attr=value` (compared without case) or `attr=*` (present)."""
        return not any(holds(value) for name, holds in self._locks for value in _values(entry, name))

    def expires_at(self, entry: Entry) -> int | None:
        """Return when the entry expires, in milliseconds since the epoch, the earliest of several ends; None = never."""
        moments = [moment(value) for name, moment in self._ends for value in _values(entry, name)]
        return min((moment for moment in moments if moment is not None), default=None)


def _values(entry: Entry, name: str) -> Iterator[str]:
    for value in entry.attributes.get(name, ()):
        yield value.decode("utf-8", "replace").strip().lower()
