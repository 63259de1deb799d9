"""What has changed since a cookie, by LDAP content synchronisation in its polling mode (RFC 4533): the server says who came, changed and went."""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass, field

from sync.errors import CursorLost
from sync.sources.ldap import ber, translate
from sync.sources.ldap.ber import BOOLEAN, ENUMERATED, OCTETS, SEQUENCE, SET, Garbled, content, header, read_controls
from sync.sources.ldap.connection import Line, Search
from sync.sources.ldap.dialect import Dialect
from sync.sources.ldap.filters import ANYTHING
from sync.sources.ldap.following import MOST_TOUCHED, refuse_future, refuse_too_big
from sync.sources.ldap.root import Root

REQUEST = "1.3.6.1.4.1.4203.1.9.1.1"
_STATE = b"1.3.6.1.4.1.4203.1.9.1.2"
_DONE = b"1.3.6.1.4.1.4203.1.9.1.3"
_INFO = b"1.3.6.1.4.1.4203.1.9.1.4"
_NAME, _VALUE = 0x80, 0x81
_NEW_COOKIE, _REFRESH_DELETE, _REFRESH_PRESENT, _ID_SET = 0x80, 0xA1, 0xA2, 0xA3
_PRESENT = b"\0"
_REFRESH_REQUIRED = 4096
_UNWILLING = 53
_ALSO_SYNC_UUIDS = ("entryuuid", "nsuniqueid")
"""Id attributes whose canonical text (forms.py) is that of the UUIDs which content synchronisation sends."""
_NUMBERED = re.compile(r"[^#=]+#.*#(\d+)", re.DOTALL)
"""389's cookie: host and port, who asks for what, and the number of the last change; OpenLDAP's begins with rid=."""


@dataclass(slots=True)
class Poll:
    """What one poll brought: the ids (entryUUID) that came, changed or went, and the next cookie.

    Nothing is concluded from silence: a server that names those who are merely *present*, because it has no log of the deleted, is asked for
    everything.
    """

    touched: set[str] = field(default_factory=set)
    cookie: str = ""

    def overhear(self, tag: int, said: bytes) -> None:
        """Take in the controls of an entry, or a notice between entries. Raises Garbled, CursorLost."""
        if tag == ber.ENTRY:
            self._state(read_controls(said, 0, len(said)).get(_STATE, b""))
        else:
            self._notice(said)

    def end(self, controls: dict[bytes, bytes]) -> None:
        """Take in the Sync Done Control: SEQUENCE { cookie OCTET STRING OPTIONAL, refreshDeletes BOOLEAN DEFAULT FALSE }."""
        value = controls.get(_DONE)
        if value is None:
            raise CursorLost("cursor_lost", "the server ended the poll without saying that it was all")
        at, stop = content(value, 0, len(value), SEQUENCE)
        self._cookie_in(value, at, stop)

    def _touch(self, raw: bytes) -> None:
        if len(raw) != 16:
            raise Garbled("an entryUUID that is none")
        self.touched.add(str(uuid.UUID(bytes=raw)))
        if len(self.touched) > MOST_TOUCHED:
            raise CursorLost("cursor_lost", f"more than {MOST_TOUCHED} entries have changed")

    def _state(self, value: bytes) -> None:
        """SEQUENCE { state ENUMERATED, entryUUID OCTET STRING, cookie OCTET STRING OPTIONAL }; each entry has one, or the answer is not to be
        understood."""
        at, stop = content(value, 0, len(value), SEQUENCE)
        start, at = content(value, at, stop, ENUMERATED)
        state = value[start:at]
        start, at = content(value, at, stop, OCTETS)
        if state == _PRESENT:
            raise _names_nobody_deleted()
        self._touch(value[start:at])

    def _notice(self, said: bytes) -> None:
        """IntermediateResponse { [0] name, [1] value }; of Sync Info Messages new cookies and sets of the deleted are to be taken in."""
        start, at = content(said, 0, len(said), _NAME)
        if said[start:at] != _INFO:
            return
        start, at = content(said, at, len(said), _VALUE)
        tag, inner, stop = header(said, start, at)
        if tag == _NEW_COOKIE:
            self.cookie = said[inner:stop].decode("utf-8", "replace")
        elif tag == _ID_SET:
            self._id_set(said, inner, stop)
        elif tag in (_REFRESH_DELETE, _REFRESH_PRESENT):
            self._cookie_in(said, inner, stop)
        else:
            raise Garbled(f"a Sync Info Message of the kind {tag:02x}")

    def _id_set(self, said: bytes, at: int, stop: int) -> None:
        """SEQUENCE { cookie OCTET STRING OPTIONAL, refreshDeletes BOOLEAN DEFAULT FALSE, syncUUIDs SET OF OCTET STRING }."""
        at = self._cookie_in(said, at, stop)
        deleted = False
        if at < stop and said[at] == BOOLEAN:
            start, at = content(said, at, stop, BOOLEAN)
            deleted = said[start:at] != b"\0"
        start, at = content(said, at, stop, SET)
        if not deleted and start < at:
            raise _names_nobody_deleted()
        while start < at:
            first, start = content(said, start, at, OCTETS)
            self._touch(said[first:start])

    def _cookie_in(self, data: bytes, at: int, stop: int) -> int:
        """Take the cookie that stands at `at`, if one does; return where the next element begins."""
        if at < stop and data[at] == OCTETS:
            start, at = content(data, at, stop, OCTETS)
            self.cookie = data[start:at].decode("utf-8", "replace")
        return at


