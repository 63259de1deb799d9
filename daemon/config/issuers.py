"""From `[[auth.issuer]]` and `[auth.proxy]` to their settings: whom else rosterd believes, and how far."""

from __future__ import annotations

import re
import ssl
from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit

from api.settings import IssuerSettings, ProxySettings
from daemon.config.files import Files
from daemon.config.reader import Section
from daemon.config.settings import HttpSettings

LARGEST_FILE = 256 * 1024
"""Octets of a file of public keys."""

_PLACES = ("jwks_url", "jwks_file", "public_key_files")
_ROLES = ("admin", "operator", "lookup")
_HEADER = re.compile(r"[A-Za-z0-9-]{1,64}")
_TAKEN = re.compile(
    "(proxy-)?authorization|x-bf-vk|x-api-key|x-goog-api-key|x-request-id|cookie|host|origin|referer|user-agent|date|via|forwarded|x-forwarded-.*|x-real-ip"
    "|accept(-.*)?|content-.*|if-.*|range|sec-.*|access-control-.*|cache-control|pragma"
    "|(proxy-)?connection|keep-alive|te|trailer|transfer-encoding|upgrade|expect"
)
"""Headers that mean something already: clients and proxies send them of themselves, with other contents or past the proxy's rule."""


def build_issuers(sections: Sequence[Section], own: str, files: Files) -> tuple[IssuerSettings, ...]:
    """Return the foreign issuers; each has a name that no other and not rosterd itself has. `own` is rosterd's."""
    for number, section in enumerate(sections):
        if section["issuer"] == own:
            section.problem("issuer", "is rosterd's own issuer, whose tokens need no table")
        elif section["issuer"] and any(section["issuer"] == other["issuer"] for other in sections[:number]):
            section.problem("issuer", "stands twice; two tables cannot speak of the same issuer")
    return tuple(_build(section, files) for section in sections)


def build_proxy(section: Section, http: HttpSettings, sources: Sequence[str]) -> ProxySettings | None:
    """Return which header a trusted proxy asserts users in, None without the table. `sources` are the configured ones' names."""
    if not section.values:
        return None
    header = section["header"]
    if not _HEADER.fullmatch(header):
        section.problem("header", "is no name of a header: letters, digits and dashes")
    elif _TAKEN.fullmatch(header.lower()):
        section.problem("header", f"{header} means something else already; take one of its own, like X-Remote-User")
    if http.unix_socket is None and not http.trusted_proxies:
        section.problem("header", "would be believed from nobody; set [http] unix_socket (better) or trusted_proxies to where the proxy comes from")
    return ProxySettings(header.lower(), section["match"], _asserted_source(section, sources))


def _asserted_source(section: Section, sources: Sequence[str]) -> str:
    """Return whose people the proxy may name: in another source the same name may be somebody else's."""
    named: str = section["source"]
    if named and named not in sources:
        section.problem("source", f"there is no [[source]] named {named}")
    if not named and len(sources) > 1 and "source" not in section.wrong:
        section.problem("source", f"must be named, because there are several: {', '.join(sources)}")
    return named or (sources[0] if sources else "")


def _build(section: Section, files: Files) -> IssuerSettings:
    given = [place for place in _PLACES if section[place]]
    if not {*_PLACES} & section.wrong and len(given) != 1:
        said = f"stands beside {given[0]}" if given else "is missing"
        section.problem(given[-1] if given else "jwks_url", f"{said}; exactly one of {', '.join(_PLACES)} says where the public keys are")
    _check_url(section)
    _check_rights(section)
    if not section["algorithms"] and "algorithms" not in section.wrong:
        section.problem("algorithms", "is empty; name those that the issuer signs with")
    found = IssuerSettings(
        issuer=section["issuer"] or "",
        audience=section["audience"] or "",
        jwks_url=section["jwks_url"],
        ca_file=files.path(section, "jwks_ca_file"),
        jwks="".join(files.texts(section, "jwks_file", LARGEST_FILE)),
        pems=files.texts(section, "public_key_files", LARGEST_FILE),
        algorithms=section["algorithms"],
        may=section["may"],
        key_claim=section["key_claim"],
        role_claim=section["role_claim"],
        roles=tuple(section["roles"].items()),
    )
    _check_authority(section, found)
    _check_keys(section, found)
    return found


def _check_rights(section: Section) -> None:
    """Check that what the table gives can be given, and that nothing is given which it does not name."""
    if {"may", "roles", "role_claim", "key_claim"} & section.wrong:
        return
    may = section["may"]
    if not may:
        section.problem("may", "is empty: such a table lets nobody in; leave it out")
    if "virtual-key" in may and not section["key_claim"]:
        section.problem("key_claim", 'is empty; with "virtual-key" in may, it names the claim that holds the id of a key')
    if section["role_claim"]:
        _check_roles(section, may, section["roles"])
    elif section["roles"]:
        section.problem("role_claim", "is missing; roles needs it: the claim whose values they are")
    elif roles := [one for one in may if one in _ROLES]:
        section.problem("role_claim", f'is missing; may names "{roles[0]}", and this claim says who has it')


def _check_roles(section: Section, may: Sequence[str], roles: Mapping[str, str]) -> None:
    for role in dict.fromkeys(roles.values()):
        if role not in _ROLES:
            section.problem("roles", f'"{role}" is no role; the roles are {", ".join(_ROLES)}')
        elif role not in may:
            section.problem("roles", f'gives "{role}", which may does not name')
    for role in may:
        if role in _ROLES and roles and role not in roles.values():
            section.problem("may", f'names "{role}", but no value in roles leads there')
    if not set(may) & set(_ROLES):
        section.problem("role_claim", "gives nothing: may names no role")


def _check_url(section: Section) -> None:
    url = section["jwks_url"]
    if section["jwks_ca_file"] and not url:
        section.problem("jwks_ca_file", "is for jwks_url: the authority that signed its server's certificate")
    if not url or "jwks_url" in section.wrong:
        return
    try:
        parts = urlsplit(url)
        good = parts.scheme == "https" and bool(parts.hostname) and parts.port != 0 and url.isprintable() and " " not in url
    except ValueError:
        good = False
    if not good or parts.username is not None or parts.fragment:
        section.problem("jwks_url", "must be an https:// URL, without a user name: whoever could change the answer could sign for anybody")


def _check_authority(section: Section, found: IssuerSettings) -> None:
    if found.ca_file is not None:
        try:
            ssl.create_default_context(cafile=found.ca_file)
        except (OSError, ValueError):
            section.problem("jwks_ca_file", f"{found.ca_file} holds no certificate in PEM")


def _check_keys(section: Section, found: IssuerSettings) -> None:
    """Check the keys in files, each of which must be good: who wrote it into the file meant it."""
    if not found.jwks and not found.pems:
        return
    from api.auth.keysets import BadKeySet, parse_jwks, parse_pems  # cryptography takes its time

    key = "jwks_file" if found.jwks else "public_key_files"
    if key in section.wrong:
        return
    texts = [(section["jwks_file"], found.jwks)] if found.jwks else zip(section["public_key_files"], found.pems, strict=True)
    usable: set[str] = set()
    for path, text in texts:
        try:
            keys = parse_jwks(text) if found.jwks else parse_pems([text])
        except BadKeySet as bad:
            section.problem(key, f"{path} {bad}")
            continue
        for unusable in keys.unusable:
            section.problem(key, f"{path}: {unusable}")
        usable = usable.union(*(one.algorithms for one in keys.keys))
    if key not in section.wrong and not usable & set(found.algorithms):
        section.problem(key, f"holds no key for {', '.join(found.algorithms)}; correct algorithms")
