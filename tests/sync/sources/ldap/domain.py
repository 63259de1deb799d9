"""A source on a branch of the tests' domain controller."""

from __future__ import annotations

from typing import Any

from sync.settings import Secret as Hidden
from sync.settings import SourceSettings
from tests.servers.branch import Branch


def corp_ad(branch: Branch, **changes: Any) -> SourceSettings:
    """Return the settings of a source that reads everybody of a branch over LDAPS, as the ordinary bind account; all else is left out."""
    settings: dict[str, Any] = {
        "name": "corp",
        "kind": "ldap",
        "rank": 0,
        "urls": (branch.samba.ldaps_url,),
        "ca_file": branch.samba.ca_file,
        "bind_dn": branch.samba.reader,
        "password": Hidden(branch.samba.password),
        "bases": (branch.base,),
        "connect_timeout": 5.0,
        "read_timeout": 20.0,
    }
    return SourceSettings(**(settings | changes))
