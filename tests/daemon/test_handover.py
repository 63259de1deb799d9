"""What a child is handed: the accepted configuration with the newest secrets, and no other novelty."""

from __future__ import annotations

import pickle
from pathlib import Path

from daemon.config import load
from daemon.handover import pack, with_newest_passwords
from sync.settings import Secret
from sync.vault import generate_key_line

CONFIG = """
[store]
url = "sqlite:///rosterd.db"
[auth]
secret_file = "jwt.secret"
[keys]
encryption_key_file = "vault.keys"
[[source]]
name = "one"
kind = "scim"
url = "https://one.example/scim"
token_file = "token"
[[source]]
name = "two"
kind = "scim"
url = "https://two.example/scim"
[source.oauth2]
token_url = "https://login.example/token"
client_id = "rosterd"
client_secret_file = "secret"

[[source]]
name = "three"
kind = "ldap"
urls = ["ldaps://three.example"]
base = "dc=three"
sasl = "gssapi"
principal = "rosterd@THREE.EXAMPLE"
keytab_file = "keytab"
"""


def write(folder: Path, text: str = CONFIG, **secrets: str) -> Path:
    """Write a configuration and its secrets."""
    told = {"jwt.secret": "s" * 48, "token": "token-1", "secret": "secret-1", "keytab": "\5\2one"} | secrets
    for name, value in told.items():
        (folder / name).write_text(value)
        (folder / name).chmod(0o600)
    (folder / "config.toml").write_text(text)
    return folder / "config.toml"


def test_tokens_and_client_secrets_are_the_newest(tmp_path: Path) -> None:
    """A rotated token, client secret or keytab needs no reload, and travels to the child."""
    (tmp_path / "vault.keys").write_text(generate_key_line())
    (tmp_path / "vault.keys").chmod(0o600)
    accepted = load(write(tmp_path))
    write(tmp_path, token="token-2", secret="secret-2", keytab="\5\2two")
    one, two, three = pickle.loads(pack(with_newest_passwords(accepted))).sources  # noqa: S301
    assert one.token == Secret("token-2")
    assert two.oauth2.client_secret == Secret("secret-2")
    assert three.keytab_mark == load(accepted.path).sources[2].keytab_mark != accepted.sources[2].keytab_mark


def test_a_secret_never_goes_to_another_provider(tmp_path: Path) -> None:
    """With the URL changed but not reloaded, the old secret goes to the old URL: the new one is for somebody else."""
    (tmp_path / "vault.keys").write_text(generate_key_line())
    (tmp_path / "vault.keys").chmod(0o600)
    accepted = load(write(tmp_path))
    write(tmp_path, CONFIG.replace("one.example", "new.example").replace("login.example", "new.example"), token="token-2", secret="secret-2")
    assert with_newest_passwords(accepted) == accepted
