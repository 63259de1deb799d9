"""The SCIM source: one provider as the configuration describes it, not asked yet."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from urllib.parse import urlsplit

from sync.directory import Reading
from sync.errors import ConfigError
from sync.settings import SourceSettings
from sync.sources.scim.line import Line
from sync.sources.scim.reading import ScimReading

LOOPBACK = ("localhost", "127.0.0.1", "::1")


class ScimSource:
    """Our reader of one SCIM provider. Raises ConfigError for what cannot work."""

    def __init__(self, settings: SourceSettings, groups: Sequence[str] = ()) -> None:
        problems = list(_problems(settings))
        if problems:
            raise ConfigError([f"[[source]] {settings.name}: {problem}" for problem in problems])
        self._settings, self._groups = settings, groups

    @contextmanager
    def open(self) -> Iterator[Reading]:
        """Return the conversation; leaving the context hangs up. The provider is asked when something is to be known."""
        with closing(Line(self._settings)) as line:
            yield ScimReading(self._settings, self._groups, line)


def _problems(settings: SourceSettings) -> Iterator[str]:
    if len(settings.urls) != 1:
        yield "url is missing"
    for url in (*settings.urls, *([settings.oauth2.token_url] if settings.oauth2 else ())):
        parts = urlsplit(url)
        if parts.scheme != "https" and not (parts.scheme == "http" and (parts.hostname in LOOPBACK or settings.allow_plaintext)):
            yield f"{url.rpartition('@')[2]} would send everything in the clear; use https://, or set allow_plaintext = true"
