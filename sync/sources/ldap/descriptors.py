"""What the bind account may see on a domain controller, by the security descriptors of the entries themselves (MS-DTYP section 2.4.6)."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass

from sync.sources.ldap.ber import Entry
from sync.sources.ldap.connection import Line, Search
from sync.sources.ldap.filters import ANYTHING, any_of, equals
from sync.sources.ldap.root import Root

LIST, READ = 0x04, 0x10
"""ADS_RIGHT_ACTRL_DS_LIST: to see that the entries right below are there; ADS_RIGHT_DS_READ_PROP: to read attributes (MS-ADTS section 5.1.3.2)."""

_DACL_ONLY = ("1.2.840.113556.1.4.801", True, b"\x30\x03\x02\x01\x04")
_ALLOW, _DENY, _ALLOW_OBJECT, _DENY_OBJECT = 0x00, 0x01, 0x05, 0x06
_CONDITIONAL_DENIALS = {0x0A: _DENY, 0x0C: _DENY_OBJECT}
"""Whether their condition holds cannot be told; as denials they are believed, conditional grants are not."""
_EVERYBODYS = {bytes.fromhex(sid) for sid in ("010100000000000100000000", "010100000000000502000000", "01010000000000050b000000")}
"""Everyone, Network, Authenticated Users (MS-DTYP section 2.4.2.4): whoever is bound is these, whether the root DSE says so or not."""
_INHERIT_ONLY = 0x08
_HAS_KIND, _HAS_INHERITOR = 1, 2
_CONFIDENTIAL = 0x80
_MENTIONED = re.compile(r"\(\s*([A-Za-z0-9.;-]+)\s*(?:[:~<>]|=)")


@dataclass(frozen=True, slots=True)
class _Ace:
    """One entry of an access list: `kind` = the attribute or property set that it is about, b"" = the whole entry."""

    denies: bool
    mask: int
    kind: bytes
    sid: bytes


def grants(descriptor: bytes, sids: Collection[bytes], right: int, kinds: Collection[bytes] = ()) -> bool:
    """Tell whether a self-relative descriptor grants a right to whoever has these SIDs; `kinds` = the GUIDs of an attribute and its property set.

    The first entry that speaks of the right decides (MS-DTYP section 2.5.3.2). What cannot be read grants nothing.
    """
    try:
        for ace in _entries(descriptor):
            if ace.mask & right and ace.sid in sids and (not ace.kind or ace.kind in kinds):
                return not ace.denies
    except (struct.error, IndexError):
        return False
    return False


def _entries(descriptor: bytes) -> Iterator[_Ace]:
    (start,) = struct.unpack_from("<I", descriptor, 16)
    if not start:
        return
    _, _, _, count, _ = struct.unpack_from("<BBHHH", descriptor, start)
    at = start + 8
    for _ in range(count):
        kind, flags, size = struct.unpack_from("<BBH", descriptor, at)
        if size < 8 or at + size > len(descriptor):
            raise struct.error("an entry is cut off")
        kind = _CONDITIONAL_DENIALS.get(kind, kind)
        if not flags & _INHERIT_ONLY and kind in (_ALLOW, _DENY, _ALLOW_OBJECT, _DENY_OBJECT):
            yield _ace(kind, descriptor[at + 4 : at + size])
        at += size


def _ace(kind: int, body: bytes) -> _Ace:
    (mask,) = struct.unpack_from("<I", body)
    at, about = 4, b""
    if kind in (_ALLOW_OBJECT, _DENY_OBJECT):
        (present,) = struct.unpack_from("<I", body, at)
        at += 4
        if present & _HAS_KIND:
            about, at = body[at : at + 16], at + 16
        at += 16 if present & _HAS_INHERITOR else 0
    return _Ace(kind in (_DENY, _DENY_OBJECT), mask, about, body[at : at + 8 + 4 * body[at + 1]])


class Sight:
    """Tells what the bind account may see. Whatever cannot be found out is not seen. Methods raise SourceUnavailable.

    An entry is visible to whoever may list the contents of the one above; a value that may not be read counts as not there, in answers
    and in filters (MS-ADTS section 3.1.1.4.3).
    """

    def __init__(self, line: Callable[[], Line], root: Root) -> None:
        self._line, self._root = line, root
        self._sids: frozenset[bytes] | None = None
        self._kinds: dict[str, tuple[bytes, ...]] = {}
        self._lists: dict[str, bool] = {}

    def lists(self, dn: str) -> bool:
        """Tell whether the account sees every entry that stands right below `dn`, whatever that entry's own rights are."""
        if dn not in self._lists:
            self._lists[dn] = grants(self._descriptor(dn), self._own_sids(), LIST)
        return self._lists[dn]

    def reads(self, dn: str, attributes: Iterable[str]) -> bool:
        """Tell whether the account may read all of these attributes of one entry, so that one that is not shown is not set."""
        descriptor, wanted = self._descriptor(dn), [attribute.lower() for attribute in attributes]
        self._learn(name for name in wanted if name not in self._kinds)
        return all(self._kinds.get(name) and grants(descriptor, self._own_sids(), READ, self._kinds[name]) for name in wanted)

    def is_own(self, entry: Entry) -> bool:
        """Tell whether an entry that was asked for its objectSid is the bind account's own, or a group's that it is in."""
        return not self._own_sids().isdisjoint(entry.attributes.get("objectsid", ()))

    def _descriptor(self, dn: str) -> bytes:
        entries, _ = self._line().fetch(Search(dn, ANYTHING, ["nTSecurityDescriptor"], scope="entry", controls=(_DACL_ONLY,)))
        return _first(entries, "ntsecuritydescriptor")

    def _own_sids(self) -> frozenset[bytes]:
        """Return the SIDs of the bind account and of whatever it is in: the root DSE tells (MS-ADTS section 3.1.1.3.2)."""
        if self._sids is None:
            entries, _ = self._line().fetch(Search("", ANYTHING, ["tokenGroups"], scope="entry"))
            told = {sid for entry in entries for sid in entry.attributes.get("tokengroups", ())}
            self._sids = frozenset(told | _EVERYBODYS if self._line().bound_as else told)
        return self._sids

    def _learn(self, names: Iterable[str]) -> None:
        """Look up by which GUIDs access lists call attributes; confidential ones need more than the right to read, and stay unknown."""
        wanted = [equals("lDAPDisplayName", name) for name in dict.fromkeys(names)]
        schema = "".join(self._root["schemanamingcontext"])
        if not wanted or not schema:
            return
        asked = Search(schema, any_of(wanted), ["lDAPDisplayName", "schemaIDGUID", "attributeSecurityGUID", "searchFlags"])
        for entry in self._line().fetch(asked)[0]:
            flags = "".join(entry.texts("searchflags")) or "0"
            if flags.lstrip("-").isdecimal() and not int(flags) & _CONFIDENTIAL:
                kinds = (*entry.attributes.get("schemaidguid", ()), *entry.attributes.get("attributesecurityguid", ()))
                self._kinds.update((name.lower(), kinds) for name in entry.texts("ldapdisplayname"))


def attributes_of(filter_text: str) -> list[str]:
    """Return the attributes that a filter (RFC 4515, in brackets) speaks of. An escaped bracket is no bracket."""
    return list(dict.fromkeys(name.partition(";")[0].lower() for name in _MENTIONED.findall(filter_text)))


def _first(entries: Iterable[Entry], key: str) -> bytes:
    return next((value for entry in entries for value in entry.attributes.get(key, ())), b"")
