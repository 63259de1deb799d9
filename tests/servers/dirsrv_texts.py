"""What tests/servers/dirsrv.py starts from: the server's configuration, and the entries of an empty tree."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT_DN = "cn=Directory Manager"
ROOT_PASSWORD = "secret secret"
KERBEROS_SCHEMA = Path("/usr/share/dirsrv/data/60kerberos.ldif")
FREEIPA_SCHEMA = """\
dn: cn=schema
attributeTypes: ( 2.16.840.1.113730.3.8.3.1 NAME 'ipaUniqueID' EQUALITY caseIgnoreMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.15 X-ORIGIN 'IPA v2' )
objectClasses: ( 2.16.840.1.113730.3.8.4.8 NAME 'ipaObject' SUP top AUXILIARY MUST ipaUniqueID X-ORIGIN 'IPA v2' )
"""
FREEIPA_ROOT = {"ipaTopologyPluginVersion": "1.0", "ipaTopologyIsManaged": "on", "ipaDomainLevel": "1"}
"""What FreeIPA's topology plug-in adds to the root DSE."""
_PLUGINS = {
    "MemberOf Plugin": "",
    "Retro Changelog Plugin": "\nnsslapd-attribute: nsuniqueid:targetUniqueId",
    "Content Synchronization": "",
}
"""What is switched on: groups on the entries of their members, and content synchronisation with the log it needs."""
_TEMPLATE = Path("/usr/share/dirsrv/data/template-dse.ldif")


def configuration(folder: Path, conf: Path, port: int, user: str) -> str:
    """Return dse.ldif: the distribution's template filled in, memberOf switched on, nothing listening but loopback."""
    salt = b"rosterd."
    digest = base64.b64encode(hashlib.sha512(ROOT_PASSWORD.encode() + salt).digest() + salt).decode()
    filled = {
        **{f"{name}_dir": str(folder / name) for name in ("lock", "tmp", "cert", "ldif", "bak", "run", "inst", "log", "db")},
        "schema_dir": str(conf / "schema"),
        "config_dir": str(conf),
        "db_home_dir": str(folder / "db"),
        "db_lib": "bdb",
        "fqdn": "localhost",
        "ds_port": str(port),
        "ds_user": user,
        "ds_suffix": "dc=test",
        "rootdn": ROOT_DN,
        "ds_passwd": f"{{SSHA512}}{digest}",
        "ldapi_enabled": "off",
        "ldapi": str(folder / "ldapi"),
        "ldapi_autobind": "off",
    }
    text = re.sub(r"%(\w+)%", lambda found: filled[found[1]], _TEMPLATE.read_text())
    listening = "nsslapd-listenhost: 127.0.0.1\nnsslapd-accesslog-logging-enabled: off\nnsslapd-securitylog-logging-enabled: off\nnsslapd-port:"
    text = text.replace("nsslapd-port:", listening, 1)
    for plugin, more in _PLUGINS.items():
        before, entry = text.split(f"dn: cn={plugin},cn=plugins,cn=config", 1)
        entry = re.sub("nsslapd-pluginEnabled: off", f"nsslapd-pluginEnabled: on{more}", entry, count=1, flags=re.IGNORECASE)
        text = f"{before}dn: cn={plugin},cn=plugins,cn=config{entry}"
    return text


def tree(suffix: str, backend: str, *, freeipa: bool) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the entries that make a database for `suffix` and what stands in it at first."""
    mapping = f'cn="{suffix}",cn=mapping tree,cn=config'
    yield (
        f"cn={backend},cn=ldbm database,cn=plugins,cn=config",
        {"objectClass": ["extensibleObject", "nsBackendInstance"], "nsslapd-suffix": suffix},
    )
    yield mapping, {"objectClass": ["extensibleObject", "nsMappingTree"], "cn": suffix, "nsslapd-state": "backend", "nsslapd-backend": backend}
    everything = '(targetattr="*")(version 3.0; acl "everybody who is bound reads"; allow (read, search, compare) userdn="ldap:///all";)'
    yield suffix, {"objectClass": ["domain"], "dc": suffix.partition(",")[0][3:], "aci": everything}
    yield (
        f"cn=replica,{mapping}",
        {
            "objectClass": ["nsDS5Replica"],
            "nsDS5ReplicaRoot": suffix,
            "nsDS5ReplicaType": "3",
            "nsDS5ReplicaId": "1",
            "nsDS5Flags": "1",
            "nsDS5ReplicaBindDN": ROOT_DN,
        },
    )
    for name in ("people", "former", "groups"):
        yield f"ou={name},{suffix}", {"objectClass": ["organizationalUnit"]}
    for name, limit in (("sync", "-1"), ("limited", "")):
        lifted = {f"ns{kind}Limit": limit for kind in ("Size", "PagedSize", "LookThrough", "PagedLookThrough", "Time") if limit}
        yield f"cn={name},{suffix}", {"objectClass": ["applicationProcess", "simpleSecurityObject"], "userPassword": ROOT_PASSWORD, **lifted}
    if freeipa:
        yield from _of_freeipa(suffix)


def _of_freeipa(suffix: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for name in ("accounts", "provisioning"):
        yield f"cn={name},{suffix}", {"objectClass": ["nsContainer"]}
    yield f"cn=accounts,cn=provisioning,{suffix}", {"objectClass": ["nsContainer"]}
    for name in ("users,cn=accounts", "groups,cn=accounts", "deleted users,cn=accounts,cn=provisioning", "staged users,cn=accounts,cn=provisioning"):
        yield f"cn={name},{suffix}", {"objectClass": ["nsContainer"]}
