"""Who is in the groups that issue keys: asked of /Groups, which knows best; of the people's own entries where there is no /Groups."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import quote

import msgspec

from sync.errors import SourceError, SourceIncomplete, SourceRefused
from sync.sources.idset import IdSet
from sync.sources.scim.answers import Malformed, detail_of, lowered, read_object, value_of
from sync.sources.scim.discovery import Features
from sync.sources.scim.line import Line
from sync.sources.scim.mapping import id_of
from sync.sources.scim.paging import Walk

MOST_GROUPS = 10_000
"""Groups that are opened to find who is in one that issues keys, those inside it included."""
_ABSENT = ("endpoint_not_found", "provider_refused", "insufficient_access")


@dataclass(frozen=True, slots=True)
class _Group:
    """The ids of people and groups in a group; `listed` = whether it has a list of members at all."""

    people: frozenset[str]
    inside: frozenset[str]
    listed: bool


class Roster:
    """Who is in the issuing groups. `members` = {group as the policies call it: ids}, for those that /Groups shows; `called` = {id or display
    name: groups as the policies call them}; `silent` = those whose members, or some of them, are not listed: people may say so themselves."""

    def __init__(
        self, members: dict[str, frozenset[str]], called: dict[str, frozenset[str]], silent: frozenset[str] = frozenset(), *, asked: bool = True
    ) -> None:
        self.members, self._called, self._silent, self._asked = members, called, silent, asked
        self._said: dict[str, int] = {}

    @property
    def tells_all(self) -> bool:
        """Whether /Groups alone says who is in the issuing groups, so that a change of one can be noticed there."""
        return self._asked and not self._silent

    def groups_of(self, external_id: str, said: list[str]) -> list[str]:
        """Return the issuing groups of a person, given what the person's own entry says (ids and display names of groups)."""
        found = {group for group, ids in self.members.items() if external_id in ids}
        if not self.tells_all:
            called = {group for one in said for group in self._called.get(one, ()) if not self._asked or group in self._silent}
            for group in called - found:
                self._said[group] = self._said.get(group, 0) + 1
            found |= called
        return list(found)

    def found(self) -> dict[str, int | None]:
        """Return the issuing groups that the provider shows, with how many people were seen in each."""
        return {group: len(self.members.get(group, ())) + self._said.get(group, 0) for group in self.members.keys() | self._said.keys()}


def read_roster(line: Line, issuing: Sequence[str], page_size: int, features: Features) -> Roster:
    """Find the issuing groups by id or display name, and open each. Raises SourceError."""
    as_written = {group: frozenset((group,)) for group in issuing}
    ids = _look_for(line, frozenset(issuing), page_size, features) if issuing else {}
    if ids is None:
        return Roster({}, as_written, asked=False)
    opened = _Opener(line)
    called, members, silent = dict(as_written), dict[str, frozenset[str]](), set[str]()
    for group, found in ids.items():
        people = [opened.people_of(one) for one in found]
        members[group] = frozenset().union(*(ids for ids, _ in people))
        if not all(complete for _, complete in people):
            silent.add(group)
        for one in found:
            called[one] = called.get(one, frozenset()) | {group}
    return Roster(members, called, frozenset(silent))


def _look_for(line: Line, issuing: frozenset[str], page_size: int, features: Features) -> dict[str, list[str]] | None:
    """Return {issuing group: ids of the groups that are meant}, None where there is no /Groups."""
    for query in ({"excludedAttributes": "members"}, {}):  # not everybody takes that parameter
        try:
            return _find(Walk(line, "Groups", page_size, features, query), issuing)
        except SourceRefused as error:
            if error.code not in _ABSENT:
                raise
    return None


def _find(walk: Walk, issuing: frozenset[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    met = IdSet()

    def take(resources: list[msgspec.Raw]) -> tuple[int, int]:
        named = new = 0
        for raw in resources:
            told = _object(raw)
            external_id = id_of(told)
            named += external_id is not None
            if external_id is None or not met.add(external_id):
                continue
            new += 1
            for group in issuing.intersection((external_id, _text(told.get("displayname")))):
                found.setdefault(group, []).append(external_id)
        return named, new

    for _ in walk.pages_of(take):
        pass
    return found


class _Opener:
    """Opens groups, and the groups inside them, each once."""

    def __init__(self, line: Line) -> None:
        self._line = line
        self._opened: dict[str, _Group] = {}

    def people_of(self, group: str) -> tuple[set[str], bool]:
        """Return (ids of all who are in a group, directly or through others; whether each of these groups lists its members)."""
        people, waiting, met, complete = set[str](), [group], {group}, True
        while waiting:
            opened = self._open(waiting.pop())
            people |= opened.people
            complete = complete and opened.listed
            waiting += opened.inside - met
            met |= opened.inside
        return people, complete

    def _open(self, group: str) -> _Group:
        if group not in self._opened:
            if len(self._opened) >= MOST_GROUPS:
                raise SourceIncomplete("too_many_groups", f"More than {MOST_GROUPS:,} groups stand in issuing ones.", "Name other groups.")
            self._opened[group] = self._read(group)
        return self._opened[group]

    def _read(self, group: str) -> _Group:
        answer = self._line.ask(f"Groups/{quote(group, safe='')}")
        if answer.status != 200:
            said = f"{answer.url} answered {answer.status} {detail_of(answer.body)}".strip()
            raise SourceIncomplete("group_unreadable", f"{said}, though the list of groups shows it.", "The next run tries again.")
        try:
            told = read_object(answer.body)
            listed = value_of(told.get("members"))
        except Malformed as malformed:
            raise _malformed(answer.url, str(malformed)) from None
        if listed is not None and not isinstance(listed, list):
            raise _malformed(answer.url, "has members that are no list")
        people, inside = set[str](), set[str]()
        for one in map(lowered, listed or ()):
            value = one.get("value")
            if isinstance(value, int | str) and not isinstance(value, bool):
                (inside if _is_group(one) else people).add(str(value))
        return _Group(frozenset(people), frozenset(inside), listed is not None)


def _is_group(told: object) -> bool:
    inner = lowered(told)
    kind, where = inner.get("type"), inner.get("$ref")
    return (isinstance(kind, str) and kind.lower() == "group") or (isinstance(where, str) and "/groups/" in where.lower())


def _object(raw: msgspec.Raw) -> dict[str, msgspec.Raw]:
    try:
        return read_object(raw)
    except Malformed:
        return {}


def _text(raw: msgspec.Raw | None) -> str:
    try:
        value = value_of(raw)
    except Malformed:
        return ""
    return value.strip() if isinstance(value, str) else ""


def _malformed(url: str, why: str) -> SourceError:
    return SourceIncomplete("malformed_answer", f"{url}: the answer {why}.", "See the provider's own log.")
