"""Putting a backup in the place of the store: made ready beside it, what was taken away since taken away again, then exchanged by one rename."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import msgspec

from api.auditfile import last_event, lines
from daemon.commands.opening import caller
from daemon.config import Config
from daemon.printing import warn
from daemon.relay import refuse_older, relay
from sync.errors import Conflict, RosterError
from sync.settings import StoreSettings
from sync.store import nodes, replaying, restoring, swapping
from sync.store.engine import Store, open_store
from sync.store.replaying import Means, Taken, Told


class Restored(msgspec.Struct):
    """What a restore did, or would do. `backup` and `audit` = the last event each knows (0: the audit file tells nothing of this store);
    `unknown` = events between them whose audit records are not there; `given` = what admins gave since, which a human has to give again;
    `people` = {user id: an address} of those concerned; `kept` = where the old store is."""

    file: str
    dry_run: bool
    backup: int
    audit: int
    unknown: int
    taken: list[Taken]
    given: list[Told]
    waiting: list[str]
    people: dict[str, str]
    kept: str | None = None


class _Line(Told, frozen=True):
    """A line of the audit file, if it is of a change."""

    store: str = ""


def restore(config: Config, file: Path | None, *, dry_run: bool) -> Restored:
    """Make the store what `file` was, less what was taken away since; without a file, what lies in its place is the backup.

    A dry run changes nothing. Raises Conflict while somebody uses the store, StoreUnavailable, ConfigError.
    """
    path = _file_of(config)
    if path is None:
        return _restore_database(config, file, dry_run=dry_run)
    if file is not None and path.exists() and file.resolve() != path.resolve():
        _finish_the_old(config, path, dry_run=dry_run)
    if not dry_run:
        swapping.close_store(path)
    side = swapping.copy_aside(file or path, path)
    try:
        done = _make_ready(config, side, file or path, dry_run=dry_run)
        swapping.close_store(side)
        if not dry_run:
            kept = swapping.swap(side, path)
            done.kept = None if kept is None else str(kept)
    finally:
        swapping.discard(side)
    return done


def _file_of(config: Config) -> Path | None:
    """Return the file that the store is, None for a database server's."""
    url = config.store.url
    return Path(url.removeprefix("sqlite:///")) if url.startswith("sqlite:///") else None


def _restore_database(config: Config, file: Path | None, *, dry_run: bool) -> Restored:
    """Do the same with a database that its own tools have put back; killed halfway it is refused until this has been done again."""
    if file is not None:
        remedy = "Stop every daemon, put the database back with its own tools (pg_restore), then `rosterd store restore --in-place`."
        raise Conflict("restore_unsupported", "This store is no file.", remedy)
    store = open_store(config.store)
    try:
        alive = [node.name for node in nodes.living(store) if _lives(node.name)]
        if alive and not dry_run:
            raise swapping.in_use(f"The daemon {', '.join(alive)} lives on the store.")
        return _replay(config, store, "the database", dry_run=dry_run, try_only=dry_run)
    finally:
        store.close()


def _finish_the_old(config: Config, path: Path, *, dry_run: bool) -> None:
    """Let the audit file know all that the old store still has to tell, and make sure that no daemon lives on it. A broken store tells nothing."""
    from api.audit import AuditLog

    try:
        store = open_store(config.store)
    except RosterError as error:
        warn(f"The store in place cannot be read ({error.message}): what happened after the last line of the audit file is not known.")
        return
    try:
        alive = [node.name for node in nodes.living(store) if _lives(node.name)]
        if alive and not dry_run:
            raise swapping.in_use(f"The daemon {', '.join(alive)} lives on the store {path}.")
        try:
            refuse_older(store, config.audit.path)
        except RosterError:
            return  # it was turned back itself: its numbers mean something else than those of the audit file
        audit = AuditLog(config.audit.path, config.audit.keep)
        try:
            relay(store, audit)
        finally:
            audit.close()
    finally:
        store.close()


def _lives(name: str) -> bool:
    """Tell whether a daemon that announced itself lately may live: one of this machine whose process is gone does not."""
    host, _, pid = name.rpartition("/")
    return host != socket.gethostname() or Path(f"/proc/{pid}").exists()


def _make_ready(config: Config, side: Path, file: Path, *, dry_run: bool) -> Restored:
    settings: StoreSettings = replace(config.store, url=f"sqlite:///{side}")
    store = open_store(settings)
    try:
        return _replay(config, store, str(file), dry_run=dry_run)
    finally:
        store.close()


def _replay(config: Config, store: Store, file: str, *, dry_run: bool, try_only: bool = False) -> Restored:
    """Take away again what the audit file tells of; `try_only` = only tell what that would be."""
    from api.auth.minting import make_mint
    from sync.store import sources
    from sync.store.keyring import bind_vault
    from sync.vault import Vault

    vault = Vault.parse(config.vault_secret)
    bind_vault(store, vault)
    begun, name = restoring.unfinished(store), restoring.store_name(store)
    since = restoring.last_event(store) if begun is None else begun
    told = [one for one in _told(config.audit.path, name) if one.event > since]
    newest = max((one.event for one in told), default=since)
    if try_only:
        taken = [Taken(one, "to be taken away again") for one in replaying.takings(told)]
    else:
        sources.declare(store, config.sources, config.policies)
        restoring.begin(store, by=caller(), since=since, told=newest)
        taken = list(replaying.replay(Means(store, vault, make_mint(config.minting, store.now)), told))
        restoring.finish(store)
    given = replaying.lost(told)
    return Restored(
        file=file, dry_run=dry_run, backup=since, audit=newest if told else last_event(config.audit.path, name),
        unknown=newest - since - len({one.event for one in told}), taken=taken, given=given, waiting=restoring.unconfirmed(store),
        people=_addresses(store, taken, given),
    )  # fmt: skip


def _told(file: Path, name: str) -> Iterator[Told]:
    """Yield the changes of the store that the audit files tell of, each once, though one told twice is there twice."""
    broken, seen = 0, set[bytes]()
    for line in lines(file):
        if b'"kind":"change"' not in line:
            continue
        try:
            record = msgspec.json.decode(line, type=_Line)
        except msgspec.DecodeError:
            broken += 1
            continue
        same = msgspec.json.encode(record, order="deterministic")
        if record.store == name and same not in seen:
            seen.add(same)
            yield record
    if broken:
        warn(f"{broken} lines of the audit file cannot be read.")


def _addresses(store: Store, taken: list[Taken], given: list[Told]) -> dict[str, str]:
    """Return {user id: an address}, for the audit file has ids only and people read addresses."""
    from sync.store.people import get_user

    found = {}
    for user_id in {one.user_id for one in [*(taken_away.told for taken_away in taken), *given] if one.user_id}:
        try:
            found[user_id] = get_user(store, user_id).email
        except RosterError:
            continue
    return found


def interrupted(config: Config) -> bool:
    """Tell whether a restore was killed before it took effect: the old store is in its place, and the new one lies unfinished beside it."""
    path = _file_of(config)
    return path is not None and swapping.side_of(path).exists()
