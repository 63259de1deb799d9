"""Everything the demo stands on: a private folder with a configuration, its secrets and a store, and a port. All of it goes away again."""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import tempfile
from pathlib import Path
from types import TracebackType

from daemon.demo.responder import Responder
from sync.errors import CannotListen
from sync.vault import generate_key_line

USUAL_PORT = 8321
SOURCE = "demo"

_CONFIG = """\
# The demo's configuration: everything in it is as an installation's would be, but the directory is the demo's own.

[store]
url = "sqlite:///rosterd.db"

[http]
port = {port}

[auth]
secret_file = "jwt.secret"

[keys]
encryption_key_file = "vault.keys"

[[keys.issue]]
name = "default"
groups = ["cn=ai-users,{groups}"]

[[source]]
name = "{source}"
kind = "ldap"
urls = ["{url}"]
tls = "plain"
allow_plaintext = true   # it never leaves this machine
bind_dn = "{bind_dn}"
password_file = "ldap.password"
base = "{base}"

[source.schedule]
every = "1m"
"""


class Stage:
    """The folder and what is in it; the context's end removes it."""

    def __init__(self, responder: Responder, port: int) -> None:
        self.port = port
        self.folder = Path(tempfile.mkdtemp(prefix="rosterd-demo-"))
        self.config = self.folder / "config.toml"
        self.log = self.folder / "daemon.log"
        self._responder = responder

    def __enter__(self) -> Stage:
        responder = self._responder
        self.write("ldap.password", responder.password)
        self.write("jwt.secret", secrets.token_urlsafe(48))
        self.write("vault.keys", generate_key_line())
        self.write(
            "config.toml",
            _CONFIG.format(
                port=self.port, groups=responder.groups, source=SOURCE, url=responder.url, bind_dn=responder.bind_dn, base=responder.people
            ),
        )
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def url(self) -> str:
        """Where the daemon answers."""
        return f"http://127.0.0.1:{self.port}"

    def write(self, name: str, text: str) -> Path:
        """Write a file that only we can read."""
        path = self.folder / name
        with os.fdopen(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_EXCL, 0o600), "w") as file:
            file.write(text.rstrip("\n") + "\n")
        return path


def pick_port(wanted: int | None) -> tuple[int, bool]:
    """Return (a port that is free now, whether it is the one that was meant): `wanted`, else the usual one, else any.

    Raises CannotListen when a port was asked for and is taken.
    """
    if _is_free(USUAL_PORT if wanted is None else wanted):
        return _bound_port(USUAL_PORT if wanted is None else wanted), True
    if wanted is None:
        return _bound_port(0), False
    raise CannotListen("cannot_listen", f"Port {wanted} of this machine is taken.", "Leave --port out, or choose another.")


def _is_free(port: int) -> bool:
    try:
        _bound_port(port)
    except OSError:
        return False
    return True


def _bound_port(port: int) -> int:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", port))
        return int(probe.getsockname()[1])
