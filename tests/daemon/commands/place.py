"""An installation of one's own, and the real `rosterd` command in a process of its own."""

from __future__ import annotations

import base64
import os
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import cast

import click

from daemon.command import rosterd
from daemon.config import load
from sync.store.engine import Store, open_store
from tests.daemon.forked import COMMANDING, Done, Fork
from tests.servers.slapd import Slapd
from tests.stores import STORES

ROOT = Path(__file__).parents[3]

CONFIG = """
{store}[auth]
secret_file = "jwt.secret"
[keys]
encryption_key_file = "vault.keys"
[[keys.issue]]
name = "default"
sources = ["corp"]
[[source]]
name = "corp"
kind = "ldap"
tls = "plain"
allow_plaintext = true
urls = ["{url}"]
bind_dn = "{bind_dn}"
password_file = "ldap.password"
base = "{base}"
connect_timeout = "2s"
"""


PATIENCE = 120.0
"""Seconds within which every command ends."""

_BEGUN: set[tuple[str, ...]] = set()
"""The commands that this process has run from their very beginning."""


class Place:
    """A folder with config.toml, secrets and, sooner or later, a store."""

    def __init__(self, folder: Path, url: str, bind_dn: str = "cn=sync,dc=example,dc=com", base: str = "ou=people,dc=example,dc=com") -> None:
        self.folder = folder
        self.config = folder / "config.toml"
        self.text = CONFIG.format(store=STORES.table(folder / "rosterd.db"), url=url, bind_dn=bind_dn, base=base)
        self.config.write_text(self.text)
        for name, text in (("jwt.secret", "s" * 48), ("vault.keys", base64.b64encode(os.urandom(32)).decode()), ("ldap.password", Slapd.password)):
            (folder / name).write_text(text)
            (folder / name).chmod(0o600)

    def configure(self, more: str = "", **replaced: str) -> None:
        """Write the configuration again, with `more` at its end and texts replaced (`old=new`, the key of a line)."""
        lines = [f"{key} = {replaced[key]}" if (key := line.partition(" =")[0]) in replaced else line for line in self.text.splitlines()]
        self.config.write_text("\n".join([*lines, more]))

    def environment(self) -> dict[str, str]:
        """Return what the command sees of the environment."""
        return _environment() | {"ROSTERD_CONFIG": str(self.config)}

    def command(self, *arguments: str) -> list[str]:
        """Return the command line of `rosterd ARGUMENTS`, as it is installed: a Ctrl-C that meets `python -m` in code made from a text (a dataclass)
        ends it by the signal, though it was handled and another status was asked for (CPython 3.11, unhandled_keyboard_interrupt)."""
        return [str(Path(sys.executable).with_name("rosterd")), *arguments]

    def run(self, *arguments: str, status: int | None = 0) -> Done:
        """Run `rosterd ARGUMENTS` and expect how it ends; no command ever prints a traceback.

        Each command begins from nothing the first time, as people start it, and later from a process that has imported everything; with stores
        on a server only the first of all begins so.
        """
        words = _command_of(arguments)
        if words in _BEGUN:
            done = _fork().run(arguments, self.environment(), self.folder, PATIENCE)
        else:
            ended = subprocess.run(
                self.command(*arguments), env=self.environment(), cwd=self.folder, capture_output=True, text=True, timeout=PATIENCE
            )
            done = Done(ended.returncode, ended.stdout, ended.stderr)
            _BEGUN.add(words)
        assert status is None or done.status == status, done
        assert "Traceback" not in done.err, done.err
        return done

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start `rosterd ARGUMENTS` and return at once."""
        return subprocess.Popen(
            self.command(*arguments), env=self.environment(), cwd=self.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def store(self) -> Store:
        """Return the store, opened; whoever asks closes it."""
        return open_store(load(self.config).store)


def _command_of(arguments: tuple[str, ...]) -> tuple[str, ...]:
    """Return the words that name a command, without what it is told."""
    words, command = list[str](), cast(click.Command, rosterd)
    for word in arguments:
        found = command.get_command(click.Context(command), word) if isinstance(command, click.Group) else None
        if found is None or STORES.on_server:
            break
        words.append(word)
        command = found
    return tuple(words)


def _environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG") or name.startswith("COVERAGE_")}
    return kept | {"PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "error,ignore::DeprecationWarning"}


@cache
def _fork() -> Fork:
    return Fork(_environment(), COMMANDING)
