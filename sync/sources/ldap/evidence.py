"""What became of people a complete read did not show: evidence that they left, or nothing provable (rule 1)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice

from sync.directory import Absent, Finding
from sync.sources.ldap import translate
from sync.sources.ldap.ber import Done, Entry
from sync.sources.ldap.connection import Line, Search
from sync.sources.ldap.descriptors import Sight, attributes_of
from sync.sources.ldap.dialect import Dialect
from sync.sources.ldap.dn import above, is_under, same_dn
from sync.sources.ldap.filters import ANYTHING, both, negation
from sync.sources.ldap.root import Root

AT_ONCE = 100
"""People in one OR filter."""


@dataclass(slots=True)
class _Sighting:
    """What searches by id brought: where each id stands now, where was looked, and what stood in the way."""

    places: dict[str, list[str]] = field(default_factory=dict)
    looked: list[str] = field(default_factory=list)
    failed: str = ""


class Inquiry:
    """Asks one server about absent people, a batch at a time. Refusals make people unproven; only a broken connection raises."""

    def __init__(self, bases: Sequence[str], line: Callable[[], Line], root: Callable[[Line], Root], dialect: Dialect) -> None:
        self._bases, self._line, self._root, self._words = bases, line, root, dialect
        self._id = dialect.id
        self._sight = Sight(line, root(line())) if dialect.vendor.descriptors else None

    def findings(self, absent: Iterable[Absent]) -> Iterator[Finding]:
        """Yield one finding for each. Raises SourceUnavailable."""
        waiting = iter(absent)
        while batch := list(islice(waiting, AT_ONCE)):
            yield from self._batch(batch)

    def _batch(self, batch: list[Absent]) -> Iterator[Finding]:
        ids = [person.external_id for person in batch]
        sighting = self._look_for(ids)
        inside = [one for one in ids if any(self._is_inside(dn) for dn in sighting.places.get(one, ()))]
        matching = self._which(inside, self._words.filter)
        outside_filter = self._which(inside, negation(self._words.filter))
        buried = self._look_for_tombstones([one for one in ids if not sighting.places.get(one)], sighting)
        for person in batch:
            places = sighting.places.get(person.external_id, [])
            if person.external_id in inside:
                yield self._inside(person, places, matching, outside_filter)
            elif places:
                yield self._outside(person, places[0])
            elif person.external_id in buried:
                where = f"{self._named(person)} was found among what was deleted: {buried[person.external_id]}"
                yield Finding(person.external_id, "departed", "was deleted from the directory", where)
            elif sighting.failed:
                yield _unproven(person, f"the directory could not be searched for the id: {sighting.failed}")
            else:
                yield self._ask_place(person, sighting.looked)

    def _named(self, person: Absent) -> str:
        return f"{self._id}={self._words.written(person.external_id)}"

    def _ids_of(self, entry: Entry) -> list[str]:
        return [one for one in self._words.ids_of(entry) if one is not None]

    def _is_inside(self, dn: str) -> bool:
        return any(is_under(dn, base) for base in self._bases) and not self._words.sets_aside(dn)

    def _look_for(self, ids: list[str]) -> _Sighting:
        """Search for ids as widely as the server lets us: the naming contexts above the bases, else the bases."""
        sighting = _Sighting()
        line = self._line()
        contexts = self._root(line).contexts
        for base in self._bases:
            above = next((context for context in contexts if is_under(base, context)), base)
            for place in dict.fromkeys([above, base]):
                if any(is_under(place, looked) for looked in sighting.looked):
                    break
                done = self._search_ids(place, ids, sighting)
                if done.code == 0:
                    sighting.looked.append(place)
                    break
            else:
                sighting.failed = f"{base}: {translate.result_name(done.code)}"
        return sighting

    def _look_for_tombstones(self, ids: list[str], sighting: _Sighting) -> dict[str, str]:
        """Return where the deleted entries of these ids lie; nothing where the vendor keeps none or the account may see none."""
        found: dict[str, str] = {}
        if ids and self._words.vendor.tombstones:
            for place in sighting.looked:
                vendor = self._words.vendor
                shown = ((vendor.shows_deleted, True, None),) if vendor.shows_deleted else ()
                asked = Search(place, both(vendor.tombstones, self._words.with_ids(ids)), [self._id], controls=shown)
                self._line().search(asked, lambda entry: found.update((one, entry.dn) for one in self._ids_of(entry)))
        return found

    def _search_ids(self, place: str, ids: list[str], sighting: _Sighting) -> Done:
        def take(entry: Entry) -> None:
            for one in self._ids_of(entry):
                sighting.places.setdefault(one, []).append(entry.dn)

        return self._line().search(Search(place, self._words.with_ids(ids), [self._id]), take)

    def _which(self, ids: list[str], filter_text: str) -> frozenset[str]:
        """Return those of the ids that stand under the bases and match `filter_text`."""
        found: set[str] = set()
        if ids:
            for base in self._bases:
                asked = Search(base, both(filter_text, self._words.with_ids(ids)), [self._id])
                self._line().search(asked, lambda entry: found.update(self._ids_of(entry)))
        return frozenset(found)

    def _outside(self, person: Absent, place: str) -> Finding:
        where = f"{self._named(person)} was found at {place}, which is "
        if self._words.sets_aside(place):
            return Finding(person.external_id, "departed", "was set aside by the directory", f"{where}where it keeps deleted and staged entries")
        where += f"not under {' or '.join(self._bases)}"
        return Finding(person.external_id, "departed", "stands outside the base now", where)

    def _inside(self, person: Absent, places: list[str], matching: frozenset[str], outside_filter: frozenset[str]) -> Finding:
        """Judge somebody who stands under a base but was not read: does the filter leave them out, or are attributes of theirs hidden?"""
        where = f"{self._named(person)} was found at {places[0]}"
        if person.external_id in matching:
            return _unproven(person, "the directory contradicts itself: it shows the entry now, but did not while it was read", where)
        if person.external_id in outside_filter and self._may_judge(places[0]):
            said = f"{where}; it does not match {self._words.filter}, it matches its negation"
            return Finding(person.external_id, "departed", "no longer matches the filter", said)
        return _unproven(person, "the entry is there, but what the filter asks for is hidden from the bind account", where)

    def _ask_place(self, person: Absent, looked: list[str]) -> Finding:
        """Judge somebody whom no search finds by the place where they last stood: only a server that says what it
        knows above that place proves that it hides nothing there."""
        if not person.place:
            return _unproven(person, "the place where the entry last stood is not known")
        entries, done = self._line().fetch(Search(person.place, ANYTHING, [self._id], scope="entry"))
        asked = f"no {self._named(person)} under {' or '.join(looked)}; asked for {person.place}: {translate.result_name(done.code)}"
        if done.code == 32 and self._sight:
            return self._ask_above(person, self._sight, asked)
        if done.code == 32 and done.matched and is_under(person.place, done.matched) and not same_dn(person.place, done.matched):
            return Finding(person.external_id, "departed", "is gone from the directory", f"{asked}, the nearest entry is {done.matched}")
        if done.code == 32:
            return _unproven(person, "the directory says that there is no such entry, but it says the same of entries that it hides", asked)
        if done.code:
            return _unproven(person, "the directory does not let the bind account see the place where the entry last stood", asked)
        return self._judge_occupant(person, entries, asked)

    def _may_judge(self, place: str) -> bool:
        """Tell whether a negation of the filter that matches means what it says, where hidden values count as none."""
        return self._sight is None or self._sight.reads(place, attributes_of(self._words.filter))

    def _ask_above(self, person: Absent, sight: Sight, asked: str) -> Finding:
        """Judge by the nearest entry above that is shown: if the account sees whatever stands right below that, the rest of the way is gone."""
        place = above(person.place)
        while place:
            entries, done = self._line().fetch(Search(place, ANYTHING, ["1.1"], scope="entry"))
            if done.code == 0 and entries and sight.lists(place):
                said = f"{asked}; the bind account may list whatever stands below {place}"
                return Finding(person.external_id, "departed", "is gone from the directory", said)
            if done.code != 32:
                break
            place = above(place)
        where = place or "the top of the directory"
        return _unproven(person, f"the bind account may not list what stands below {where}, and hidden entries look like none there", asked)

    def _judge_occupant(self, person: Absent, entries: list[Entry], asked: str) -> Finding:
        ids = {one for entry in entries for one in self._ids_of(entry)}
        if not entries:
            return _unproven(person, "the directory neither shows the place where the entry last stood nor says that nothing is there", asked)
        if not ids:
            return _unproven(person, f"an entry stands where this one last stood, but its {self._id} is hidden from the bind account", asked)
        if person.external_id in ids:
            return _unproven(person, "the directory contradicts itself: it shows the entry by its name, but not when searched", asked)
        other = ", ".join(sorted(map(self._words.written, ids)))
        return Finding(person.external_id, "departed", "another entry stands in its place", f"{asked}, but its {self._id} is {other}")


def _unproven(person: Absent, why: str, evidence: str = "") -> Finding:
    return Finding(person.external_id, "unproven", why, evidence)
