"""What the bind account may see and do, for `rosterd check`: asked of the directory, never tried out."""

from __future__ import annotations

import shlex
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sync.directory import Person
from sync.sources.ldap import translate
from sync.sources.ldap.connection import Line, Search
from sync.sources.ldap.controllers import judge_domain_rights
from sync.sources.ldap.dialect import Dialect
from sync.sources.ldap.dn import MalformedDn, parent_of, same_dn
from sync.sources.ldap.filters import ANYTHING, any_of, both, negation
from sync.sources.ldap.mapping import Mapper
from sync.sources.ldap.root import Root
from sync.sources.probed import Probed

_HASHES = "userPassword"


def judge_rights(line: Line, dialect: Dialect, mapper: Mapper, root: Root, first: Person | None) -> Iterator[Probed]:
    """Yield what the account may not see, and what it may do that it need not. `first` is anybody who was read. Raises SourceError."""
    if first is None:
        return
    if dialect.vendor.descriptors:
        yield from judge_domain_rights(line, dialect, mapper, root, first)
        return
    yield from _judge_sight(line, dialect, mapper)
    yield from _judge_departures(line, dialect, first)
    if not dialect.vendor.rights:
        yield _leave_writing_open(line, dialect, first)
        return
    told = _effective_rights(line, dialect, [*mapper.attributes, _HASHES], first.place)
    if told is None:
        yield Probed("writing", True, "the directory does not tell this account what it may do: see that it may change nothing")
        return
    yield from _judge_reading(told, mapper)
    yield _judge_writing(told)


def _judge_sight(line: Line, dialect: Dialect, mapper: Mapper) -> Iterator[Probed]:
    """Tell which attributes the account may not search: what is hidden looks the same as what is not set."""
    state = mapper.state_attributes[1:]
    hidden = [name for name in mapper.attributes[1:] if not _may_search(line, dialect, name)]
    locks = [name for name in hidden if name in state]
    others = [name for name in hidden if name not in state]
    why = "or the server does not know them"
    if locks:
        detail = f"the bind account may not search {', '.join(locks)}, {why}: nobody would ever be disabled or expire by them"
        yield Probed("rights", True, detail, "Let the account read and search them, unless nobody uses them.")
    if others:
        detail = f"the bind account may not search {', '.join(others)}, {why}: what is hidden looks the same as what is not set"
        yield Probed("sight", True, detail, "Let the account read and search them, or leave them out of [source.attributes].")


def _may_search(line: Line, dialect: Dialect, name: str) -> bool:
    """Tell whether the attribute is either set or not set for anybody: of a hidden one neither is true (RFC 4511 section 4.5.1.7)."""
    present = f"({name}=*)"
    asked = Search(line.settings.bases[0], both(dialect.filter, any_of([present, negation(present)])), ["1.1"], page_size=1)
    return bool(line.fetch(asked)[0])


def _judge_departures(line: Line, dialect: Dialect, first: Person) -> Iterator[Probed]:
    """Tell whether the server says plainly that nothing stands at a name below the bases and beside `first`: absence is proven by that."""
    silent = []
    places = [*line.settings.bases, _parent(first.place)]
    for place in dict.fromkeys(place for place in places if place):
        asked = Search(f"cn={uuid.uuid4()},{place}", ANYTHING, ["1.1"], scope="entry")
        _, done = line.fetch(asked)
        if done.code != 32 or not same_dn(done.matched, place):
            silent.append(f"{place} ({translate.result_name(done.code)})")
    if silent:
        detail = f"the directory does not say plainly that an entry is not there below {', '.join(silent)}: whoever is deleted stays, as unproven"
        yield Probed("departures", True, detail, dialect.vendor.discloses.format(account=line.bound_as or "anyone"))
        return
    graves = ", by a tombstone where the account may see one" if dialect.vendor.tombstones else ""
    yield Probed("departures", True, f"the directory says plainly that an entry is not there{graves}: departures can be proven")


def _leave_writing_open(line: Line, dialect: Dialect, first: Person) -> Probed:
    """Say that only an administrator can tell what the account may change: to find out from here would take a write, if only one meant to fail."""
    why = f"{dialect.vendor.name} does not tell what an account may change, and rosterd never tries: see that this one may change nothing"
    if dialect.vendor.acl_tool and line.bound_as:
        command = dialect.vendor.acl_tool.format(account=shlex.quote(line.bound_as), place=shlex.quote(first.place))
        why += f" (on the server, `{command}` tells)"
    return Probed("writing", True, why)


@dataclass(frozen=True, slots=True)
class _Told:
    """What the directory says the account may do with one entry: letters by attribute, letters for the entry itself."""

    place: str
    attributes: dict[str, str]
    entry: str


def _effective_rights(line: Line, dialect: Dialect, names: Sequence[str], place: str) -> _Told | None:
    bind_dn = line.bound_as
    control = (dialect.vendor.rights, True, f"dn:{bind_dn}".encode())
    entries, done = line.fetch(Search(place, ANYTHING, names, scope="entry", controls=(control,)))
    if done.code or not entries:
        return None
    pairs = [pair.strip().partition(":") for text in entries[0].texts("attributelevelrights") for pair in text.split(",")]
    return _Told(place, {name: letters for name, _, letters in pairs}, "".join(entries[0].texts("entrylevelrights")))


def _judge_reading(told: _Told, mapper: Mapper) -> Iterator[Probed]:
    """Letters that lack r are a hidden value; "none" at all may only mean that the class of the entry has no such attribute."""
    blind = [name for name in mapper.attributes if "r" not in told.attributes.get(name, "r") and told.attributes[name] != "none"]
    if blind:
        detail = f"the bind account may search {', '.join(blind)} of {told.place}, but not read it"
        yield Probed("reading", True, detail, "Let the account read it, or leave it out of [source.attributes].")
    if told.attributes.get(_HASHES, "none") != "none" and "r" in told.attributes[_HASHES]:
        yield Probed("passwords", True, "the bind account may read userPassword, which is never asked for", "Take that right away.")


def _judge_writing(told: _Told) -> Probed:
    writable = [name for name, letters in told.attributes.items() if letters != "none" and set(letters) & {"w", "o"}]
    letters_of_entry = "" if told.entry == "none" else told.entry
    acts = [act for letter, act in (("a", "add entries below"), ("d", "delete"), ("n", "rename")) if letter in letters_of_entry]
    if not writable and not acts:
        return Probed("writing", True, f"the bind account may change nothing of {told.place}")
    may = [*acts, *([f"change {', '.join(writable)} of"] if writable else [])]
    return Probed("writing", True, f"the bind account may {' and '.join(may)} {told.place}", "Take that away: rosterd only ever reads.")


def _parent(place: str) -> str:
    try:
        return parent_of(place)
    except MalformedDn:
        return ""
