"""What an LDAP server says to one client: bind, paged search, root DSE; everything else it declines (RFC 4511, RFC 2696)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from daemon.demo.ber import BOOLEAN, ENUMERATED, OCTETS, SEQUENCE, SET, BadMessage, Element, elements, encode, integer, octets
from daemon.demo.filters import fold, matches
from daemon.demo.misbehaviour import Misbehaviour
from daemon.demo.tree import OPERATIONAL, SUFFIX, Entry, Tree

BIND, UNBIND, SEARCH, ABANDON, EXTENDED = 0x60, 0x42, 0x63, 0x50, 0x77
ENTRY, DONE = 0x64, 0x65
_ANSWERS = {0x66: 0x67, 0x68: 0x69, 0x4A: 0x6B, 0x6C: 0x6D, 0x6E: 0x6F, EXTENDED: 0x78}
_PAGED = "1.2.840.113556.1.4.319"
_SUCCESS, _PROTOCOL, _SIZE_LIMIT, _UNKNOWN_CONTROL, _NO_SUCH_OBJECT, _CREDENTIALS, _RIGHTS, _UNWILLING = 0, 2, 4, 12, 32, 49, 50, 53
_SUBTREE = 2

ROOT_DSE = {
    "objectClass": ("top", "OpenLDAProotDSE"),
    "namingContexts": (SUFFIX,),
    "supportedLDAPVersion": ("3",),
    "supportedControl": (_PAGED,),
    "vendorName": ("rosterd demo",),
}
"""It behaves as OpenLDAP does, so it says so."""


@dataclass(frozen=True, slots=True)
class Out:
    """One message to send; entries of the tree are marked, because the wire counts them to know when to go wrong."""

    octets: bytes
    is_entry: bool = False


@dataclass(frozen=True, slots=True)
class _Search:
    """A search request, taken apart."""

    start: str
    scope: int
    size_limit: int
    types_only: bool
    filter: Element
    names: tuple[str, ...]
    page_size: int | None
    cookie: bytes


class Session:
    """One client's conversation. `who` is the DN it has bound as."""

    def __init__(self, tree: Tree, bind_dn: str, password: str) -> None:
        self._tree, self._bind_dn, self._password = tree, bind_dn, password
        self.who = ""
        self._page = 0
        self._rest: dict[bytes, list[Entry]] = {}

    def answer(self, message: Element, wrong: Misbehaviour) -> Iterator[Out] | None:
        """Return the messages that answer one request; None when the client has said goodbye.

        Raises ValueError or LookupError when the request is malformed.
        """
        parts = message.parts()
        number, operation = parts[0].number(), parts[1]
        if operation.tag == UNBIND:
            return None
        if operation.tag == BIND:
            return iter([self._bind(number, operation, wrong)])
        if operation.tag == SEARCH:
            return self._search(number, operation, parts[2:], wrong)
        if operation.tag in _ANSWERS:
            code = _PROTOCOL if operation.tag == EXTENDED else _UNWILLING
            return iter([_result(number, _ANSWERS[operation.tag], code, text="The demo's directory can only be read.")])
        return iter(())  # Abandon has no answer; nothing runs that could be abandoned.

    def _bind(self, number: int, operation: Element, wrong: Misbehaviour) -> Out:
        _, name, proof = operation.parts()[:3]
        code = wrong.refuse_bind
        if not code and proof.tag != 0x80:
            code = 7  # authMethodNotSupported
        if not code and name.content and not proof.content:
            code = _UNWILLING  # a DN without a password proves nothing (RFC 4513 section 5.1.2)
        if not code and name.content and (fold(name.text()) != fold(self._bind_dn) or proof.text() != self._password):
            code = _CREDENTIALS
        self.who = "" if code else name.text()
        return _result(number, 0x61, code)

    def _search(self, number: int, operation: Element, controls: list[Element], wrong: Misbehaviour) -> Iterator[Out]:
        asked, refused = _take_apart(operation, controls)
        if refused:
            yield _result(number, DONE, refused)
        elif not asked.start and not asked.scope:
            yield Out(_entry(number, Entry("", ROOT_DSE), asked, wrong))
            yield _result(number, DONE)
        elif not self.who:
            yield _result(number, DONE, _RIGHTS, text="Bind first.")
        elif wrong.lie_about_base or self._tree.entry(asked.start) is None:
            matched = "" if wrong.lie_about_base else self._tree.nearest(asked.start)
            yield _result(number, DONE, _NO_SUCH_OBJECT, matched)
        elif asked.page_size is None:
            found = self._found(asked, wrong)
            limit = min(limit for limit in (asked.size_limit or len(found), wrong.size_limit, len(found)) if limit is not None)
            yield from (Out(_entry(number, entry, asked, wrong), is_entry=True) for entry in found[:limit])
            yield _result(number, DONE, _SIZE_LIMIT if limit < len(found) else wrong.result)
        else:
            yield from self._one_page(number, asked, asked.page_size, wrong)

    def _one_page(self, number: int, asked: _Search, size: int, wrong: Misbehaviour) -> Iterator[Out]:
        if asked.cookie and asked.cookie not in self._rest:
            yield _result(number, DONE, _UNWILLING, text="An unknown cookie.")
            return
        rest = self._rest.pop(asked.cookie) if asked.cookie else self._begin(asked, wrong)
        if not size:
            yield _result(number, DONE, paged=b"")
            return
        self._page += 1
        page, later = rest[:size], rest[size:]
        given = (self._page - 1) * size
        limited = wrong.size_limit is not None and given + len(page) > wrong.size_limit
        if limited:
            page = page[: max(0, (wrong.size_limit or 0) - given)]
        yield from (Out(_entry(number, entry, asked, wrong), is_entry=True) for entry in page)
        code = _SIZE_LIMIT if limited else wrong.result if self._page == wrong.on_page else _SUCCESS
        yield _result(number, DONE, code, paged=None if wrong.drop_paging else self._keep(rest if wrong.repeat_cookie else later, wrong))

    def _begin(self, asked: _Search, wrong: Misbehaviour) -> list[Entry]:
        self._page = 0
        return self._found(asked, wrong)

    def _keep(self, later: list[Entry], wrong: Misbehaviour) -> bytes:
        """Return the cookie under which the rest of a search is kept, empty when there is no rest."""
        if not later:
            return b""
        cookie = b"again" if wrong.repeat_cookie else b"%d" % self._page
        self._rest = {cookie: later}  # one paged search per connection, as with most servers
        return cookie

    def _found(self, asked: _Search, wrong: Misbehaviour) -> list[Entry]:
        whole = self._tree.under(asked.start) if asked.scope == _SUBTREE else self._level(asked)
        known = frozenset(name for name in self._tree.known if not wrong.hides(name))
        found = [entry for entry in whole if matches(asked.filter, entry.folded(), known)]
        return wrong.distort(found) if asked.scope else found

    def _level(self, asked: _Search) -> list[Entry]:
        """Return the entry itself (scope base) or those right below it (scope one)."""
        if not asked.scope:
            entry = self._tree.entry(asked.start)
            return [entry] if entry else []
        above = fold(asked.start)
        return [entry for entry in self._tree.under(asked.start) if fold(entry.dn).partition(",")[2] == above]


