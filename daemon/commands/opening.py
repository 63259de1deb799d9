"""What most commands begin with: become the store's owner, read the configuration, open the store."""

from __future__ import annotations

import os
import pwd
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from daemon.commands.options import config_path
from daemon.config import Config, find_owned, load
from sync.errors import Conflict
from sync.settings import SourceSettings

if TYPE_CHECKING:
    from sync.store.engine import Store
    from sync.vault import Mint, Vault


@dataclass(frozen=True, slots=True)
class Opened:
    """A configuration and its open store."""

    config: Config
    store: Store

    def vault(self) -> Vault:
        """Return the vault, which must be the one that the store was sealed with. Raises ConfigError, and Conflict while a daemon lacks its
        newest key: what was sealed with that, the daemon could neither open nor find."""
        from sync.store import nodes
        from sync.store.keyring import bind_vault
        from sync.vault import Vault

        vault = Vault.parse(self.config.vault_secret)
        behind = nodes.without_key(self.store, vault.key_names[0])
        if behind:
            raise Conflict(
                "vault_key_unknown_to_daemon",
                f"The daemon {', '.join(behind)} does not know the newest encryption key {vault.key_names[0]} yet.",
                "Reload it (`systemctl reload rosterd`), then try again.",
            )
        bind_vault(self.store, vault)
        return vault

    def mint(self) -> Mint:
        """Return what makes new key values, by [keys] format."""
        if not self.config.minting.as_jwt:
            from sync.vault import mint_value

            return mint_value
        from api.auth.minting import make_mint  # PyJWT and all that it knows of certificates take a tenth of a second

        return make_mint(self.config.minting, self.store.now)

    def source(self, name: str) -> SourceSettings:
        """Return a configured source. Raises Conflict, or NotFound for one that the store does not know either."""
        from sync.store.sources import get_source

        for source in self.config.sources:
            if source.name == name:
                return source
        get_source(self.store, name)
        raise Conflict("source_unconfigured", f"The source {name} is not in {self.config.path}.", "Put its [[source]] table back to sync it.")


@contextmanager
def opened() -> Iterator[Opened]:
    """Open everything that the command line names. Raises ConfigError, StoreUnavailable."""
    path = config_path()
    become_owner(path)
    config = load(path)
    from sync.store.engine import open_store  # SQLAlchemy takes its time

    store = open_store(config.store)
    try:
        yield Opened(config, store)
    finally:
        store.close()


def become_owner(config: Path) -> None:
    """Turn root into the owner of the store, so that no file of it ever belongs to root by accident; others stay who they are."""
    caller()
    os.umask(0o077)
    store = find_owned(config)
    if os.geteuid() != 0 or store is None:
        return
    there = next(path for path in (store, *store.parents) if path.exists())
    status = there.stat()
    if status.st_uid != 0:
        become(status.st_uid, status.st_gid)


def become(uid: int, gid: int) -> None:
    """Become another user for good, with that user's groups and none of root's."""
    try:
        name = pwd.getpwuid(uid).pw_name
        groups = os.getgrouplist(name, gid)
    except KeyError:
        groups = [gid]
    os.setgroups(groups)
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)


@cache
def caller() -> str:
    """Return who typed the command, as it is recorded: "cli:NAME", the name behind sudo where there is one."""
    uid = os.getuid()
    name = os.environ.get("SUDO_USER", "") if uid == 0 else ""
    try:
        return f"cli:{name or pwd.getpwuid(uid).pw_name}"
    except KeyError:
        return f"cli:{uid}"
