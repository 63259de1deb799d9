"""What the other servers of a directory say about departures: one that still shows somebody keeps them, for replicas lag and are restored."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from itertools import islice

from sync.directory import Finding
from sync.errors import SourceError
from sync.settings import SourceSettings
from sync.sources.ldap.connection import Line, Search
from sync.sources.ldap.dialect import Dialect
from sync.sources.ldap.filters import both

_AT_ONCE = 100


class SecondOpinion:
    """Asks every other server of `urls` for whoever has departed, by the same base and filter. One that cannot be asked is named and passed
    over: a departure that is proven does not wait for a server that is down."""

    def __init__(self, settings: SourceSettings, bases: Sequence[str], dialect: Dialect, asked: str) -> None:
        self._settings, self._bases, self._dialect = settings, bases, dialect
        self._others = [url for url in settings.urls if url != asked]

    def review(self, findings: Iterable[Finding]) -> Iterator[Finding]:
        """Yield the findings, departures only where no other server contradicts them."""
        waiting = iter(findings)
        while batch := list(islice(waiting, _AT_ONCE)):
            departed = [finding.external_id for finding in batch if finding.verdict == "departed"]
            still_at, silent = self._ask(departed) if departed and self._others else ({}, "")
            for finding in batch:
                if finding.external_id in still_at:
                    where = still_at[finding.external_id]
                    yield replace(finding, verdict="unproven", why=f"another server still shows the entry: {where}")
                elif finding.verdict == "departed" and silent:
                    yield replace(finding, evidence=f"{finding.evidence}{silent}")
                else:
                    yield finding

    def _ask(self, departed: list[str]) -> tuple[dict[str, str], str]:
        """Return ({id: the server that still shows it}, what to add about servers that could not be asked)."""
        still_at: dict[str, str] = {}
        silent: list[str] = []
        for url in list(self._others):
            try:
                with closing(Line(self._settings, url)) as line:
                    for base in self._bases:
                        asked = Search(base, both(self._dialect.filter, self._dialect.with_ids(departed)), [self._dialect.id])
                        entries, done = line.fetch(asked)
                        if done.code:
                            silent.append(url)
                        still_at |= {one: url for entry in entries for one in self._dialect.ids_of(entry) if one}
            except SourceError:
                silent.append(url)
                self._others.remove(url)  # its time-out is waited for once
        return still_at, f"; {', '.join(dict.fromkeys(silent))} could not be asked" if silent else ""