def _names_nobody_deleted() -> CursorLost:
    return CursorLost(
        "cursor_lost", "the server names who is present, not who was deleted: its log of them (olcSpSessionlog) is off, too short, or gone"
    )


class ByContentSync:
    """A cookie stands for one state of the whole context. OpenLDAP's is its contextCSN; another server (389) is asked for one."""

    how = "content sync (RFC 4533)"

    def __init__(self, line: Line, dialect: Dialect, root: Root) -> None:
        self._line, self._dialect, self._root = line, dialect, root

    def begin(self, place: str) -> str:
        """Return the cookie of this moment, "" where the server gives none, or does not show what tells whether it still holds, or ids are not
        those of content synchronisation."""
        if self._dialect.id.lower() not in _ALSO_SYNC_UUIDS or REQUEST not in self._root["supportedcontrol"]:
            return ""
        entries, _ = self._line.fetch(Search(place, ANYTHING, ["contextCSN"], scope="entry"))
        numbers = sorted(text for entry in entries for text in entry.texts("contextcsn"))
        if numbers:
            return f"rid=000,csn={';'.join(numbers)}"
        cookie = self._ask_for_cookie(place)
        shown = self._root.data and self._root["firstchangenumber"]
        return "" if _NUMBERED.fullmatch(cookie) and not shown else cookie

    def since(self, place: str, said: str) -> tuple[frozenset[str], str]:
        """Poll once."""
        for moment in re.findall(r"\d{14}", said.partition("csn=")[2]):
            refuse_future(f"{moment}Z")
        changed = self._poll(place, ANYTHING, said)
        if numbered := _NUMBERED.fullmatch(said):
            self._refuse_trimmed(int(numbered[1]))
        return changed

    def _refuse_trimmed(self, number: int) -> None:
        """Raise CursorLost when 389's log has lost changes after this number: it ends such a poll as if there had been none. Asked after the
        poll, for the log may be trimmed while that lasts."""
        entries, _ = self._line.fetch(Search("", ANYTHING, ["firstChangeNumber"], scope="entry"))
        first = [int(text) for entry in entries for text in entry.texts("firstchangenumber") if text.isdigit()]
        if not first:
            raise CursorLost("cursor_lost", "the server does not show how far its log of changes reaches back (firstChangeNumber)")
        if first[0] > number + 1:
            raise CursorLost("cursor_lost", f"the server's log of changes (Retro Changelog) was trimmed, it begins with number {first[0]}")

    def _ask_for_cookie(self, place: str) -> str:
        """Return what a poll for nobody gives, made out for everybody, if the server takes it: a poll for everybody would send everybody.

        389's cookie is the server, who asks for what, and the number of the last change; it refuses one that was made out for something else.
        """
        nobody = self._dialect.with_ids([str(uuid.UUID(int=0))])
        try:
            _, cookie = self._poll(place, nobody, "")
            return self._poll(place, ANYTHING, cookie.replace(nobody, ANYTHING))[1]
        except CursorLost:
            return ""

    def _poll(self, place: str, wanted: str, cookie: str) -> tuple[frozenset[str], str]:
        heard = Poll(cookie=cookie)
        asked = Search(place, wanted, ["1.1"], controls=[(REQUEST, True, _request(cookie))], overhear=heard.overhear)
        try:
            done = self._line.search(asked, refuse_too_big)  # the entries themselves say nothing here: each is read by its id later
        except CursorLost:
            self._line.close()  # the rest of the answer is still on its way
            raise
        if done.code:
            refused = "does not accept the cookie any more" if done.code in (_REFRESH_REQUIRED, _UNWILLING) else "refuses content synchronisation"
            raise CursorLost("cursor_lost", f"the server {refused}: {translate.result_name(done.code)} {done.text}".strip())
        heard.end(done.controls)
        return frozenset(heard.touched), heard.cookie


def _request(cookie: str) -> bytes:
    """Return SEQUENCE { mode ENUMERATED refreshOnly (1), cookie OCTET STRING OPTIONAL }."""
    return _tlv(0x30, b"\x0a\x01\x01" + (_tlv(0x04, cookie.encode()) if cookie else b""))


def _tlv(tag: int, content: bytes) -> bytes:
    size = len(content)
    return bytes([tag, size] if size < 0x80 else [tag, 0x82, size >> 8, size & 0xFF]) + content
