"""From a `[[source]]` table of the kind scim-push to SourceSettings: nothing is asked there, so nearly all of it is what every kind has."""

from __future__ import annotations

from collections.abc import Sequence

from daemon.config.files import Files
from daemon.config.reader import Section
from daemon.config.sources import build_guard, with_digest
from sync.settings import SourceSettings

KIND = "scim-push"


def build_push_source(section: Section, rank: int, _: Files) -> SourceSettings:
    """Return the settings of one source that is pushed to; mistakes are noted in `section`."""
    settings = SourceSettings(**{key: section[key] for key in ("name", "kind", "domains")}, rank=rank, guard=build_guard(section))
    return with_digest(settings)


def check_push(listed: Sequence[Section], public_url: str) -> None:
    """Note in each source that is pushed to what it misses elsewhere: resources are told their URL, and a request's Host is nobody's word."""
    for section in listed:
        if section["kind"] == KIND and not public_url:
            section.problem("kind", f'is "{KIND}", which needs [http] public_url: the URL that the provider knows rosterd by')
