"""A real OpenLDAP server of one's own: on free loopback ports, in a folder of its own, as any user; ready in a fraction of a second."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import ldap3
import psutil

from tests.servers.edits import Edits
from tests.servers.freezing import freeze, thaw
from tests.servers.ports import free_port
from tests.servers.slapd_texts import CONFIG, DATABASE, PASSWORD, SUFFIX, TREE, make_certificate, person_id, person_ldif

__all__ = ["Slapd", "SlapdFailed", "person_id", "person_ldif"]

_SLAPD = shutil.which("slapd", path="/usr/sbin:/usr/local/sbin:/usr/lib/openldap:/usr/local/libexec:" + os.environ.get("PATH", ""))


class SlapdFailed(Exception):
    """slapd or one of its tools ended badly; carries what it printed."""


class Slapd(Edits):
    """One slapd with an empty tree: ou=people, ou=former, ou=groups, the bind entries cn=sync (no limits) and cn=limited (500 entries).

    Everything is under `folder`. `prepare` makes the folder (or copies one made before), `start` runs the server.
    """

    base = f"ou=people,{SUFFIX}"
    former = f"ou=former,{SUFFIX}"
    groups = f"ou=groups,{SUFFIX}"
    suffix = SUFFIX
    id_attribute = "entryUUID"
    admin_dn = f"cn=admin,{SUFFIX}"
    bind_dn = f"cn=sync,{SUFFIX}"
    limited_dn = f"cn=limited,{SUFFIX}"
    password = PASSWORD

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = self.tls_port = 0
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where it listens in the clear (StartTLS is offered)."""
        return f"ldap://127.0.0.1:{self.port}"

    @property
    def ldaps_url(self) -> str:
        """Where it listens with TLS; the certificate names localhost and 127.0.0.1."""
        return f"ldaps://localhost:{self.tls_port}"

    @property
    def ca_file(self) -> Path:
        """The certificate to trust."""
        return self.folder / "server.crt"

    @property
    def pid(self) -> int:
        """The process id of the running server."""
        assert self._process is not None, "slapd is not running"
        return self._process.pid

    def prepare(self, template: Path | None = None) -> Slapd:
        """Make the configuration and the empty tree, or copy both from a folder that another Slapd prepared (and stopped)."""
        if template is not None:
            shutil.copytree(template, self.folder, dirs_exist_ok=True)
            return self
        for name in ("db", "slapd.d"):
            (self.folder / name).mkdir(parents=True)
        make_certificate(self.folder)
        self._slapadd(0, CONFIG)
        self._slapadd(1, TREE)
        return self

    def start(self) -> Slapd:
        """Run the server and return once it answers. A second start after `stop` listens on the same ports."""
        for _ in range(5):
            if not self.port:
                self.port, self.tls_port = free_port(), free_port()
            if self._try_start():
                return self
            self.port = 0
        raise SlapdFailed(f"slapd did not start: {(self.folder / 'slapd.err').read_text()[-2000:]}")

    def _try_start(self) -> bool:
        listen = f"ldap://127.0.0.1:{self.port} ldaps://127.0.0.1:{self.tls_port}"
        with (self.folder / "slapd.err").open("wb") as errors:
            self._process = subprocess.Popen([_slapd(), "-d", "0", "-F", "slapd.d", "-h", listen], cwd=self.folder, stdout=errors, stderr=errors)
        for _ in range(2000):
            if self._process.poll() is not None:
                return False
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
            except OSError:
                time.sleep(0.005)
            else:
                return True
        self.stop()
        return False

    def stop(self) -> None:
        """End the server; its data stays."""
        if self._process is None:
            return
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(20)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._process = None

    def restart(self) -> None:
        """Stop and start, on the same ports."""
        self.stop()
        self.start()

    def connections_of(self, pid: int) -> int:
        """Return how many connections a process has to this server, in the clear or with StartTLS."""
        all_of_it = psutil.Process(pid).net_connections()
        return sum(one.raddr != () and one.raddr.port == self.port and one.status == psutil.CONN_ESTABLISHED for one in all_of_it)

    def pause(self) -> None:
        """Freeze the process: connections are accepted by the kernel, nothing is answered."""
        freeze(self.pid)

    def resume(self) -> None:
        """Undo `pause`."""
        thaw(self.pid)

    def __enter__(self) -> Slapd:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None and self._process.poll() is None:
            self.resume()
        self.stop()

    # -- many at once -------------------------------------------------------------------------------------------

    def load(self, ldif: str | Iterable[str]) -> None:
        """Load LDIF with slapadd -q (fast; entryUUID may be given; overlays do not run). The server is restarted if it ran."""
        running = self._process is not None
        self.stop()
        self._slapadd(1, ldif, "-q")
        if running:
            self.start()

    def add_people(self, count: int, *, first: int = 1, parent: str = "") -> list[str]:
        """Load people `first` … and return their DNs; ids and addresses as in `person_ldif`."""
        where = parent or self.base
        numbers = range(first, first + count)
        self.load(person_ldif(number, where) for number in numbers)
        return [f"uid=u{number:06d},{where}" for number in numbers]

    def back_up(self) -> str:
        """Return the whole tree as LDIF, operational attributes included."""
        command = [_slapd(), "-T", "cat", "-n", "1", "-F", "slapd.d"]
        return subprocess.run(command, cwd=self.folder, check=True, capture_output=True, text=True).stdout

    def restore(self, ldif: str) -> None:
        """Put the tree back to what `back_up` returned; the server is restarted."""
        self.stop()
        for file in (self.folder / "db").iterdir():
            file.unlink()
        self._slapadd(1, ldif)
        self.start()

    def _slapadd(self, database: int, ldif: str | Iterable[str], *options: str) -> None:
        command = [_slapd(), "-T", "add", "-n", str(database), "-F", "slapd.d", *options]
        with subprocess.Popen(command, cwd=self.folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as tool:
            assert tool.stdin is not None and tool.stdout is not None
            for block in [ldif] if isinstance(ldif, str) else ldif:
                tool.stdin.write(block)
            tool.stdin.close()
            said = tool.stdout.read()
        if tool.returncode:
            raise SlapdFailed(f"slapadd: {said[-2000:]}")

    # -- configuration, while it runs ---------------------------------------------------------------------------

    def set_acl(self, *rules: str) -> None:
        """Replace the access rules (`to … by …`) of the tree, tried in this order; binding by password always stays allowed."""
        always = "to attrs=userPassword by anonymous auth by * none"
        self.configure(DATABASE, olcAccess=[f"{{{i}}}{rule}" for i, rule in enumerate([always, *rules])])

    def reset_acl(self) -> None:
        """Let everybody who is bound read everything again."""
        self.set_acl("to * by users read by * none")

    def set_limits(self, *lines: str) -> None:
        """Replace the limits (`dn.exact="…" size.soft=… …`) of the tree."""
        self.configure(DATABASE, olcLimits=[f"{{{i}}}{line}" for i, line in enumerate(lines)])

    def configure(self, dn: str, **changes: Any) -> None:
        """Replace attributes of cn=config."""
        with self.connect("cn=admin,cn=config") as connection:
            connection.modify(dn, {name: [(ldap3.MODIFY_REPLACE, value if isinstance(value, list) else [value])] for name, value in changes.items()})


def _slapd() -> str:
    if _SLAPD is None:
        raise SlapdFailed("slapd is not installed: apt-get install slapd ldap-utils")
    return _SLAPD
