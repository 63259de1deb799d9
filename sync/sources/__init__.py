"""One room per kind of directory. Adding one? Write a room with a Source of sync.directory, and name it here."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any

from sync.directory import Source
from sync.errors import ConfigError
from sync.settings import SourceSettings
from sync.sources.probed import Probed

__all__ = ["Probed", "normalise_group", "open_source", "probe"]


def open_source(settings: SourceSettings, groups: Sequence[str] = (), snapshot: Callable[[], AbstractContextManager[Any]] | None = None) -> Source:
    """Return the reader of one configured directory, not connected yet. What only one kind needs is imported only for it.

    `groups` are those that issue keys, in compared form; Proof.groups_found says which of them the directory shows. `snapshot` opens the
    store, where that is kept which was pushed: needed only for such a source. Raises ConfigError for a source that cannot work.
    """
    if settings.kind == "ldap":
        from sync.sources.ldap.source import LdapSource

        return LdapSource(settings, groups)
    if settings.kind == "scim":
        from sync.sources.scim.source import ScimSource

        return ScimSource(settings, groups)
    if snapshot is None:
        raise ConfigError([f"[[source]] {settings.name}: what is pushed to it is kept in the store, which is not open"])
    from sync.sources.push.source import PushSource

    return PushSource(settings, groups, snapshot)


def probe(settings: SourceSettings, vendor: str = "") -> Iterator[Probed]:
    """Yield what a look over the whole directory finds, each step as soon as it is known; for `rosterd check`. `vendor` = what an earlier
    read found it to be, "" before the first.

    Raises ConfigError for a source that is pushed to, and nothing that a directory can cause.
    """
    if settings.kind == "ldap":
        from sync.sources.ldap.probe import probe as probe_ldap

        return probe_ldap(settings, kept=vendor)
    if settings.kind == "scim":
        from sync.sources.scim.probe import probe as probe_scim

        return probe_scim(settings)
    raise ConfigError([f"[[source]] {settings.name}: nobody can be asked about it; what was pushed to it is all there is"])


def normalise_group(kind: str, text: str) -> str:
    """Return the form in which a group's name is compared: of LDAP groups the DN, of SCIM groups id or display name as they are."""
    if kind != "ldap":
        return text.strip()
    from sync.sources.ldap.dn import MalformedDn, normalise_dn

    try:
        return normalise_dn(text)
    except MalformedDn:
        return text
