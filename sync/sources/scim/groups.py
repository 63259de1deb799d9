"""Who is in the groups that issue keys: asked of /Groups, which knows best; of the people's own entries where there is no /Groups."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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


class Roster:
    """Who is in the issuing groups. `members` = {group as the policies call it: ids}, for those that /Groups shows."""

    def __init__(self, issuing: Sequence[str], members: dict[str, frozenset[str]], asked: bool) -> None:
        self._issuing = frozenset(issuing)
        self.members = members
        self.asked = asked
        """Whether /Groups answered; else people are in the groups that their own entries name."""
        self._said: dict[str, int] = {}

    def groups_of(self, external_id: str, said: list[str]) -> list[str]:
        """Return the issuing groups of a person, given what the person's own entry says."""
        if self.asked:
            return [group for group, ids in self.members.items() if external_id in ids]
        found = list(self._issuing.intersection(said))
        for group in found:
            self._said[group] = self._said.get(group, 0) + 1
        return found

    def found(self) -> dict[str, int | None]:
        """Return the issuing groups that the provider shows, with how many are in each."""
        if self.asked:
            return {group: len(ids) for group, ids in self.members.items()}
        return dict(self._said)


def read_roster(line: Line, issuing: Sequence[str], page_size: int, features: Features) -> Roster:
    """Find the issuing groups by id or display name, and open each. Raises SourceError."""
    if not issuing:
        return Roster((), {}, asked=False)
    ids = _look_for(line, frozenset(issuing), page_size, features)
    if ids is None:
        return Roster(issuing, {}, asked=False)
    opened = _Opener(line)
    members = {group: frozenset(person for one in found for person in opened.people_of(one)) for group, found in ids.items()}
    return Roster(issuing, members, asked=True)


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
        new = named = 0
        for raw in resources:
            told = _object(raw)
            external_id = id_of(told)
            named += external_id is not None
            if not met.add(external_id or bytes(raw).hex()):
                continue
            new += 1
            names = {external_id, _text(told.get("displayname"))}
            for group in issuing.intersection(name for name in names if name) if external_id else ():
                found.setdefault(group, []).append(str(external_id))
        return new, named

    for _ in walk.pages_of(take):
        pass
    return found


class _Opener:
    """Opens groups, and the groups inside them, each once."""

    def __init__(self, line: Line) -> None:
        self._line = line
        self._opened: dict[str, tuple[frozenset[str], frozenset[str]]] = {}

    def people_of(self, group: str) -> Iterator[str]:
        """Yield the ids of all who are in a group, directly or through others."""
        waiting, met = [group], {group}
        while waiting:
            people, inside = self._open(waiting.pop())
            yield from people
            waiting += inside - met
            met |= inside

    def _open(self, group: str) -> tuple[frozenset[str], frozenset[str]]:
        """Return (ids of people, ids of groups) that a group lists."""
        if group not in self._opened:
            if len(self._opened) >= MOST_GROUPS:
                raise SourceIncomplete("too_many_groups", f"More than {MOST_GROUPS:,} groups stand in issuing ones.", "Name other groups.")
            self._opened[group] = self._read(group)
        return self._opened[group]

    def _read(self, group: str) -> tuple[frozenset[str], frozenset[str]]:
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
        return frozenset(people), frozenset(inside)


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
