"""From a `[[source]]` table of the kind ldap to SourceSettings, with the rules that concern several of its keys; and what all kinds share."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from importlib.util import find_spec
from typing import Any
from urllib.parse import urlsplit

from daemon.config.cron import longest_gap
from daemon.config.files import Files
from daemon.config.reader import Section
from sync.settings import Attributes, GroupSearch, GuardSettings, ScheduleSettings, SourceSettings

_AS_WRITTEN = (
    "name", "kind", "urls", "vendor", "tls", "allow_plaintext", "bind_dn", "sasl", "principal",
    "page_size", "connect_timeout", "read_timeout", "domains",
)  # fmt: skip


def build_source(section: Section, rank: int, files: Files) -> SourceSettings:
    """Return the settings of one LDAP source; mistakes are noted in `section`."""
    _check_urls(section)
    _check_bind(section)
    settings = SourceSettings(
        **{key: section[key] for key in _AS_WRITTEN},
        rank=rank,
        bases=_bases(section),
        filter=section["filter"] or "",
        ca_file=files.path(section, "ca_file"),
        cert_file=files.path(section, "cert_file"),
        key_file=files.secret_path(section, "key_file"),
        password=files.secret(section, "password_file"),
        keytab_file=files.secret_path(section, "keytab_file"),
        keytab_mark=files.keytab_mark(section, "keytab_file"),
        attributes=_attributes(section.tables["attributes"]),
        groups=_groups(section.tables["groups"]),
        disabled_when=section.tables["disabled"]["when"],
        schedule=build_schedule(section.tables["schedule"]),
        guard=build_guard(section),
    )
    return with_digest(settings)


def with_digest(settings: SourceSettings) -> SourceSettings:
    """Return the settings with the digests of what decides who is read."""
    parts = digest_parts(settings)
    return replace(settings, parts=parts, digest=_digest(parts))


def digest_parts(settings: SourceSettings) -> dict[str, str]:
    """Return a digest of each key that decides who is read and as whom (rule 9). Where and how an LDAP directory is asked is not among them;
    the URL of a SCIM provider is, for it says whose people they are."""
    if settings.kind != "ldap":
        told: dict[str, object] = {"kind": settings.kind, "order": settings.rank, "url": settings.urls}
        told |= {"filter": settings.filter, "domains": settings.domains}
        return {key: _digest(value) for key, value in told.items()}
    deciding: dict[str, object] = {
        "kind": settings.kind,
        "vendor": settings.vendor,
        "order": settings.rank,
        "base": settings.bases,
        "filter": settings.filter,
        "domains": settings.domains,
        "disabled.when": settings.disabled_when,
        **{f"attributes.{key}": value for key, value in asdict(settings.attributes).items()},
        **{f"groups.{key}": value for key, value in asdict(settings.groups).items()},
    }
    return {key: _digest(value) for key, value in deciding.items()}


def _digest(value: object) -> str:
    return hashlib.blake2b(json.dumps(value, sort_keys=True).encode(), digest_size=16).hexdigest()


def _check_urls(section: Section) -> None:
    if "urls" in section.wrong:
        return
    if not section["urls"]:
        section.problem("urls", "is empty; name at least one server")
    scheme = "ldaps" if section["tls"] == "ldaps" else "ldap"
    for url in section["urls"]:
        wrong = _url_mistake(url, scheme)
        if wrong:
            section.problem("urls", f"{url.rpartition('@')[2]} {wrong}")
            return


def _url_mistake(url: str, scheme: str) -> str:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return "is no URL of a server"
    if parts.scheme not in ("ldap", "ldaps") or not parts.hostname or port == 0 or any(c.isspace() for c in url):
        return f"is no URL of a server; write {scheme}://host or {scheme}://host:port"
    if parts.username is not None or parts.path.strip("/") or parts.query or parts.fragment:
        return "says more than the server; bind_dn, base and filter have keys of their own"
    if parts.scheme != scheme:
        return (
            'does not fit tls = "ldaps"; write ldaps://…'
            if scheme == "ldaps"
            else 'means TLS from the first byte; set tls = "ldaps", or write ldap://…'
        )
    return ""


def _check_bind(section: Section) -> None:
    {"external": _check_external, "gssapi": _check_gssapi}.get(section["sasl"], _check_password)(section)
    if section["sasl"] != "gssapi":
        for key in ("principal", "keytab_file"):
            if section[key]:
                section.problem(key, 'is for sasl = "gssapi" alone; set that, or take it out')
    if bool(section["cert_file"]) != bool(section["key_file"]):
        section.problem("cert_file" if section["key_file"] else "key_file", "is missing; cert_file and key_file go together")
    if section["tls"] == "plain" and (section["ca_file"] or section["cert_file"]):
        section.problem("tls", 'is "plain", which uses no certificate; take ca_file, cert_file and key_file out')


def _check_password(section: Section) -> None:
    if section["bind_dn"] and not section["password_file"]:
        section.problem("password_file", "is missing; with bind_dn alone a directory binds anonymously and shows less")
    if section["password_file"] and not section["bind_dn"]:
        section.problem("bind_dn", "is missing; password_file needs it")
    if section["tls"] == "plain" and section["password_file"] and not section["allow_plaintext"]:
        section.problem("tls", 'is "plain": the password would travel in the clear; use "ldaps" or "starttls", or set allow_plaintext = true')


def _check_external(section: Section) -> None:
    for key in ("bind_dn", "password_file"):
        if section[key]:
            section.problem(key, 'stands beside sasl = "external", where the client certificate says who binds; take it out')
    if section["tls"] == "plain":
        section.problem("tls", 'is "plain", and sasl = "external" needs the client certificate that only TLS carries')
    elif not section["cert_file"]:
        section.problem("cert_file", 'is missing; sasl = "external" binds by it')


_HOW_TO_GSSAPI = "Install python3-gssapi, or, where rosterd was installed by hand, pip install gssapi (docs/ldap.md)"


def _check_gssapi(section: Section) -> None:
    for key in ("bind_dn", "password_file"):
        if section[key]:
            section.problem(key, 'stands beside sasl = "gssapi", where principal and keytab_file say who binds; take it out')
    for key in ("principal", "keytab_file"):
        if not section[key] and key not in section.wrong:
            section.problem(key, 'is missing; sasl = "gssapi" binds by it')
    if section["tls"] == "plain" and not section["allow_plaintext"]:
        section.problem("tls", 'is "plain": nothing after the bind would be protected; use "ldaps" or "starttls", or set allow_plaintext = true')
    if find_spec("gssapi") is None:
        section.problem("sasl", f'is "gssapi", and the package it takes is not installed. {_HOW_TO_GSSAPI}')


def _bases(section: Section) -> tuple[str, ...]:
    if section["base"] and section["bases"]:
        section.problem("bases", "stands beside base; write all of them into bases")
    elif not section["base"] and not section["bases"] and not {"base", "bases"} & section.wrong:
        section.problem("base", "is missing; below which entry do the people stand?")
    return section["bases"] or (section["base"],)


def _attributes(section: Section) -> Attributes:
    if section["emails"] == ():
        section.problem("emails", "is empty; addresses are what people are found by")
    return Attributes(**section.values)


def _groups(section: Section) -> GroupSearch:
    return GroupSearch(**section.values)


def build_schedule(section: Section) -> ScheduleSettings:
    """Return `[source.schedule]`; mistakes are noted in `section`."""
    if section["cron"] and "every" in section.given:
        section.problem("cron", "replaces every; take one of them out")
    elif section["full_every"] < section["every"] and not section["cron"]:
        section.problem("full_every", "is shorter than every")
    return ScheduleSettings(**section.values)


def build_guard(section: Section) -> GuardSettings:
    """Return `[source.guard]` of a source's whole table; mistakes are noted in it."""
    guard, schedule = section.tables["guard"], section.tables.get("schedule")
    limits: Mapping[str, Any] = guard.values
    closed, stale = limits["fail_closed_after"], limits["stale_after"]
    if schedule and stale is None and schedule["cron"]:
        from sync.store.sources import PERIODS_UNTIL_STALE  # SQLAlchemy takes its time

        stale = PERIODS_UNTIL_STALE * longest_gap(schedule["cron"])
    if schedule and closed is not None and not schedule["cron"] and closed < schedule["every"]:
        guard.problem("fail_closed_after", "is shorter than the time between two runs: every key would go off in between")
    if "max_removed_total" in guard.given and limits["max_removed_total"] < limits["max_removed"]:
        guard.problem("max_removed_total", "is smaller than max_removed, which it bounds")
    return GuardSettings(**{**limits, "stale_after": stale})
