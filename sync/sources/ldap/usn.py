"""What has changed on one domain controller since an update sequence number (MS-ADTS section 3.1.1.1.9; "Polling for Changes Using USNChanged")."""

from __future__ import annotations

from sync.errors import CursorLost
from sync.sources.ldap.connection import Line, Search
from sync.sources.ldap.dialect import Dialect
from sync.sources.ldap.filters import ANYTHING, both
from sync.sources.ldap.following import ids_of


class ByUsn:
    """Numbers are each controller's own and are not replicated, so they hold for one database only: `invocationId` names it, and a controller
    that is restored from a backup gets another one."""

    how = "uSNChanged"

    def __init__(self, line: Line, dialect: Dialect, page_size: int) -> None:
        self._line, self._dialect, self._page_size = line, dialect, page_size

    def begin(self, place: str) -> str:
        """Return the highest number committed so far and whose it is, "" where the controller does not tell."""
        number, database = self._state()
        return f"{number} {database}" if number and database else ""

    def since(self, place: str, said: str) -> tuple[frozenset[str], str]:
        """Search for later numbers, among the deleted too where the account may see them. The next number is read before the search: what changes
        meanwhile is named twice rather than never."""
        before, _, database = said.partition(" ")
        number, now = self._state()
        if not before.isdigit() or not number or now != database:
            raise CursorLost("cursor_lost", "another domain controller answers, or this one was restored")
        if int(number) < int(before):
            raise CursorLost("cursor_lost", "the domain controller was put back to an earlier state")
        shows_deleted = ((self._dialect.vendor.shows_deleted, True, None),) if self._dialect.vendor.shows_deleted else ()
        later = both(ANYTHING, f"(uSNChanged>={int(before) + 1})")
        asked = Search(place, later, [self._dialect.id], page_size=self._page_size, controls=shows_deleted)
        return ids_of(self._line, self._dialect, asked), f"{number} {database}"

    def _state(self) -> tuple[str, str]:
        """Return (highestCommittedUSN, the name of the database in hex), each "" where it is not shown."""
        entries, _ = self._line.fetch(Search("", ANYTHING, ["highestCommittedUSN", "dsServiceName"], scope="entry"))
        numbers = [text for entry in entries for text in entry.texts("highestcommittedusn")]
        places = [text for entry in entries for text in entry.texts("dsservicename")]
        if len(numbers) != 1 or not numbers[0].isdigit() or len(places) != 1:
            return "", ""
        found, _ = self._line.fetch(Search(places[0], ANYTHING, ["invocationId"], scope="entry"))
        names = [value.hex() for entry in found for value in entry.attributes.get("invocationid", ())]
        return numbers[0], names[0] if len(names) == 1 else ""
