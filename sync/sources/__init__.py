"""One room per kind of directory. Adding one? Write a room with a Source of sync.directory, and name it here."""

from __future__ import annotations

from collections.abc import Sequence

from sync.directory import Source
from sync.errors import ConfigError
from sync.settings import SourceSettings
from sync.sources.ldap.dn import MalformedDn, normalise_dn
from sync.sources.ldap.source import LdapSource


def open_source(settings: SourceSettings, groups: Sequence[str] = ()) -> Source:
    """Return the reader of one configured directory, not connected yet.

    `groups` are those that issue keys, in compared form; Proof.groups_found says which of them the directory shows.
    Raises ConfigError for kinds that are not available yet.
    """
    if settings.kind == "ldap":
        return LdapSource(settings, groups)
    raise ConfigError([f'[[source]] {settings.name}: kind = "{settings.kind}" is not available yet'])


def normalise_group(kind: str, text: str) -> str:
    """Return the form in which a group's name is compared: of LDAP groups the DN; what is no DN compares as it is."""
    if kind != "ldap":
        return text
    try:
        return normalise_dn(text)
    except MalformedDn:
        return text
