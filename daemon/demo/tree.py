"""A small directory in memory: entries under one suffix, memberOf kept by itself, safe to change while it is being read."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from daemon.demo.filters import fold

SUFFIX = "dc=example,dc=com"
PEOPLE = f"ou=people,{SUFFIX}"
GROUPS = f"ou=groups,{SUFFIX}"
OPERATIONAL = frozenset({"entryuuid", "memberof", "pwdaccountlockedtime", "createtimestamp", "modifytimestamp"})
"""Attributes that are shown only to those who ask for them by name, or for "+"."""
LOCKED = "000001010000Z"
"""pwdAccountLockedTime of somebody whom an administrator has locked for good (slapo-ppolicy(5))."""

_SCHEMA = OPERATIONAL | {
    "objectclass",
    "uid",
    "cn",
    "sn",
    "givenname",
    "displayname",
    "mail",
    "title",
    "c",
    "ou",
    "o",
    "dc",
    "member",
    "shadowexpire",
}


@dataclass(frozen=True, slots=True)
class Entry:
    """One record: its DN, and its values by attribute name."""

    dn: str
    attributes: dict[str, tuple[str, ...]]

    def folded(self) -> dict[str, tuple[str, ...]]:
        """Return the values by lower-case attribute name."""
        return {name.lower(): values for name, values in self.attributes.items()}


Values = str | Sequence[str] | None


class Tree:
    """Entries by DN. Every method may be called from any thread."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._entries: dict[str, Entry] = {}
        self.known = frozenset(_SCHEMA)
        self.add(SUFFIX, objectClass=("top", "dcObject", "organization"), o="Example", dc="example")
        self.add(PEOPLE, objectClass=("top", "organizationalUnit"), ou="people")
        self.add(GROUPS, objectClass=("top", "organizationalUnit"), ou="groups")

    def add(self, dn: str, **attributes: Values) -> str:
        """Add an entry, or put it in the place of another; return its DN. Without an entryUUID it is given a new one."""
        values = {name: _tuple(value) for name, value in attributes.items() if value is not None}
        values.setdefault("entryUUID", (str(uuid.uuid4()),))
        with self._lock:
            self._entries[fold(dn)] = Entry(dn, values)
            self.known |= {name.lower() for name in values}
        return dn

    def add_person(self, uid: str, **attributes: Values) -> str:
        """Add one inetOrgPerson below ou=people (attributes override the defaults, None leaves one out); return the DN."""
        person: dict[str, Values] = {"objectClass": ("top", "inetOrgPerson"), "uid": uid, "cn": uid.title(), "sn": uid.title()}
        person |= {"displayName": uid.title(), "mail": f"{uid}@example.com"} | attributes
        return self.add(f"uid={uid},{PEOPLE}", **person)

    def add_group(self, name: str, members: Sequence[str]) -> str:
        """Add a groupOfNames below ou=groups; return the DN."""
        return self.add(f"cn={name},{GROUPS}", objectClass=("top", "groupOfNames"), cn=name, member=members)

    def modify(self, dn: str, **changes: Values) -> None:
        """Replace attributes; None or [] takes one away. KeyError if there is no such entry."""
        with self._lock:
            entry = self._entries[fold(dn)]
            values = entry.attributes | {name: _tuple(value or ()) for name, value in changes.items()}
            self._entries[fold(dn)] = replace(entry, attributes={name: value for name, value in values.items() if value})
            self.known |= {name.lower() for name in values}

    def move(self, dn: str, new_dn: str) -> str:
        """Rename or move an entry; its id stays, the groups that list it follow. Returns the new DN."""
        with self._lock:
            entry = self._entries.pop(fold(dn))
            self._entries[fold(new_dn)] = replace(entry, dn=new_dn)
            self._relist(dn, (new_dn,))
        return new_dn

    def delete(self, *dns: str) -> None:
        """Take entries out; the groups that list them forget them."""
        with self._lock:
            for dn in dns:
                del self._entries[fold(dn)]
                self._relist(dn, ())

    def id_of(self, dn: str) -> str:
        """Return the entryUUID of an entry."""
        return self._entries[fold(dn)].attributes["entryUUID"][0]

    def entry(self, dn: str) -> Entry | None:
        """Return one entry with its memberOf, None if it is not there."""
        with self._lock:
            found = self._entries.get(fold(dn))
            return found and next(self._with_groups([found]))

    def under(self, dn: str) -> list[Entry]:
        """Return the entry `dn` and all below it, as they are now."""
        above = fold(dn)
        with self._lock:
            return list(self._with_groups([entry for key, entry in self._entries.items() if key == above or key.endswith("," + above)]))

    def nearest(self, dn: str) -> str:
        """Return the DN of the nearest entry above `dn` that exists, "" if there is none."""
        with self._lock:
            while dn:
                dn = dn.partition(",")[2]
                if fold(dn) in self._entries:
                    return self._entries[fold(dn)].dn
        return ""

    def _with_groups(self, entries: Sequence[Entry]) -> Iterator[Entry]:
        groups: dict[str, list[str]] = {}
        for entry in self._entries.values():
            for member in entry.attributes.get("member", ()):
                groups.setdefault(fold(member), []).append(entry.dn)
        for entry in entries:
            of = groups.get(fold(entry.dn))
            yield replace(entry, attributes=entry.attributes | {"memberOf": tuple(of)}) if of else entry

    def _relist(self, dn: str, instead: tuple[str, ...]) -> None:
        for key, entry in list(self._entries.items()):
            members = entry.attributes.get("member", ())
            if any(fold(member) == fold(dn) for member in members):
                kept = tuple(new for member in members for new in (instead if fold(member) == fold(dn) else (member,)))
                self._entries[key] = replace(entry, attributes=entry.attributes | {"member": kept})


def _tuple(value: Values) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(value or ())
