"""How a table of the file is described: its keys with their readers and defaults, and the tables inside it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from daemon.config.values import Read


@dataclass(frozen=True, slots=True)
class Field:
    """One key. `default` is what the file would say; None = none, the key may be absent. `required` = it may not."""

    read: Read
    default: object = None
    required: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """One `[table]`: `tables` are those inside it, `lists` those written [[twice bracketed]]. `optional` = what
    it requires is required only where it stands."""

    fields: Mapping[str, Field] = field(default_factory=dict)
    tables: Mapping[str, Table] = field(default_factory=dict)
    lists: Mapping[str, Table | Kinds] = field(default_factory=dict)
    optional: bool = False

    @property
    def keys(self) -> list[str]:
        """Every name that may stand in the table."""
        return [*self.fields, *self.tables, *self.lists]


@dataclass(frozen=True, slots=True)
class Kinds:
    """A table whose keys depend on its `kind`; what names no kind is read as the first."""

    tables: Mapping[str, Table]

    def of(self, raw: Mapping[str, object]) -> Table:
        """Return the description that fits what the file says."""
        kind = raw.get("kind")
        first = next(iter(self.tables.values()))
        return self.tables.get(kind, first) if isinstance(kind, str) else first
