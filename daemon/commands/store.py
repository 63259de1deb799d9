"""`rosterd store`: the store's own affairs."""

from __future__ import annotations

from pathlib import Path

import click

from daemon.commands.opening import opened
from daemon.commands.options import takes_config, takes_json
from daemon.printing import print_json, safe, say, warn


@click.group()
@takes_config
def store() -> None:
    """Migrate the store, back it up, or seal its keys anew, all while everything runs."""


@store.command()
@takes_json
def migrate(as_json: bool) -> int:
    """Bring the store to this version's tables; the daemon does the same when it starts."""
    from sync.store.migrations import VERSIONS

    with opened() as place:
        path = place.store.path
    if as_json:
        print_json(store={"path": str(path), "version": VERSIONS[-1]})
    else:
        say(f"The store {safe(path)} is at version {VERSIONS[-1]}.")
    return 0


@store.command()
@click.argument("file", type=click.Path(path_type=Path))
@takes_json
def backup(file: Path, as_json: bool) -> int:
    """Write a consistent copy of the store to FILE (mode 0600). The key files are not in it."""
    from daemon.config.load import parse
    from sync.store.backup import backup as copy

    target = file.absolute()
    with opened() as place:
        copy(place.store, target)
        written = parse(place.config.path)
    key_file = written["keys"]["encryption_key_file"]
    if as_json:
        print_json(backup={"path": str(target), "octets": target.stat().st_size})
        return 0
    say(f"The store is copied to {safe(target)} ({target.stat().st_size:,} octets).")
    warn(f"The key files are not in it: without [keys] encryption_key_file ({safe(key_file)}) no key value in the copy can be read.")
    warn("Keep a copy of that file, and of [auth] secret_file, in another place.")
    return 0


@store.command()
@takes_json
def rewrap(as_json: bool) -> int:
    """Seal every key value with the newest line of [keys] encryption_key_file, so that older lines can go.

    First put the new line on top of the file and reload the daemon. Lookups go on meanwhile; stopped halfway, start it again.
    """
    from daemon.commands.progress import watch
    from sync.store.keyring import rewrap as seal_anew
    from sync.store.lease import Progress

    with opened() as place:
        vault = place.vault()
        with watch("store", quiet=as_json) as watcher:
            done = seal_anew(place.store, vault, lambda done, total: watcher.progress(Progress("rewrap", 0, done, "", total)))
    newest, *older = vault.key_names
    if as_json:
        print_json(rewrap={"key": newest, "sealed": done, "retired": older})
        return 0
    say(f"Every key value is sealed with the encryption key {newest}; {done:,} were not before.")
    if older:
        warn("Nothing needs the older lines of the key file any more, except backups made before now. Take them out, then reload the daemon.")
    return 0
