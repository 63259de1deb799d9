"""What a directory can do wrong, on command: the faults that a reader has to survive."""

from __future__ import annotations

from dataclasses import dataclass, replace

from daemon.demo.filters import fold
from daemon.demo.tree import Entry


@dataclass(frozen=True, slots=True)
class Misbehaviour:
    """Everything at its default is good behaviour. Each `…_after` counts the entries of one connection.

    hang_after: silence instead of the next entry. close_after: the connection closes in the middle of the next entry.
    garbage_after: bytes that are no LDAP. wrong_length_after: an entry whose inner lengths do not add up.
    drip: seconds between two octets. refuse_bind, result: result codes, the latter on page `on_page` (1 first).
    size_limit: entries, then sizeLimitExceeded. drop_paging: pages as asked, but without the control that says so.
    repeat_cookie: the first page for ever. empty: success, and nobody. without_id: so many people show no id.
    duplicate_id: the second person shows the id of the first. hide: attributes nobody sees. huge: DN of somebody with
    six megabytes of addresses. lie_about_base: noSuchObject wherever a search begins.
    """

    hang_after: int | None = None
    close_after: int | None = None
    garbage_after: int | None = None
    wrong_length_after: int | None = None
    drip: float = 0.0
    refuse_bind: int = 0
    result: int = 0
    on_page: int = 1
    size_limit: int | None = None
    drop_paging: bool = False
    repeat_cookie: bool = False
    empty: bool = False
    without_id: int = 0
    duplicate_id: bool = False
    hide: frozenset[str] = frozenset()
    huge: str = ""
    lie_about_base: bool = False

    def hides(self, attribute: str) -> bool:
        """Tell whether nobody may see this (lower-case) attribute."""
        return any(attribute == name.lower() for name in self.hide)

    def distort(self, entries: list[Entry]) -> list[Entry]:
        """Return what a search that finds `entries` shows instead."""
        if self.empty:
            return []
        people = [number for number, entry in enumerate(entries) if "uid" in entry.attributes]
        shown = list(entries)
        if self.duplicate_id and len(people) > 1:
            first, second = people[:2]
            shown[second] = _with(shown[second], entryUUID=shown[first].attributes["entryUUID"])
        for number in people[: self.without_id]:
            shown[number] = _with(shown[number], entryUUID=())
        return [_with(entry, mail=_SIX_MEGABYTES) if self.huge and fold(entry.dn) == fold(self.huge) else entry for entry in shown]


_SIX_MEGABYTES = tuple(f"{number:05d}{'x' * 950}@example.com" for number in range(6 * 1024))


def _with(entry: Entry, **values: tuple[str, ...]) -> Entry:
    return replace(entry, attributes={name: value for name, value in (entry.attributes | values).items() if value})
