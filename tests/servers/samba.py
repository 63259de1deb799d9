"""A real Active Directory domain controller of one's own (Samba's): on a loopback address of its own, provisioned in a few seconds."""

from __future__ import annotations

import os
import random
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

from tests.servers.samba_rights import OWNER_CONTROL, SD_CONTROL, owned_by, with_ace

__all__ = ["Samba", "SambaFailed", "tool"]

REALM = "corp.example.com"
PASSWORD = "Correct-horse.7"
_SUFFIX = ",".join(f"DC={label}" for label in REALM.split("."))
_PORTS = (88, 464, 389, 636, 3268, 3269)
_PATH = "/usr/sbin:/usr/bin:/usr/local/samba/sbin:/usr/local/samba/bin:" + os.environ.get("PATH", "")
_NORMAL = 512
_SHOW_DELETED = ("1.2.840.113556.1.4.417", True, None)


class SambaFailed(Exception):
    """Samba or one of its tools cannot run, or ended badly; says why."""


class Samba:
    """One domain controller of corp.example.com, of which the LDAP server and the key distribution centre run. Everything is under `folder`.

    Samba's ports cannot be moved, so it has an address of its own in 127.0.0.0/8, another one whenever that is taken. Its people stand
    in branches, one for each test (tests/servers/branch.py). Bind accounts: `reader` (an ordinary user), `undertaker` (may also list
    the deleted objects).
    """

    suffix = _SUFFIX
    admin = f"Administrator@{REALM}"
    reader = f"CN=reader,CN=Users,{_SUFFIX}"
    undertaker = f"CN=undertaker,CN=Users,{_SUFFIX}"
    graveyard = f"CN=Deleted Objects,{_SUFFIX}"
    password = PASSWORD

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.address = ""
        self._process: subprocess.Popen[bytes] | None = None
        self._connection: ldap3.Connection | None = None

    @property
    def url(self) -> str:
        """Where it listens in the clear (StartTLS is offered, and passwords are refused without)."""
        return f"ldap://{self.address}"

    @property
    def ldaps_url(self) -> str:
        """Where it listens with TLS; the certificate names its address."""
        return f"ldaps://{self.address}"

    @property
    def catalogue_url(self) -> str:
        """Its global catalogue, with TLS."""
        return f"ldaps://{self.address}:3269"

    @property
    def ca_file(self) -> Path:
        """The certificate to trust."""
        return self.folder / "server.crt"

    def prepare(self) -> Samba:
        """Provision the domain."""
        if os.geteuid():
            raise SambaFailed("Samba's domain controller listens on ports below 1024 and needs root: run the tests as root, or with sudo")
        command = [tool("samba-tool"), "domain", "provision", f"--targetdir={self.folder}", "--server-role=dc", "--dns-backend=NONE"]
        command += [f"--realm={REALM}", "--domain=CORP", f"--adminpass={PASSWORD}", "--host-name=dc1", "--host-ip=127.0.0.1"]
        # File rights in a file of their own: not every file system has room for them.
        options = ["vfs objects=dfs_samba4 acl_xattr xattr_tdb", f"posix:eadb={self.folder}/rights.tdb"]
        _run([*command, *(f"--option={option}" for option in options)])
        return self

    def start(self) -> Samba:
        """Run the server and return once it answers."""
        for _ in range(5):
            self.address = _free_address()
            if self._try_start():
                break
            self.stop()
        else:
            raise SambaFailed(f"samba did not start: {(self.folder / 'samba.err').read_text()[-2000:]}")
        for dn in (self.reader, self.undertaker):
            self.add_user(dn)
        self._open_graveyard()
        return self

    def _open_graveyard(self) -> None:
        """Do what docs/ldap.md tells administrators to do by dsacls: take ownership of the deleted objects, and let one account list them."""
        mine = owned_by(self.value_of(f"CN=Administrator,CN=Users,{self.suffix}", "objectSid"))
        change = {"nTSecurityDescriptor": [(ldap3.MODIFY_REPLACE, [mine])]}
        self._do("modify", self.graveyard, change, controls=[OWNER_CONTROL, _SHOW_DELETED])
        self._set_rights(self.graveyard, self.undertaker, "list read", (), allow=True, inherited=False)

    def _try_start(self) -> bool:
        _make_certificate(self.folder, self.address)
        options = [f"interfaces={self.address}/8", "bind interfaces only=yes", "server services=ldap kdc", f"log file={self.folder}/log"]
        options += [f"pid directory={self.folder}", f"ncalrpc dir={self.folder}/ncalrpc"]
        # Kerberos binds over TLS, which is all the protection they need; passwords still only over TLS.
        options += ["ldap server require strong auth=allow_sasl_over_tls"]
        options += [f"tls {kind}file={self.folder}/server.{end}" for kind, end in (("key", "key"), ("cert", "crt"), ("ca", "crt"))]
        command = [tool("samba"), "--foreground", "--no-process-group", "--model=single", f"--configfile={self.folder}/etc/smb.conf"]
        with (self.folder / "samba.err").open("wb") as errors:
            command += [f"--option={option}" for option in options]
            self._process = subprocess.Popen(command, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=errors, stderr=errors)
        for _ in range(600):
            if self._process.poll() is not None:
                return False
            try:
                socket.create_connection((self.address, _PORTS[-1]), 1).close()  # the last port it opens
            except OSError:
                time.sleep(0.02)
            else:
                return True
        return False

    def stop(self) -> None:
        """End the server; its data stays."""
        if self._connection is not None:
            self._connection.unbind()
            self._connection = None
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(20)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._process = None

    @contextmanager
    def locking_out(self, after: int) -> Iterator[None]:
        """Let the domain count wrong passwords, and lock accounts out after so many; otherwise it does not count."""
        self.modify(self.suffix, lockoutThreshold=after)
        try:
            yield
        finally:
            self.modify(self.suffix, lockoutThreshold=0)

    def __enter__(self) -> Samba:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    # -- changing the directory, as its administrator ---------------------------------------------------------------

    def add(self, dn: str, **attributes: Any) -> str:
        """Add an entry; `objectClass` is part of the attributes. Returns the DN."""
        self._do("add", dn, attributes=attributes)
        return dn

    def add_user(self, dn: str, **attributes: Any) -> str:
        """Add one user with a password, enabled (attributes override the defaults, None leaves one out); returns the DN."""
        name = dn.partition(",")[0].partition("=")[2]
        entry: dict[str, Any] = {"objectClass": "user", "sAMAccountName": name, "userAccountControl": _NORMAL}
        entry |= {"unicodePwd": f'"{PASSWORD}"'.encode("utf-16-le")} | attributes
        return self.add(dn, **{key: value for key, value in entry.items() if value is not None})

    def modify(self, dn: str, **changes: Any) -> None:
        """Replace attributes: a list of values each, [] deletes the attribute."""
        self._do("modify", dn, {name: [(ldap3.MODIFY_REPLACE, value if isinstance(value, list) else [value])] for name, value in changes.items()})

    def extend(self, dn: str, **values: list[str]) -> None:
        """Add values to attributes."""
        self._do("modify", dn, {name: [(ldap3.MODIFY_ADD, several)] for name, several in values.items()})

    def delete(self, *dns: str) -> None:
        """Delete entries: they become tombstones."""
        for dn in dns:
            self._do("delete", dn)

    def move(self, dn: str, parent: str = "", *, rdn: str = "") -> str:
        """Move and/or rename an entry (its objectGUID stays); return the new DN."""
        old_rdn, _, old_parent = dn.partition(",")
        self._do("modify_dn", dn, rdn or old_rdn, new_superior=parent or None)
        return f"{rdn or old_rdn},{parent or old_parent}"

    def value_of(self, dn: str, attribute: str) -> bytes:
        """Return the one value of an attribute, as octets."""
        self._do("search", dn, "(objectClass=*)", ldap3.BASE, attributes=[attribute], controls=[_SHOW_DELETED])
        return bytes(self._admin().response[0]["raw_attributes"][attribute][0])

    def find(self, base: str, wanted: str) -> list[str]:
        """Return the DNs below `base` that match a filter."""
        self._do("search", base, wanted, attributes=["1.1"])
        return [entry["dn"] for entry in self._admin().response if "dn" in entry]

    def deny(self, dn: str, whom: str, rights: str, *attributes: str) -> None:
        """Take rights ("list", "read", "write", "all") on an entry and everything below it from an account; of the named attributes only."""
        self._set_rights(dn, whom, rights, attributes, allow=False, inherited=True)

    def deny_here(self, dn: str, whom: str, rights: str) -> None:
        """Take rights on an entry alone."""
        self._set_rights(dn, whom, rights, (), allow=False, inherited=False)

    def grant(self, dn: str, whom: str, rights: str, *attributes: str) -> None:
        """Give them."""
        self._set_rights(dn, whom, rights, attributes, allow=True, inherited=True)

    def grant_set(self, dn: str, whom: str, name: str) -> None:
        """Give the right to read a property set, by its display name."""
        (found,) = self.find(f"CN=Extended-Rights,CN=Configuration,{self.suffix}", f"(displayName={name})")
        guid = uuid.UUID(self.value_of(found, "rightsGuid").decode()).bytes_le
        self._set_aces(dn, whom, "read", [guid], allow=True, inherited=True)

    def _set_rights(self, dn: str, whom: str, rights: str, attributes: Sequence[str], *, allow: bool, inherited: bool) -> None:
        schema = f"CN=Schema,CN=Configuration,{self.suffix}"
        guids = [self.value_of(self.find(schema, f"(lDAPDisplayName={name})")[0], "schemaIDGUID") for name in attributes]
        self._set_aces(dn, whom, rights, guids or [None], allow=allow, inherited=inherited)

    def _set_aces(self, dn: str, whom: str, rights: str, guids: Sequence[bytes | None], *, allow: bool, inherited: bool) -> None:
        sid = self.value_of(whom, "objectSid")
        self._do("search", dn, "(objectClass=*)", ldap3.BASE, attributes=["nTSecurityDescriptor"], controls=[SD_CONTROL, _SHOW_DELETED])
        descriptor = bytes(self._admin().response[0]["raw_attributes"]["nTSecurityDescriptor"][0])
        for guid in guids:
            descriptor = with_ace(descriptor, sid, rights, guid, allow=allow, inherited=inherited)
        change = {"nTSecurityDescriptor": [(ldap3.MODIFY_REPLACE, [descriptor])]}
        self._do("modify", dn, change, controls=[SD_CONTROL, _SHOW_DELETED])

    def _do(self, operation: str, *args: Any, **kwargs: Any) -> None:
        getattr(self._admin(), operation)(*args, **kwargs)

    def _admin(self) -> ldap3.Connection:
        """Return the administrator's connection: kept, for a bind takes longer than what follows. Failed operations raise."""
        if self._connection is None or self._connection.closed:
            server = ldap3.Server(self.address, 636, use_ssl=True, get_info=ldap3.NONE, connect_timeout=10)
            options = {"raise_exceptions": True, "check_names": False, "auto_referrals": False, "receive_timeout": 60}
            self._connection = ldap3.Connection(server, self.admin, PASSWORD, **options)
            self._connection.bind(read_server_info=False)
        return self._connection


def _free_address() -> str:
    """Return a loopback address on which nobody listens on any of Samba's ports now."""
    for _ in range(100):
        address = f"127.{random.randrange(16, 240)}.{random.randrange(256)}.{random.randrange(1, 255)}"
        try:
            for port in _PORTS:
                with socket.socket() as probe:
                    probe.bind((address, port))
        except OSError:
            continue
        return address
    raise SambaFailed(f"no loopback address has the ports {_PORTS} free")


def _make_certificate(folder: Path, address: str) -> None:
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "30", "-subj", "/CN=dc1"]
    command += ["-addext", f"subjectAltName=DNS:dc1.{REALM},IP:{address}"]
    _run([*command, "-keyout", str(folder / "server.key"), "-out", str(folder / "server.crt")])
    (folder / "server.key").chmod(0o600)


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise SambaFailed(f"{Path(command[0]).name}: {done.stdout[-1000:]}{done.stderr[-2000:]}")


def tool(name: str) -> str:
    """Return where a program of Samba is. Raises SambaFailed."""
    found = shutil.which(name, path=_PATH)
    if found is None:
        raise SambaFailed(f"{name} is not installed: bash tests/servers/install.sh")
    return found
