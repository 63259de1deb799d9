"""A real 389 Directory Server of one's own: on a free loopback port, in a folder of its own, as any user; ready in about a second."""

from __future__ import annotations

import os
import pwd
import re
import shutil
import socket
import subprocess
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ldap3

from tests.servers.dirsrv_texts import FREEIPA_ROOT, FREEIPA_SCHEMA, KERBEROS_SCHEMA, ROOT_DN, ROOT_PASSWORD, configuration, tree
from tests.servers.edits import Edits
from tests.servers.ports import free_port

__all__ = ["Dirsrv", "DirsrvFailed", "DirsrvTree"]

_NS_SLAPD = shutil.which("ns-slapd", path="/usr/sbin:/usr/local/sbin:" + os.environ.get("PATH", ""))
_FOLDERS = ("lock", "tmp", "cert", "ldif", "bak", "run", "inst", "log", "db")


class DirsrvFailed(Exception):
    """ns-slapd ended badly; carries what it printed and logged."""


class Dirsrv:
    """One ns-slapd without data. `plant` gives it one more tree, which one test may have to itself.

    dscreate, the usual way, wants root, systemd and folders under /etc and /var; this writes the configuration that dscreate would
    write from the same template, and runs the server on it. With `freeipa` it says of itself what FreeIPA's says, has as much of
    its schema as a reader meets, and the people of its trees stand where FreeIPA keeps them.
    """

    def __init__(self, folder: Path, *, freeipa: bool = False) -> None:
        self.folder, self.freeipa = folder, freeipa
        self._conf = folder / f"slapd-{uuid.uuid4().hex[:12]}"  # the server names its semaphore in /dev/shm after this folder
        self.port = 0
        self._planted = 0
        self._process: subprocess.Popen[bytes] | None = None

    def prepare(self) -> Dirsrv:
        """Make the folders and the configuration."""
        if _NS_SLAPD is None:
            raise DirsrvFailed("ns-slapd is not installed: apt-get install --no-install-recommends 389-ds-base")
        for name in _FOLDERS:
            (self.folder / name).mkdir()
        conf = self._conf
        (conf / "schema").mkdir(parents=True)
        for name in ("schema/99user.ldif", "slapd-collations.conf", "certmap.conf"):  # the distribution's may be read by root only
            (conf / name).write_text("dn: cn=schema\nobjectClass: subschema\n" if name.endswith("ldif") else "")
        if self.freeipa:
            shutil.copy(KERBEROS_SCHEMA, conf / "schema")
            (conf / "schema/61freeipa.ldif").write_text(FREEIPA_SCHEMA)
        return self

    def start(self) -> Dirsrv:
        """Run the server and return once it answers."""
        for _ in range(5):
            self.port = free_port()
            user = pwd.getpwuid(os.getuid()).pw_name
            (self._conf / "dse.ldif").write_text(configuration(self.folder, self._conf, self.port, user))
            if self._try_start():
                if self.freeipa:
                    DirsrvTree(self.port, "", freeipa=True).modify("", objectClass=["top", "extensibleObject"], **FREEIPA_ROOT)
                return self
        raise DirsrvFailed(f"ns-slapd did not start: {self._said()}")

    def _try_start(self) -> bool:
        with (self.folder / "ns-slapd.err").open("wb") as errors:
            command = [str(_NS_SLAPD), "-D", str(self._conf), "-i", str(self.folder / "run/pid"), "-d", "0"]
            self._process = subprocess.Popen(command, stdout=errors, stderr=errors)
        for _ in range(6000):
            if self._process.poll() is not None:
                return False
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
            except OSError:
                time.sleep(0.01)
            else:
                return True
        self.stop()
        return False

    def _said(self) -> str:
        logs = [self.folder / "ns-slapd.err", self.folder / "log/errors"]
        return " ".join(path.read_text(errors="replace")[-2000:] for path in logs if path.exists())

    def stop(self) -> None:
        """End the server. Its data is thrown away with the folder, so it need not put anything in order."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        self._process = None
        Path(f"/dev/shm/sem.{self._conf.name}.stats").unlink(missing_ok=True)  # noqa: S108

    def __enter__(self) -> Dirsrv:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def restore(self, grown: DirsrvTree, ldif: str) -> None:
        """Replace a tree by what was exported from it, as an administrator does: the server stopped, ldif2db, the server started."""
        file = self.folder / "ldif/restored.ldif"
        file.write_text(ldif)
        self.stop()
        command = [str(_NS_SLAPD), "ldif2db", "-D", str(self._conf), "-n", grown.name, "-i", str(file)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode or not self._try_start():
            raise DirsrvFailed(f"ldif2db: {done.stdout[-2000:]} {done.stderr[-2000:]} {self._said()}")

    def plant(self) -> DirsrvTree:
        """Return a new tree with a suffix of its own, and its own bind entries."""
        self._planted += 1
        grown = DirsrvTree(self.port, f"t{self._planted}", freeipa=self.freeipa)
        grown.grow()
        return grown


class DirsrvTree(Edits):
    """One naming context: ou=people, ou=former, ou=groups, and the bind entries cn=sync (no limits) and cn=limited (the server's).

    With `freeipa` the people stand in cn=users,cn=accounts, and cn=deleted users keeps who was preserved.
    """

    admin_dn = ROOT_DN
    password = ROOT_PASSWORD

    def __init__(self, port: int, name: str, *, freeipa: bool) -> None:
        self.port, self.name, self.freeipa = port, name, freeipa
        self.suffix = suffix = f"dc={name},dc=test"
        self.id_attribute = "ipaUniqueID" if freeipa else "nsUniqueId"
        self.deleted = f"cn=deleted users,cn=accounts,cn=provisioning,{suffix}"
        self.base = f"cn=users,cn=accounts,{suffix}" if freeipa else f"ou=people,{suffix}"
        self.groups = f"cn=groups,cn=accounts,{suffix}" if freeipa else f"ou=groups,{suffix}"
        self.former = f"ou=former,{suffix}"
        self.bind_dn = f"cn=sync,{suffix}"
        self.limited_dn = f"cn=limited,{suffix}"

    @property
    def url(self) -> str:
        """Where its server listens, in the clear."""
        return f"ldap://127.0.0.1:{self.port}"

    def grow(self) -> None:
        """Make the database, let it keep tombstones as a replicated one does, and add the first entries."""
        with self.connect() as connection:
            for dn, attributes in tree(self.suffix, self.name, freeipa=self.freeipa):
                connection.add(dn, attributes=attributes)

    def set_acis(self, *rules: str, dn: str = "") -> None:
        """Replace the access rules (`(targetattr=…)(version 3.0; acl …)`) on an entry, by default on the suffix."""
        self.modify(dn or self.suffix, aci=list(rules))

    def search(self, text: str, *attributes: str, base: str = "") -> list[dict[str, Any]]:
        """Return what the administrator finds."""
        with self.connect() as connection:
            connection.search(base or self.suffix, text, ldap3.SUBTREE, attributes=list(attributes) or ["*"])
            return [found for found in connection.response if "raw_attributes" in found]

    def export(self) -> str:
        """Return the tree as LDIF, ids included."""
        with self.connect() as connection:
            connection.search(self.suffix, "(objectClass=*)", ldap3.SUBTREE, attributes=["*", "aci", "nsUniqueId"])
            return str(connection.response_to_ldif())

    @contextmanager
    def without_content_sync(self) -> Iterator[None]:
        """Let nobody use the control, on the whole server, as an administrator would who has not thought of it."""
        feature = "oid=1.3.6.1.4.1.4203.1.9.1.1,cn=features,cn=config"
        (rules,) = self.search("(objectClass=*)", "aci", base=feature)
        self.modify(feature, aci=[])
        try:
            yield
        finally:
            self.modify(feature, aci=rules["raw_attributes"]["aci"])

    def add_people(self, count: int) -> None:
        """Add numbered people to the base, on one connection."""
        with self.connect() as connection:
            for number in range(1, count + 1):
                uid = f"u{number:06d}"
                entry = {"objectClass": ["inetOrgPerson"], "cn": uid, "sn": uid, "mail": f"{uid}@example.com"}
                connection.add(f"uid={uid},{self.base}", attributes=entry)

    def lock_by_role(self, *dns: str) -> None:
        """Inactivate people as dsidm's `account lock` of a role does: a role, and a class of service that gives its people nsAccountLock."""
        disabled, template = f"cn=nsManagedDisabledRole,{self.suffix}", f"cn=nsAccountInactivationTmp,{self.suffix}"
        role_classes = ["LDAPsubentry", "nsRoleDefinition", "nsSimpleRoleDefinition", "nsManagedRoleDefinition"]
        self.add(disabled, objectClass=role_classes)
        self.add(template, objectClass="nsContainer")
        escaped = re.sub(r"([,=])", r"\\\1", disabled)
        self.add(
            f"cn={escaped},{template}",
            objectClass=["extensibleObject", "costemplate", "LDAPsubentry"],
            nsAccountLock="true",
            cosPriority="1",
        )
        service = self.add(
            f"cn=nsAccountInactivation_cos,{self.suffix}",
            objectClass=["LDAPsubentry", "cosSuperDefinition", "cosClassicDefinition"],
            cosTemplateDn=template,
            cosSpecifier="nsRole",
            cosAttribute="nsAccountLock operational",
        )
        for dn in dns:
            self.modify(dn, nsRoleDN=disabled)
        self._wait_for_locks(dns, service)

    def _wait_for_locks(self, dns: Sequence[str], service: str) -> None:
        """Return once the server shows these as locked. A thread of its own learns what a class of service gives, and of several changes in a
        row it misses the last one now and then, for good: then it is told again."""
        for again in range(20):
            until = time.monotonic() + 1
            while time.monotonic() < until:
                if all(self.search("(nsAccountLock=true)", base=dn) for dn in dns):
                    return
                time.sleep(0.02)
            self.modify(service, description=f"told again, {again}")
        raise DirsrvFailed(f"the server does not show that a role locks {dns}")
