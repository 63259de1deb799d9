"""From `[store]`, `[http]`, `[audit]` and `[auth]` to their settings."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from api.settings import ApiSettings
from daemon.config.files import Files
from daemon.config.issuers import build_issuers, build_proxy
from daemon.config.reader import Section
from daemon.config.secretfiles import several_lines
from daemon.config.settings import AuditSettings, HttpSettings
from daemon.config.values import Wrong
from sync.settings import StoreSettings

LEAST_SECRET = 32
"""Octets of a secret that signs tokens: RFC 7518 section 3.2 wants as many as the hash has."""

LONGEST_SOCKET = 107
"""Octets of a socket's path: sun_path of unix(7)."""

_SQLITE = "sqlite:///"
_SERVER = "postgresql+psycopg://"
_HOST = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_])?")


def build_store(section: Section, files: Files) -> StoreSettings:
    """Return where the store is; a relative path is relative to the configuration."""
    try:
        url = store_url(section["url"], files.folder)
    except Wrong as wrong:
        section.problem("url", str(wrong))
        url = f"{_SQLITE}{files.folder / 'rosterd.db'}"
    if section["password_file"] and "url" not in section.wrong and url.startswith(_SQLITE):
        section.problem("password_file", "is for a database server; a file needs no password")
    if section["forget_after"] < section["history"] and not {"history", "forget_after"} & section.wrong:
        section.problem("history", "is longer than forget_after: changes would name people who are forgotten")
    return StoreSettings(url, files.secret(section, "password_file"), section["history"], section["forget_after"])


def store_url(url: str, folder: Path) -> str:
    """Return a store's URL as it is opened: a file's with its whole path, a server's as it stands. Raises Wrong."""
    if url.startswith("postgres"):
        return _check_server(url)
    if not url.startswith(_SQLITE):
        raise Wrong("must be sqlite:/// and a path, like sqlite:////var/lib/rosterd/rosterd.db, or postgresql+psycopg://user@host/database")
    path = url.removeprefix(_SQLITE)
    if not path or path.startswith((":", "file:")) or "?" in path or path.endswith("/"):
        raise Wrong("must name a file, without options")
    return f"{_SQLITE}{folder / path}"


def _check_server(url: str) -> str:
    """Return the URL of a PostgreSQL server; it is never shown, for it may hold a password that should not be there."""
    if not url.startswith(_SERVER):
        raise Wrong("must begin with postgresql+psycopg://")
    try:
        parts = urlsplit(url)
        options = parse_qs(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query))
        good = parts.port != 0
    except ValueError:
        good = False
    if not good or parts.fragment or not parts.path.strip("/") or "/" in parts.path[1:]:
        raise Wrong("must be postgresql+psycopg://user@host/database, perhaps with options of libpq behind a question mark")
    if parts.password is not None or {"password", "passfile", "sslpassword"} & options.keys():
        raise Wrong("must not hold a password; password_file names the file that does")
    if not parts.username and "user" not in options:
        raise Wrong("must name a user, as in postgresql+psycopg://user@host/database")
    return url


def build_http(section: Section, files: Files) -> HttpSettings:
    """Return where to listen, and whom to believe."""
    _check_host(section, "host", [section["host"]])
    _check_host(section, "hosts", section["hosts"])
    _check_proxies(section)
    _check_public_url(section)
    if bool(section["tls_cert_file"]) != bool(section["tls_key_file"]):
        section.problem("tls_cert_file" if section["tls_key_file"] else "tls_key_file", "is missing; the certificate and its key go together")
    return HttpSettings(
        host=section["host"],
        port=section["port"],
        unix_socket=_socket(section),
        tls_cert_file=files.path(section, "tls_cert_file"),
        tls_key_file=files.secret_path(section, "tls_key_file"),
        public_url=section["public_url"].rstrip("/"),
        trusted_proxies=section["trusted_proxies"],
        metrics_token_file=files.secret_path(section, "metrics_token_file"),
        metrics_token=files.secret(section, "metrics_token_file") if "metrics_token_file" not in section.wrong else None,
        hosts=section["hosts"],
    )


def build_audit(section: Section, store: StoreSettings, files: Files) -> AuditSettings:
    """Return the audit file: beside the store, unless the file says otherwise."""
    written = section["file"]
    if not written and store.file is None:
        section.problem("file", "must name a file when the store is on a server")
    path = files.folder / written if written or store.file is None else store.file.with_name("audit.jsonl")
    return AuditSettings(path, section["keep"])


def build_api(section: Section, http: HttpSettings, files: Files, sources: Mapping[str, str]) -> ApiSettings:
    """Return what the API needs of `[auth]` and `[http]`; `sources` maps the name of each configured one to its kind."""
    secrets = files.several(section, "secret_file", partial(several_lines, least=LEAST_SECRET))
    return ApiSettings(
        issuer=section["issuer"],
        audience=section["audience"],
        secrets=secrets,
        key_sees=section["key_sees"],
        host=http.host,
        hosts=http.hosts,
        trusted_proxies=http.trusted_proxies,
        public_url=http.public_url,
        metrics_token=http.metrics_token,
        issuers=build_issuers(section.lists["issuer"], section["issuer"], files),
        proxy=build_proxy(section.tables["proxy"], http, list(sources)),
        pushed=tuple(name for name, kind in sources.items() if kind == "scim-push"),
    )


def _check_host(section: Section, key: str, hosts: list[str]) -> None:
    for host in hosts:
        if key not in section.wrong and not _HOST.fullmatch(host) and not _is_network(host, single=True):
            section.problem(key, f"{host} is neither a host name nor an address; write it without scheme and port")


def _check_proxies(section: Section) -> None:
    for proxy in section["trusted_proxies"]:
        if not _is_network(proxy):
            section.problem("trusted_proxies", f'{proxy} is no address and no network like "10.0.0.0/8" (no bits set after the prefix)')
        elif ipaddress.ip_network(proxy).prefixlen == 0:
            section.problem("trusted_proxies", f"{proxy} would believe everybody")


def _is_network(text: str, *, single: bool = False) -> bool:
    try:
        ipaddress.ip_address(text) if single else ipaddress.ip_network(text)
    except ValueError:
        return False
    return True


def _check_public_url(section: Section) -> None:
    url = section["public_url"]
    if not url or "public_url" in section.wrong:
        return
    try:
        parts = urlsplit(url)
        good = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        good = False
    if not good or parts.username is not None or parts.query or parts.fragment:
        section.problem("public_url", 'must be a URL like "https://keys.example.com"')


def _socket(section: Section) -> Path | None:
    written = section["unix_socket"]
    if not written:
        return None
    if not written.startswith("/") or len(written.encode()) > LONGEST_SOCKET:
        section.problem("unix_socket", f"must be an absolute path of at most {LONGEST_SOCKET} characters")
    return Path(written)
