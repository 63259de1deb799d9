"""Looking a provider over before it is relied on, step by step, for `rosterd check`."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import closing
from email.utils import parsedate_to_datetime

from sync.errors import RosterError, SourceError
from sync.settings import SourceSettings
from sync.sources.probed import Probed, Tally, failed, judge_certificate, judge_domains, judge_skew
from sync.sources.scim.discovery import Features, discover
from sync.sources.scim.line import Line
from sync.sources.scim.people import People
from sync.sources.scim.reading import ScimReading
from sync.sources.scim.source import ScimSource

_CREDENTIAL = ("token_refused", "token_unavailable", "invalid_credentials", "insufficient_access")


def probe(settings: SourceSettings, now: Callable[[], float] = time.time) -> Iterator[Probed]:
    """Yield what is found, each as soon as it is known; never raises what a provider can cause. `now` = seconds since the epoch."""
    try:
        ScimSource(settings)
        line = Line(settings)
    except RosterError as error:
        yield failed("configuration", error)
        return
    with closing(line):
        try:
            yield from _look_over(settings, line, now)
        except SourceError as error:
            step = "credential" if error.code in _CREDENTIAL else "tls" if error.code.startswith("tls") else "provider"
            yield failed(f"{step} {line.url}", error)


def _look_over(settings: SourceSettings, line: Line, now: Callable[[], float]) -> Iterator[Probed]:
    features = discover(line)
    yield Probed(f"reach {line.url}", True, "answers")
    yield _judge_tls(settings, line, now())
    yield _judge_credential(settings)
    yield Probed("provider", True, features.told)
    yield _judge_clock(line.date, now())
    yield judge_domains(settings)
    if settings.filter:
        followed = _judge_filter(settings, line, features)
        yield followed
        if not followed.ok:
            return
    yield from _read(settings, line)


def _judge_tls(settings: SourceSettings, line: Line, now: float) -> Probed:
    step = f"tls {line.url}"
    if line.url.startswith("http:"):
        return Probed(step, True, "not used: what is read, and the credential, cross the network in the clear", "Use an https:// URL.")
    return judge_certificate(step, line.certificate, now, "provider")


def _judge_credential(settings: SourceSettings) -> Probed:
    way = "client credentials" if settings.oauth2 else "a bearer token" if settings.token else "a password" if settings.username else ""
    if way:
        return Probed("credential", True, f"{way}, accepted")
    return Probed("credential", True, "none: anybody who reaches the provider can read these people", "Let the provider ask for a token.")


def _judge_clock(date: str, now: float) -> Probed:
    try:
        skew = parsedate_to_datetime(date).timestamp() - now
    except ValueError:
        return Probed("clock", True, "the provider does not tell its time")
    return judge_skew(skew, "provider")


def _read(settings: SourceSettings, line: Line) -> Iterator[Probed]:
    """Read the provider to its end, as a sync would, and show the first people."""
    reading, tally = ScimReading(settings, (), line), Tally()
    for page in reading.full():
        yield from tally.show(page)
    proof = reading.proof()
    detail = f"{proof.entries} users in {proof.pages} pages, to the end"
    remedy = "" if proof.complete else "Until that ends, nobody who is missing is removed and no address becomes free; who is gone is still noticed."
    yield Probed("paging", True, detail + (f", but {proof.why_incomplete}" if proof.why_incomplete else ""), remedy)
    yield Probed("changes", True, proof.no_cursor or "can be asked for by meta.lastModified between two full reads")
    yield from _judge_tally(tally)


def _judge_tally(tally: Tally) -> Iterator[Probed]:
    remedy = "" if tally.people else "Check url, filter and what the credential may read: nobody would be read."
    yield Probed("people", bool(tally.people), f"{tally.people}: {tally.disabled} inactive", remedy)
    if tally.first_refused:
        why = f"{tally.refused} users cannot be taken, the first: {tally.first_refused.place} {tally.first_refused.why}"
        yield Probed("users", False, why, "Mend them at the provider; until then they stay as they are here.")
    if tally.without_address:
        remedy = "Let the provider fill `emails`, and the credential see it: who has no address is issued no key."
        yield Probed("addresses", tally.without_address < tally.people, f"{tally.without_address} people list no usable address", remedy)
    if tally.dropped:
        yield Probed("values", True, f"{tally.dropped} malformed or surplus values are left out", "`rosterd explain EMAIL` names them.")


def _judge_filter(settings: SourceSettings, line: Line, features: Features) -> Probed:
    ignored = People(line, settings.filter, settings.page_size, lambda: features).ignores_filter()
    remedy = "Leave it out, and let the provider narrow down what the credential sees." if ignored else ""
    return Probed("filter", not ignored, f"{settings.filter} is {'ignored' if ignored else 'followed'}", remedy)
