"""From a `[[source]]` table of the kind scim to SourceSettings, with the rules that concern several of its keys."""

from __future__ import annotations

from urllib.parse import urlsplit

from daemon.config.files import NO_SECRET, Files
from daemon.config.reader import Section
from daemon.config.sources import build_guard, build_schedule, with_digest
from sync.settings import ClientCredentials, SourceSettings

_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_AS_WRITTEN = ("name", "kind", "allow_plaintext", "username", "page_size", "connect_timeout", "read_timeout", "domains")


def build_scim_source(section: Section, rank: int, files: Files) -> SourceSettings:
    """Return the settings of one SCIM source; mistakes are noted in `section`."""
    _check_url(section, "url", section["allow_plaintext"])
    _check_credential(section)
    settings = SourceSettings(
        **{key: section[key] for key in _AS_WRITTEN},
        rank=rank,
        urls=(section["url"] or "",),
        filter=section["filter"],
        ca_file=files.path(section, "ca_file"),
        token=files.secret(section, "token_file"),
        password=files.secret(section, "password_file"),
        oauth2=_oauth2(section.tables["oauth2"], section["allow_plaintext"], files),
        schedule=build_schedule(section.tables["schedule"]),
        guard=build_guard(section),
    )
    return with_digest(settings)


def _oauth2(section: Section, allow_plaintext: bool, files: Files) -> ClientCredentials | None:
    if not section.values:
        return None
    _check_url(section, "token_url", allow_plaintext)
    secret = files.secret(section, "client_secret_file") or NO_SECRET
    return ClientCredentials(section["token_url"] or "", section["client_id"] or "", secret, section["scope"])


def _check_credential(section: Section) -> None:
    ways = [key for key in ("token_file", "username") if section[key]] + (["[source.oauth2]"] if section.tables["oauth2"].values else [])
    if len(ways) > 1:
        section.problem(ways[0], f"stands beside {' and '.join(ways[1:])}; one of them says who reads")
    if section["username"] and not section["password_file"]:
        section.problem("password_file", "is missing; username needs it")
    if section["password_file"] and not section["username"]:
        section.problem("username", "is missing; password_file needs it")


def _check_url(section: Section, key: str, allow_plaintext: bool) -> None:
    url = section[key]
    if url and (wrong := _url_mistake(url, allow_plaintext)):
        section.problem(key, f"{url.rpartition('@')[2]} {wrong}")


def _url_mistake(url: str, allow_plaintext: bool) -> str:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return "is no URL"
    if parts.scheme not in ("https", "http") or not parts.hostname or port == 0 or not url.isascii() or not url.isprintable() or " " in url:
        return 'is no URL like "https://scim.example.com/scim/v2"'
    if parts.username is not None or parts.query or parts.fragment:
        return "says more than where; user name and token have keys of their own"
    if parts.scheme == "http" and parts.hostname not in _LOOPBACK and not allow_plaintext:
        return "would send the credential and all people in the clear; use https://, or set allow_plaintext = true"
    return ""
