"""The LDAP source: one directory as the configuration describes it, not connected to yet."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from sync.directory import Reading
from sync.errors import ConfigError
from sync.settings import SourceSettings
from sync.sources.ldap.reading import LdapReading
from sync.sources.ldap.servers import Servers
from sync.sources.ldap.vendors import VENDORS


class LdapSource:
    """Our reader of one LDAP directory. Raises ConfigError for what cannot work."""

    def __init__(self, settings: SourceSettings, groups: Sequence[str] = ()) -> None:
        problems = list(_problems(settings))
        if problems:
            raise ConfigError([f"[[source]] {settings.name}: {problem}" for problem in problems])
        self._settings, self._groups = settings, groups

    @contextmanager
    def open(self) -> Iterator[Reading]:
        """Connect to the first server that answers, authenticate, and return the conversation; leaving the context closes it."""
        servers = Servers(self._settings)
        try:
            servers.line()
            yield LdapReading(self._settings, self._groups, servers)
        finally:
            servers.close()


def _problems(settings: SourceSettings) -> Iterator[str]:
    if not settings.urls:
        yield "urls is empty"
    if not settings.bases:
        yield "base is missing"
    if settings.vendor not in ("auto", *VENDORS):
        yield f'vendor = "{settings.vendor}" is none that is known'
    yield from _bind_problems(settings)
    scheme = "ldaps://" if settings.tls == "ldaps" else "ldap://"
    for url in settings.urls:
        if not url.startswith(scheme):
            yield f'{url} does not fit tls = "{settings.tls}"; write {scheme}…'


def _bind_problems(settings: SourceSettings) -> Iterator[str]:
    if settings.sasl not in ("", "external", "gssapi"):
        yield f'sasl = "{settings.sasl}" is none that is known'
    if settings.sasl == "external" and (settings.tls == "plain" or not settings.cert_file or settings.bind_dn):
        yield 'sasl = "external" binds by the client certificate: set tls, cert_file and key_file, and neither bind_dn nor password_file'
    if settings.sasl == "gssapi" and (not settings.principal or not settings.keytab_file or settings.bind_dn):
        yield 'sasl = "gssapi" binds by Kerberos: set principal and keytab_file, and neither bind_dn nor password_file'
    if settings.sasl == "gssapi" and settings.tls == "plain" and not settings.allow_plaintext:
        yield 'tls = "plain" leaves everything after a Kerberos bind unprotected; set allow_plaintext = true if that is meant'
    if settings.tls == "plain" and settings.password and not settings.allow_plaintext:
        yield 'tls = "plain" would send the password in the clear; set allow_plaintext = true if that is meant'
    if settings.bind_dn and not settings.password:
        yield "bind_dn needs password_file: without a password a directory takes the bind for an anonymous one"