def _take_apart(operation: Element, controls: list[Element]) -> tuple[_Search, int]:
    """Return the request, and the result code with which to refuse it (0 = go on)."""
    parts = operation.parts()
    if len(parts) != 8:
        raise BadMessage("a malformed search")
    names = tuple(name.text().lower() for name in parts[7].parts())
    page_size, cookie, refused = None, b"", 0
    for control in (inner for outer in controls if outer.tag == 0xA0 for inner in outer.parts()):
        oid, *rest = control.parts()
        if oid.text() == _PAGED:
            value = next((part for part in rest if part.tag == OCTETS), Element(OCTETS, b""))
            size, token = [inner for outer in elements(value.content) for inner in outer.parts()]
            page_size, cookie = size.number(), token.content
        elif any(part.tag == BOOLEAN and part.content != b"\0" for part in rest):
            refused = _UNKNOWN_CONTROL
    types_only = parts[5].content != b"\0"
    return _Search(parts[0].text(), parts[1].number(), parts[3].number(), types_only, parts[6], names, page_size, cookie), refused


def _entry(number: int, entry: Entry, asked: _Search, wrong: Misbehaviour) -> bytes:
    everything = not asked.names or "*" in asked.names
    attributes = []
    for name, values in entry.attributes.items():
        key = name.lower()
        wanted = key in asked.names or ("+" in asked.names if key in OPERATIONAL else everything)
        if wanted and values and not wrong.hides(key):
            shown = () if asked.types_only else values
            attributes.append(encode(SEQUENCE, octets(name), encode(SET, *(octets(value) for value in shown))))
    return encode(SEQUENCE, integer(number), encode(ENTRY, octets(entry.dn), encode(SEQUENCE, *attributes)))


def _result(number: int, tag: int, code: int = _SUCCESS, matched: str = "", *, text: str = "", paged: bytes | None = None) -> Out:
    body = encode(tag, integer(code, ENUMERATED), octets(matched), octets(text))
    if paged is None:
        return Out(encode(SEQUENCE, integer(number), body))
    value = encode(SEQUENCE, integer(0), octets(paged))
    control = encode(SEQUENCE, octets(_PAGED), octets(value))
    return Out(encode(SEQUENCE, integer(number), body, encode(0xA0, control)))
