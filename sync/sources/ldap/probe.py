"""Looking a directory over before it is relied on, step by step, for `rosterd check`."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime

from sync.errors import RosterError, SourceError
from sync.settings import SourceSettings
from sync.sources.ldap.collector import Collector
from sync.sources.ldap.connection import Line, Search
from sync.sources.ldap.controllers import judge_controller
from sync.sources.ldap.delta import Follower, NoWay
from sync.sources.ldap.dialect import Dialect, describe, dialect_of
from sync.sources.ldap.dn import distinct_bases
from sync.sources.ldap.filters import ANYTHING
from sync.sources.ldap.groups import read_groups
from sync.sources.ldap.mapping import Mapper
from sync.sources.ldap.paging import Walk
from sync.sources.ldap.rights import judge_rights
from sync.sources.ldap.root import PAGED_RESULTS, Root, read_root, vendor_of
from sync.sources.ldap.source import LdapSource
from sync.sources.ldap.vendors import VENDORS, Vendor
from sync.sources.probed import Probed, Tally, failed, judge_certificate, judge_skew

_REACH = {"unreachable", "unknown_host", "connect_timeout", "bad_url", "connection_lost", "read_timeout", "protocol_error"}


def probe(settings: SourceSettings, now: Callable[[], float] = time.time, kept: str = "") -> Iterator[Probed]:
    """Yield what is found, each as soon as it is known; never raises what a directory can cause.

    Every server of `urls` is tried; the first that lets us in is read to the end. `now` returns seconds since the epoch; `kept` is the
    vendor that an earlier read found, "" before the first.
    """
    try:
        LdapSource(settings)
    except RosterError as error:
        yield failed("configuration", error)
        return
    usable = []
    for url in settings.urls:
        try:
            yield from _connect(settings, url, now())
            usable.append(url)
        except SourceError as error:
            step = "reach" if error.code in _REACH else "tls" if error.code.startswith("tls") else "bind"
            yield failed(f"{step} {url}", error)
            if error.code == "invalid_credentials":  # the next server would count it as one more wrong password
                return
    try:
        for url in usable[:1]:
            with closing(Line(settings, url)) as line:
                yield from _look_over(settings, line, now, kept)
    except SourceError as error:
        yield failed("directory", error)


def _connect(settings: SourceSettings, url: str, now: float) -> Iterator[Probed]:
    with closing(Line(settings, url)) as line:
        yield Probed(f"reach {url}", True, "answers")
        yield _judge_tls(settings, line, now)
        yield _judge_bind(settings, line)


def _judge_bind(settings: SourceSettings, line: Line) -> Probed:
    who = f"as {line.bound_as}" if line.bound_as else "anonymously"
    if settings.sasl == "external":
        who = f"by the client certificate, as {line.bound_as or 'somebody it does not name'}"
    if settings.sasl == "gssapi":
        who = f"by Kerberos as {settings.principal}"
        who += f", which is {line.bound_as}" if line.bound_as != settings.principal else ""
    return Probed(f"bind {line.url}", True, who)


def _judge_tls(settings: SourceSettings, line: Line, now: float) -> Probed:
    step = f"tls {line.url}"
    if settings.tls == "plain":
        return Probed(step, True, "not used: what is read, and the password, cross the network in the clear", 'Set tls = "ldaps" or "starttls".')
    return judge_certificate(step, line.certificate, now, "server")


def _look_over(settings: SourceSettings, line: Line, now: Callable[[], float], kept: str) -> Iterator[Probed]:
    root = read_root(line)
    known = VENDORS.get(kept) if settings.vendor == "auto" else None
    dialect = dialect_of(settings, known or vendor_of(settings, root), root.contexts)
    yield _judge_vendor(settings, root, dialect.vendor, known)
    yield Probed("words", True, describe(dialect, settings))
    yield _judge_paging(root)
    yield _judge_clock(root, now())
    if dialect.vendor.descriptors:
        yield from judge_controller(line, Mapper(settings, dialect), root)
    everything = True
    for base in settings.bases:
        found = _judge_base(line, base)
        everything = everything and found.ok
        yield found
    if everything:
        yield _judge_changes(settings, line, dialect, root)
        yield from _read(settings, line, dialect, root)


def _judge_vendor(settings: SourceSettings, root: Root, vendor: Vendor, known: Vendor | None) -> Probed:
    told = f" ({root.software})" if root.software else ""
    seen = vendor_of(settings, root)
    how = "as configured" if settings.vendor == vendor.name else "by its root entry" if root.attributes else "its root entry is hidden"
    remedy = ""
    if known and seen is not known:
        how = f"as its first read found, though its root entry says {seen.name} now"
        remedy = (
            f'If the directory really is another one, set vendor = "{seen.name}"; the next run is then a full one, and holds what it would take away.'
        )
    return Probed("vendor", True, f"{vendor.name}{told}, {how}: {vendor.follows}", remedy)


def _judge_paging(root: Root) -> Probed:
    if not root["supportedcontrol"]:
        return Probed("paging", True, "the server does not list its controls; the read below shows whether it pages")
    if PAGED_RESULTS in root["supportedcontrol"]:
        return Probed("paging", True, "the paged results control is supported")
    return Probed("paging", False, "the server does not list the paged results control", "Only a directory that pages can be read completely.")


def _judge_clock(root: Root, now: float) -> Probed:
    try:
        told = datetime.strptime("".join(root["currenttime"])[:14], "%Y%m%d%H%M%S").replace(tzinfo=UTC).timestamp()
    except ValueError:
        return Probed("clock", True, "the server does not tell its time; expiry dates are judged by this machine's clock")
    skew = told - now
    return judge_skew(skew, "server")


def _judge_changes(settings: SourceSettings, line: Line, dialect: Dialect, root: Root) -> Probed:
    """Say by which way runs between two full reads will ask what has changed, or why they cannot."""
    follower = Follower(dialect, distinct_bases(settings.bases), root, line, settings.page_size)
    try:
        return Probed("changes", True, f"between full reads they are asked for by {follower.how(follower.take_position())}")
    except NoWay as why:
        return Probed("changes", True, f"{why}: every run reads everything")


def _judge_base(line: Line, base: str) -> Probed:
    entries, done = line.fetch(Search(base, ANYTHING, ["1.1"], scope="entry"))
    if done.code == 0 and entries:
        return Probed(f"base {base}", True, "exists")
    why = f"noSuchObject, the nearest entry is {done.matched}" if done.code == 32 and done.matched else f"result {done.code} {done.text}".strip()
    return Probed(f"base {base}", False, f"cannot be seen ({why})", "Correct `base`, or let the bind account see it.")


def _read(settings: SourceSettings, line: Line, dialect: Dialect, root: Root) -> Iterator[Probed]:
    """Read the directory to its end, as a sync would, and show the first people."""
    index = read_groups(line, dialect)
    if index:
        yield Probed("groups", bool(index.sizes), f"{len(index.sizes)} groups found", "" if index.sizes else "Check [source.groups].")
    mapper = Mapper(settings, dialect, index.groups_of if index else None)
    walk, collector, tally = Walk(line, dialect.vendor), Collector(line, mapper), Tally()
    for base in distinct_bases(settings.bases):
        asked = Search(base, dialect.filter, mapper.attributes, page_size=settings.page_size)
        for _ in walk.pages_of(asked, collector.take):
            yield from tally.show(collector.page())
    yield _judge_limits(line, dialect, walk)
    yield from _judge_tally(dialect, tally)
    yield from judge_rights(line, dialect, mapper, root, tally.first)


def _judge_limits(line: Line, dialect: Dialect, walk: Walk) -> Probed:
    """Tell what the read met, and where the vendor keeps limits on the account's own entry, which these are."""
    met = f"{walk.entries} entries in {walk.pages} {'page' if walk.pages == 1 else 'pages'}, to the end: no limit of the account was met"
    names, bind_dn = dialect.vendor.own_limits, line.bound_as
    if not names or not bind_dn:
        return Probed("limits", True, met if walk.entries > 500 else f"{met} (few entries meet none)")
    entries, _ = line.fetch(Search(bind_dn, ANYTHING, names, scope="entry"))
    own = {name: entries[0].texts(name.lower()) for name in names} if entries else {}
    if all(value == ["-1"] for value in own.values()) and own:
        return Probed("limits", True, f"{met}, and its own entry lifts all of them")
    told = ", ".join(f"{name} {values[0]}" for name, values in own.items() if values) or "none can be seen on its entry"
    return Probed("limits", True, f"{met}; limits of its own: {told}; the server's defaults apply to the others", dialect.vendor.limits(bind_dn))


def _judge_tally(dialect: Dialect, tally: Tally) -> Iterator[Probed]:
    remedy = "" if tally.people else "Check base and filter: nobody would be read."
    detail = f"{tally.people}: {tally.disabled} disabled, {tally.expiring} with an expiry date, {tally.in_groups} in groups"
    yield Probed("people", bool(tally.people), detail, remedy)
    if tally.first_refused:
        why = f"{tally.refused} entries cannot be taken, the first: {tally.first_refused.place} {tally.first_refused.why}"
        named, missed = (dialect.vendor.always, "state is known") if tally.first_refused.external_id else (dialect.id, "absence counts")
        yield Probed("ids", False, why, f"Let the bind account read {named} of everybody: without it nobody's {missed}.")
    if tally.without_address:
        remedy = f"Check [source.attributes] emails, and that the bind account may read {', '.join(name for name, _ in dialect.emails)}."
        yield Probed("addresses", tally.without_address < tally.people, f"{tally.without_address} people list no usable address", remedy)
    if tally.dropped:
        yield Probed("values", True, f"{tally.dropped} malformed or surplus values are left out", "`rosterd explain EMAIL` names them.")
