"""What became of people a read did not show: a 404 for the very id, from a provider that shows other ids when asked the same way (rule 1)."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

import msgspec

from sync.directory import Absent, Finding, Person
from sync.errors import SourceError
from sync.sources.scim.answers import Malformed, detail_of, read_object
from sync.sources.scim.line import Answer
from sync.sources.scim.mapping import Mapper, id_of
from sync.sources.scim.people import People, shows

MOST_ASKED = 2000
MOST_SECONDS = 240.0
"""So many people are asked about in one run, and so long; the others stay as they are until the next."""


class Inquiry:
    """Asks about absent people one by one. `shown` = ids that this provider showed a moment ago."""

    def __init__(self, people: People, mapper: Mapper, filter_text: str, shown: Sequence[str]) -> None:
        self._people, self._mapper, self._filter, self._shown = people, mapper, filter_text, shown

    def findings(self, absent: Sequence[Absent]) -> Iterator[Finding]:
        """Yield one finding for each. Raises SourceError when the provider cannot answer at all."""
        until = time.monotonic() + MOST_SECONDS
        before = self._doubt()
        found = []
        for number, one in enumerate(absent):
            why = before or ("" if number < MOST_ASKED and time.monotonic() < until else "too many are absent at once: not asked about in this run")
            found.append(_unproven(one, why) if why else self._ask(one))
        # A provider, or a proxy before it, that begins to answer 404 to everything in the middle must not take everybody away.
        after = "" if before else self._doubt()
        for finding in found:
            yield Finding(finding.external_id, "unproven", after, finding.evidence) if after and finding.verdict == "departed" else finding

    def _doubt(self) -> str:
        """Say why a 404 of this provider would mean nothing, "" if it means something."""
        doubt = "the provider showed nobody whom it could be asked about for comparison"
        for one in self._shown:
            answer = self._people.get(one)
            if isinstance(answer, Answer) and shows(answer, one):
                return ""
            said = f"the provider answers {answer.status}" if isinstance(answer, Answer) else answer
            doubt = f"asked for Users/{one}, whom it had just shown, {said}: a 404 of it proves nothing now"
        return doubt

    def _ask(self, absent: Absent) -> Finding:
        answer = self._people.get(absent.external_id)
        if isinstance(answer, str):
            return _unproven(absent, f"the provider does not say whether it is there: {answer}")
        said = f"GET {answer.url}: {answer.status}" + (f" {detail}" if (detail := detail_of(answer.body)) else "")
        if answer.status == 404:
            if _is_page(answer):
                return _unproven(absent, "the answer is a page for people, not the provider's own word", said)
            return Finding(absent.external_id, "departed", "is gone from the provider", said)
        if answer.status != 200:
            return _unproven(absent, "the provider does not say whether it is there", said)
        return self._judge_shown(absent, answer, said)

    def _judge_shown(self, absent: Absent, answer: Answer, said: str) -> Finding:
        """Judge somebody whom the list leaves out and the provider shows all the same."""
        try:
            told = read_object(answer.body)
        except Malformed as malformed:
            return _unproven(absent, f"the answer {malformed}", said)
        if id_of(told) != absent.external_id:
            return _unproven(absent, "the provider answers with somebody else", said)
        person = self._mapper.person(msgspec.Raw(answer.body), answer.url)
        if isinstance(person, Person) and not person.enabled:
            return Finding(absent.external_id, "departed", "is inactive, and the list leaves such people out", f"{said}, active is false")
        if self._filter:
            return self._judge_by_filter(absent, said)
        return _unproven(absent, "the provider contradicts itself: it shows the user by its id, but not in the list", said)

    def _judge_by_filter(self, absent: Absent, said: str) -> Finding:
        """Judge by the source's own filter, if the provider can be asked for an id by filter, with it and without."""
        try:
            matches, findable = (people.matches(absent.external_id) for people in (self._people, self._people.unfiltered()))
        except SourceError as error:
            return _unproven(absent, f"the provider cannot be asked whether the filter still matches: {error}", said)
        if findable and not matches:
            return Finding(absent.external_id, "departed", "no longer matches the filter", f"{said}; it does not match {self._filter}")
        return _unproven(absent, "the provider contradicts itself: the filter matches the user, but the list does not show it", said)


def _is_page(answer: Answer) -> bool:
    return "html" in answer.content_type.lower() or answer.body.lstrip()[:1] == b"<"


def _unproven(absent: Absent, why: str, evidence: str = "") -> Finding:
    return Finding(absent.external_id, "unproven", why, evidence)
