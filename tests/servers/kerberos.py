"""The Kerberos realm of the tests' domain controller: a krb5.conf that finds it, services it knows, and keytabs, right and wrong."""

from __future__ import annotations

import os
import socket
import struct
import subprocess
import threading
from pathlib import Path

from tests.servers.liar import number, tlv
from tests.servers.samba import REALM, Samba, tool

__all__ = ["Realm", "keytab", "stuck_clock"]

_AES256 = 18


class Realm:
    """CORP.EXAMPLE.COM; everything is kept in `folder`. `use` is what KRB5_CONFIG is to be set to."""

    name = REALM.upper()

    def __init__(self, samba: Samba, folder: Path) -> None:
        self._samba, self.folder = samba, folder
        self.use = self.configure("krb5.conf", samba.address)

    def configure(self, name: str, centre: str) -> Path:
        """Write a krb5.conf by which the realm's key distribution centre is at `centre`; nothing is asked of DNS."""
        (self.folder / name).write_text(
            "[libdefaults]\ndns_lookup_kdc = false\ndns_lookup_realm = false\nudp_preference_limit = 1\n"
            f"[realms]\n{self.name} = {{\n  kdc = {centre}\n}}\n"
        )
        return self.folder / name

    def serve(self, account: str, *services: str) -> None:
        """Let the realm know services (`ldap/HOST`), whose key is an account's."""
        self._samba.extend(account, servicePrincipalName=list(services))

    def keytab_of(self, name: str) -> Path:
        """Return a keytab with the keys of a principal, given without its realm."""
        path = self.folder / f"{name.replace('/', '-')}.keytab"
        command = [tool("samba-tool"), "domain", "exportkeytab", str(path), f"--principal={name}@{self.name}"]
        subprocess.run([*command, f"--configfile={self._samba.folder}/etc/smb.conf"], check=True, capture_output=True)
        path.chmod(0o600)
        return path


def keytab(path: Path, principal: str) -> Path:
    """Write a keytab (version 5.2) with a random key for a principal of one component, which nobody else has."""
    name, _, realm = principal.partition("@")
    parts = b"".join(struct.pack(">H", len(text)) + text.encode() for text in (realm, name))
    entry = struct.pack(">H", 1) + parts + struct.pack(">IIB", 1, 0, 1) + struct.pack(">HH", _AES256, 32) + os.urandom(32)
    path.write_bytes(b"\5\2" + struct.pack(">i", len(entry)) + entry)
    path.chmod(0o600)
    return path


def stuck_clock(realm: str) -> str:
    """Start a key distribution centre that finds every clock but its own wrong (RFC 4120 section 5.9.1); return its address. It ends with us."""
    general, text = lambda tag, content: tlv(0xA0 | tag, content), lambda value: tlv(0x1B, value.encode())
    service = general(0, number(2)) + general(1, tlv(0x30, text("krbtgt") + text(realm)))
    fields = [(0, number(5)), (1, number(30)), (4, tlv(0x18, b"20260101000000Z")), (5, number(0)), (6, number(37)), (9, text(realm))]
    said = tlv(0x7E, tlv(0x30, b"".join(general(tag, value) for tag, value in fields) + general(10, tlv(0x30, service))))
    listener = socket.create_server(("127.0.0.1", 0))

    def answer() -> None:
        while True:
            line = listener.accept()[0]
            line.recv(65536)
            line.sendall(struct.pack(">I", len(said)) + said)
            line.close()

    threading.Thread(target=answer, daemon=True).start()
    return f"127.0.0.1:{listener.getsockname()[1]}"
