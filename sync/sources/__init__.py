"""One room per kind of directory. Adding one? Write a room with a Source of sync.directory, and name it here."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sync.directory import Source
from sync.errors import ConfigError
from sync.settings import SourceSettings
from sync.sources.ldap.dn import MalformedDn, normalise_dn
from sync.sources.ldap.probe import probe as _probe_ldap
from sync.sources.ldap.source import LdapSource
from sync.sources.probed import Probed

__all__ = ["Probed", "normalise_group", "open_source", "probe"]


def open_source(settings: SourceSettings, groups: Sequence[str] = ()) -> Source:
    """Return the reader of one configured directory, not connected yet. httpx is imported only where a provider is to be asked.

    `groups` are those that issue keys, in compared form; Proof.groups_found says which of them the directory shows.
    Raises ConfigError for kinds that are not available yet.
    """
    if settings.kind == "ldap":
        return LdapSource(settings, groups)
    if settings.kind == "scim":
        from sync.sources.scim.source import ScimSource

        return ScimSource(settings, groups)
    raise _not_yet(settings)


def probe(settings: SourceSettings, vendor: str = "") -> Iterator[Probed]:
    """Yield what a look over the whole directory finds, each step as soon as it is known; for `rosterd check`. `vendor` = what an earlier
    read found it to be, "" before the first.

    Raises ConfigError for kinds that are not available yet, and nothing that a directory can cause.
    """
    if settings.kind == "ldap":
        return _probe_ldap(settings, kept=vendor)
    if settings.kind == "scim":
        from sync.sources.scim.probe import probe as probe_scim

        return probe_scim(settings)
    raise _not_yet(settings)


def normalise_group(kind: str, text: str) -> str:
    """Return the form in which a group's name is compared: of LDAP groups the DN, of SCIM groups id or display name as they are."""
    if kind != "ldap":
        return text.strip()
    try:
        return normalise_dn(text)
    except MalformedDn:
        return text


def _not_yet(settings: SourceSettings) -> ConfigError:
    return ConfigError([f'[[source]] {settings.name}: kind = "{settings.kind}" is not available yet'])
