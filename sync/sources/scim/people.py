"""Asking for people one by one, or by what is said of them: GET /Users/{id} (RFC 7644 section 3.4.1) and filters (section 3.4.2.2)."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator
from urllib.parse import quote

import msgspec

from sync.directory import Person, Refused
from sync.errors import SourceError, SourceRefused
from sync.sources.scim.answers import Malformed, read_object
from sync.sources.scim.discovery import Features
from sync.sources.scim.line import OF_ONE_ANSWER, Answer, Line
from sync.sources.scim.mapping import id_of
from sync.sources.scim.paging import Walk

MOST_FOUND = 1000
"""Resources that an answer to a question about one person may show; a provider that ignores filters shows everybody."""


class People:
    """The people of one provider. `filter_text` = the source's own filter, "" for none; `features` is asked when somebody is looked for."""

    def __init__(self, line: Line, filter_text: str, page_size: int, features: Callable[[], Features]) -> None:
        self._line, self._filter, self._page_size, self._features = line, filter_text, page_size, features

    def unfiltered(self) -> People:
        """Return the same people without the source's own filter."""
        return People(self._line, "", self._page_size, self._features)

    def get(self, external_id: str) -> Answer | str:
        """Return the answer about one id, whatever its status; or why this one cannot be had, where others may. Raises SourceError."""
        try:
            return self._line.ask(f"Users/{quote(external_id, safe='')}")
        except SourceError as error:
            if error.code in OF_ONE_ANSWER:
                return error.message
            raise

    def resource(self, external_id: str) -> bytes | Refused | None:
        """Return the resource with this id; None where the provider or the source's own filter shows none; or why it cannot be read."""
        answer = self.get(external_id)
        if isinstance(answer, str):
            return Refused(f"Users/{external_id}", f"cannot be read: {answer}", external_id)
        if answer.status in (404, 410):
            return None
        if not shows(answer, external_id):
            return Refused(f"Users/{external_id}", f"is answered {answer.status}, and not with that user", external_id)
        return answer.body if not self._filter or self.matches(external_id) else None

    def matches(self, external_id: str) -> bool:
        """Tell whether the source's own filter shows this id. Raises SourceRefused where the provider cannot be asked that."""
        return any(_has_id(raw, external_id) for raw in self.where(f"id eq {quoted(external_id)}"))

    def ignores_filter(self) -> bool:
        """Ask for a name that nobody has: a provider that shows somebody all the same ignores filters. One that cannot be asked that may not."""
        try:
            return bool(self.where(f"userName eq {quoted(str(uuid.uuid4()))}"))
        except SourceRefused as error:
            return error.code == "filter_ignored"

    def where(self, filter_text: str) -> list[msgspec.Raw]:
        """Return the resources that match, besides the source's own filter. Raises SourceRefused (bad_filter, filter_ignored), SourceError."""
        both = f"({self._filter}) and {filter_text}" if self._filter else filter_text
        found: list[msgspec.Raw] = []

        def take(resources: list[msgspec.Raw]) -> tuple[int, int]:
            found.extend(resources)
            if len(found) > MOST_FOUND:
                raise filter_ignored(self._line.url)
            return len(resources), len(resources)

        for _ in Walk(self._line, "Users", self._page_size, self._features(), {"filter": both}).pages_of(take):
            pass
        return found


def filter_ignored(url: str) -> SourceRefused:
    """Return the error of a provider that shows people whom the filter leaves out."""
    return SourceRefused(
        "filter_ignored", f"{url} ignores filters.", "Leave `filter` out, and let the provider narrow down what the credential sees."
    )


def shows(answer: Answer, external_id: str) -> bool:
    """Tell whether an answer is the resource with this id."""
    return answer.status == 200 and _has_id(answer.body, external_id)


def _has_id(raw: bytes | msgspec.Raw, external_id: str) -> bool:
    try:
        return id_of(read_object(raw)) == external_id
    except Malformed:
        return False


def quoted(text: str) -> str:
    """Return a text as a value in a filter (RFC 7644 section 3.4.2.2: a JSON string)."""
    return json.dumps(text, ensure_ascii=False)


def separate(found: Iterator[Person | Refused]) -> tuple[list[Person], list[Refused]]:
    """Return (persons, refused)."""
    persons: list[Person] = []
    refused: list[Refused] = []
    for one in found:
        if isinstance(one, Person):
            persons.append(one)
        else:
            refused.append(one)
    return persons, refused
