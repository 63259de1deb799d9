"""A configuration of one's own: a folder with the secret files that a small one needs."""

from __future__ import annotations

import base64
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from daemon.config import Config, load
from sync.errors import ConfigError

SMALL = """
[store]
url = "sqlite:///rosterd.db"

[auth]
secret_file = "jwt.secret"

[keys]
encryption_key_file = "vault.keys"

[[source]]
name = "corp"
kind = "ldap"
urls = ["ldaps://ldap.example.com"]
bind_dn = "cn=sync,dc=example,dc=com"
password_file = "ldap.password"
base = "ou=people,dc=example,dc=com"
"""


class Folder:
    """A folder with `config.toml`: the small one, with texts replaced, or another whole text."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.file = path / "config.toml"
        self.secret("jwt.secret", "s" * 48)
        self.secret("vault.keys", base64.b64encode(os.urandom(32)).decode())
        self.secret("ldap.password", "hunter2 the second")

    def secret(self, name: str, text: str, mode: int = 0o600) -> Path:
        """Write a secret file."""
        path = self.path / name
        path.write_text(text)
        path.chmod(mode)
        return path

    def load(self, text: str = "", *, small: str = SMALL) -> Config:
        """Load the small configuration with `text` after it."""
        self.file.write_text(f"{small}\n{text}")
        return load(self.file)

    def problems(self, text: str = "", *, small: str = SMALL) -> list[str]:
        """Return the mistakes of the small configuration with `text` after it."""
        with pytest.raises(ConfigError) as caught:
            self.load(text, small=small)
        return caught.value.problems


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """Return a folder with secret files and no configuration yet."""
    return Folder(tmp_path)


@pytest.fixture
def replaced() -> Callable[..., str]:
    """Return a function that replaces one text of the small configuration, which must hold it."""

    def replace(old: str, new: str) -> str:
        assert old in SMALL
        return SMALL.replace(old, new)

    return replace
