"""`rosterd init`: a configuration, its secrets and a store, where there are none yet."""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path

import click

from daemon.commands.options import config_path, takes_json
from daemon.config import find_url
from daemon.config.load import DEFAULT
from daemon.printing import print_json, safe, say
from sync.errors import Conflict

STORE = "rosterd.db"


@click.command()
@click.option("--dir", "folder", type=click.Path(path_type=Path, file_okay=False), help="Where to (default: where the configuration is looked for).")
@takes_json
def init(folder: Path | None, as_json: bool) -> int:
    """Write config.toml from the example, jwt.secret, vault.keys (mode 0600) and an empty store into DIR.

    Overwrites nothing: what is there stays, what is missing is made. Says what to do next.
    """
    folder = (folder or config_path().parent).absolute()
    kept: list[str] = []
    written: list[str] = []
    with _translated(folder):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _check_keys(folder)
        for name, mode, text in (
            ("config.toml", 0o644, lambda: _config(folder)),
            ("jwt.secret", 0o600, _jwt_secret),
            ("vault.keys", 0o600, _vault_keys),
        ):
            (written if _write(folder / name, mode, text) else kept).append(name)
        store = _store_file(folder)
        if store is not None and store.parent.is_dir():  # else systemd makes it, and the daemon its store
            (kept if store.exists() else written).append(store.name if store.parent == folder else str(store))
            if not store.exists():
                _make_store(store, folder / "vault.keys")
    if as_json:
        print_json(folder=str(folder), written=written, kept=kept)
        return 0
    say(f"In {safe(folder)}:" if written else f"Everything is in {safe(folder)} already.")
    for name in written:
        say(f"  made {safe(name)}")
    for name in kept:
        say(f"  kept {safe(name)}")
    for line in _next(folder / "config.toml"):
        say(line)
    return 0


def example() -> str:
    """Return the example configuration that this version carries."""
    return (files("daemon.config") / "example.toml").read_text(encoding="utf-8")


def _config(folder: Path) -> str:
    """Return the example; with the store beside it, but where the service finds it: there it is in the service's own state folder."""
    if folder == DEFAULT.parent:
        return example()
    text, changed = re.subn(r'^#url = "sqlite:.*"$', f'url = "sqlite:///{STORE}"', example(), count=1, flags=re.MULTILINE)
    if not changed:
        raise RuntimeError("the example has no line for the store")
    return text


def _jwt_secret() -> str:
    return f"# Signs tokens; newest first. See [auth] secret_file.\n{secrets.token_urlsafe(48)}\n"


def _vault_keys() -> str:
    from sync.vault import generate_key_line

    return f"# Seals key values; newest first. Keep a copy in another place. See [keys] encryption_key_file.\n{generate_key_line()}\n"


def _write(path: Path, mode: int, text: Callable[[], str]) -> bool:
    """Make a file unless there is one; tell whether it was made. It belongs to whom its folder belongs to."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return False
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text())
        os.fchmod(descriptor, mode)
        _give(descriptor, path.parent)
    return True


def _make_store(path: Path, key_file: Path) -> None:
    from sync.settings import Secret, StoreSettings
    from sync.store.engine import open_store
    from sync.store.keyring import bind_vault
    from sync.vault import Vault

    store = open_store(StoreSettings(f"sqlite:///{path}"))
    try:
        bind_vault(store, Vault.parse(Secret(key_file.read_text())))
    finally:
        store.close()
    for part in (path, path.with_name(path.name + "-wal"), path.with_name(path.name + "-shm")):
        if part.exists():
            _give(part, path.parent)


def _give(what: Path | int, folder: Path) -> None:
    """Let root make files for the user to whom the folder belongs."""
    owner = folder.stat()
    if os.geteuid() == 0 and owner.st_uid != 0:
        os.chown(what, owner.st_uid, owner.st_gid)


def _store_file(folder: Path) -> Path | None:
    """Return the store's file, None for one on a server: the first command that needs it makes its tables."""
    from sync.settings import StoreSettings

    url = find_url(folder / "config.toml")
    return folder / STORE if url is None else StoreSettings(url).file


def _check_keys(folder: Path) -> None:
    """Make no second set of encryption keys beside a store that was sealed with another."""
    store = _store_file(folder)
    if store is not None and store.exists() and not (folder / "vault.keys").exists():
        raise Conflict(
            "keys_missing",
            f"{store} is there, but not the encryption keys it was sealed with.",
            f"Put its vault.keys back into {folder}, or take the store away.",
        )


def _next(config: Path) -> list[str]:
    """Return what to do now. A path is quoted for the shell only where it must be."""
    from shlex import quote

    standard = config == config_path()
    rosterd = "rosterd" if standard else f"rosterd --config {quote(str(config))}"
    return [
        "",
        "Next:",
        f"  1. Describe your directory: the [[source]] tables of {safe(config)}. LDAP stands there; for a SCIM",
        '     provider take one of the commented ones in its place: kind = "scim" is read, "scim-push" pushes.',
        f"  2. LDAP: put the password of its bind_dn into {safe(config.with_name('ldap.password'))}, mode 0600.",
        "     SCIM: the provider's token, into the file that token_file names, mode 0600.",
        "     SCIM that pushes: set [http] public_url, the address by which the provider reaches rosterd.",
        f"  3. {safe(rosterd)} check            says what is wrong and how to mend it",
        f"  4. {safe(rosterd)} sync --dry-run   says what would happen",
        f"  5. {safe(rosterd)} serve            answers lookups and keeps in step",
        f"  6. {safe(rosterd)} token issue --role lookup   makes a token to look people up with",
        f"     {safe(rosterd)} token issue --role scim --source NAME   makes the one that a provider pushes with",
        "",
        "Copy vault.keys to another place: without it no key value in a backup can be read.",
    ]


@contextmanager
def _translated(folder: Path) -> Iterator[None]:
    """Turn what the file system refuses into one sentence."""
    try:
        yield
    except OSError as error:
        where = error.filename or folder
        raise Conflict("init_failed", f"{where} cannot be written: {error.strerror}.", "Give a folder of your own with --dir.") from error
