"""`rosterd store`: the store's own affairs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from daemon.commands.opening import become_owner, opened
from daemon.commands.options import config_path, takes_config, takes_json
from daemon.config import find_url, load
from daemon.printing import plural, print_json, safe, say, warn
from sync.errors import InvalidRequest

if TYPE_CHECKING:
    from daemon.commands.restoring import Restored
    from sync.settings import StoreSettings
    from sync.store.replaying import Told


@click.group()
@takes_config
def store() -> None:
    """Migrate the store, back it up, copy it to another database, or seal its keys anew; or restore a backup."""


@store.command()
@takes_json
def migrate(as_json: bool) -> int:
    """Bring the store to this version's tables; the daemon does the same when it starts."""
    from sync.store.migrations import VERSIONS

    with opened() as place:
        name = place.store.name
    if as_json:
        print_json(store={"path": name, "version": VERSIONS[-1]})
    else:
        say(f"The store {safe(name)} is at version {VERSIONS[-1]}.")
    return 0


@store.command()
@click.argument("file", type=click.Path(path_type=Path))
@takes_json
def backup(file: Path, as_json: bool) -> int:
    """Write a consistent copy of the store to FILE (mode 0600); of a database on a server what pg_dump makes. The key files are not in it.

    A store of an older version is copied as it is, not migrated first: make a copy before an upgrade, with either version.
    """
    from sync.settings import StoreSettings
    from sync.store.backup import backup as copy

    target, path = file.absolute(), config_path()
    become_owner(path)
    url = find_url(path)
    known = None if url is None else StoreSettings(url)
    if known is None or known.file is None:  # its password is wanted, or it is to be said what is wrong with the configuration
        known = load(path).store
    copy(known, target)
    if as_json:
        print_json(backup={"path": str(target), "octets": target.stat().st_size})
        return 0
    say(f"The store is copied to {safe(target)} ({target.stat().st_size:,} octets).")
    warn("The key files are not in it: without what [keys] encryption_key_file names no key value in the copy can be read.")
    warn("Keep a copy of that file, and of [auth] secret_file, in another place; and of the audit files, which tell a restore what ended since.")
    return 0


@store.command()
@click.argument("file", type=click.Path(path_type=Path), required=False)
@click.option("--in-place", is_flag=True, help="The backup has been put in the place of the store already.")
@click.option("--dry-run", is_flag=True, help="Only print what would be taken away again.")
@takes_json
def restore(file: Path | None, in_place: bool, dry_run: bool, as_json: bool) -> int:
    """Put the backup FILE in the place of the store, less what was taken away since it was made; the old store is kept beside it.

    Blocks, disabled and deleted keys, rotations, revoked tokens and departures since then are in the audit file. No daemon may run.
    Lookups answer 503 until each source has been read whole.
    """
    from daemon.commands import restoring

    if (file is None) != in_place:
        raise click.UsageError("Give the backup's FILE, or --in-place.")
    path = config_path()
    become_owner(path)
    config = load(path)
    if restoring.interrupted(config):
        warn("An earlier restore was interrupted before it took effect: the store is the one from before it.")
    done = restoring.restore(config, file, dry_run=dry_run)
    if as_json:
        print_json(restore=done)
        return 0
    _print_restored(done)
    return 0


def _print_restored(done: Restored) -> None:
    say(f"{safe(done.file)} knows the changes up to number {done.backup:,}, the audit file up to {done.audit:,}.")
    for one in done.taken:
        say(f"  - {_described(done, one.told)}: {safe(one.outcome)}")
    if done.given:
        say("Given since then, and not in the backup; do again what still holds:")
        for told in done.given:
            say(f"  ! {_described(done, told)}")
    if done.audit < done.backup:
        warn("The audit file ends before the backup was made, or is not this store's: what was taken away since is not known.")
    if done.unknown:
        warn(f"{plural(done.unknown, 'change is', 'changes are')} not in the audit file any more: what was taken away by them is not known.")
    if done.dry_run:
        say("Nothing was changed.")
        return
    say("The store is restored." + (f" The old one is {safe(done.kept)}: delete it when all is well, it holds keys." if done.kept else ""))
    if done.waiting:
        say(f"Lookups answer 503 until these have been read whole: {safe(', '.join(done.waiting))}. The daemon does so when it starts; or now:")
        say(f"rosterd sync {safe(' '.join(done.waiting))} --full")


def _described(done: Restored, told: Told) -> str:
    which = told.key_id or told.jti or ""
    return "  ".join(safe(part) for part in (told.action, done.people.get(told.user_id or "", told.user_id or ""), which, f"by {told.by}") if part)


@store.command()
@click.argument("url")
@click.option("--password-file", type=click.Path(path_type=Path, dir_okay=False), help="Holds the password of the target's user, in one line.")
@takes_json
def copy(url: str, password_file: Path | None, as_json: bool) -> int:
    """Copy everything to the empty store at URL: to PostgreSQL, or back to a file. Stop the daemons first.

    \b
      postgresql+psycopg://rosterd@db.example.com/rosterd
      sqlite:////var/lib/rosterd/rosterd.db
    """
    from daemon.commands.progress import watch
    from sync.store.copying import copy as copy_all
    from sync.store.engine import open_store
    from sync.store.lease import Progress

    settings = _target(url, password_file)
    with opened() as place:
        target = open_store(settings)
        try:
            with watch("store", quiet=as_json) as watcher:
                counts = copy_all(place.store, target, lambda done, total: watcher.progress(Progress("copy", 0, done, "", total)))
        finally:
            target.close()
    if as_json:
        print_json(copy={"store": target.name, "rows": counts})
        return 0
    say(f"{sum(counts.values()):,} rows of {len(counts)} tables are copied to {safe(target.name)}, and counted there.")
    keys = "[store] url" if settings.file else "[store] url and password_file, and [audit] file,"
    warn(f"Now set {keys} in {safe(place.config.path)}, then start the daemons. The old store is as it was; two in use would drift apart.")
    return 0


def _target(url: str, password_file: Path | None) -> StoreSettings:
    """Return where to copy to. Raises InvalidRequest."""
    from daemon.config.secretfiles import one_line
    from daemon.config.server import store_url
    from daemon.config.values import Wrong
    from sync.settings import StoreSettings

    try:
        return StoreSettings(store_url(url, Path.cwd()), one_line(password_file.absolute()) if password_file else None)
    except Wrong as wrong:
        raise InvalidRequest("invalid_store", f"The store to copy to {wrong}.") from None


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
