"""Putting another file in the place of the store, so that at every moment one whole store is there: the old one or the new one."""

from __future__ import annotations

import os
import sqlite3
import time
from contextlib import closing, suppress
from pathlib import Path

from sync.errors import Conflict, StoreUnavailable
from sync.store.migrations import VERSIONS

_JOURNALS = ("-wal", "-shm", "-journal")


def side_of(path: Path) -> Path:
    """Return where the next store is made ready. A file there without a restore going on is what an interrupted one left; it means nothing."""
    return path.with_name(f"{path.name}.restoring")


def copy_aside(backup: Path, path: Path) -> Path:
    """Copy a backup beside the store (0600), whole and checked; return where. Raises StoreUnavailable for what is none of ours."""
    side = side_of(path)
    discard(side)
    try:
        os.close(os.open(side, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        with closing(sqlite3.connect(f"{backup.absolute().as_uri()}?mode=ro", uri=True)) as source, closing(sqlite3.connect(side)) as copy:
            source.backup(copy)
            copy.execute("PRAGMA journal_mode = DELETE")
            _check(copy, backup)
    except sqlite3.Error as error:
        discard(side)
        remedy = "Give a file that `rosterd store backup` made, and that the owner of the store may read."
        raise StoreUnavailable("restore_failed", f"{backup} cannot be taken for a store: {error}.", remedy) from error
    except OSError as error:
        raise StoreUnavailable("restore_failed", f"{side} cannot be written: {error.strerror}.", "Free some space there.") from error
    except StoreUnavailable:
        discard(side)
        raise
    return side


def close_store(path: Path) -> None:
    """Make the store one file that nobody has open. Raises Conflict while somebody has; what is no database any more is left as it is."""
    if not path.exists():
        return
    try:
        with closing(sqlite3.connect(path, timeout=1.0)) as connection:
            connection.execute("PRAGMA journal_mode = DELETE")  # needs the file for itself, and empties its journal into it
    except sqlite3.OperationalError as error:
        if "locked" in str(error):
            raise in_use(f"Another process has the store {path} open.") from error
    except sqlite3.DatabaseError:
        return


def in_use(facts: str) -> Conflict:
    """Return the refusal of a swap while somebody lives on the store."""
    return Conflict(
        "store_in_use", f"{facts} Nothing was changed.", "Stop the daemon (`systemctl stop rosterd`) and what else uses it, then try again."
    )


def swap(side: Path, path: Path) -> Path | None:
    """Put `side` in the place of the store by one rename; return where the old store is kept, None if there was none. Raises StoreUnavailable."""
    kept = None
    try:
        _sync(side)
        if path.exists():
            kept = _name_for_old(path)
            os.link(path, kept)
            for journal in _JOURNALS:  # a journal of the old file beside the new one would be taken for its own
                with suppress(FileNotFoundError):
                    path.with_name(path.name + journal).rename(kept.with_name(kept.name + journal))
        side.replace(path)
        _sync(path.parent)
    except OSError as error:
        raise StoreUnavailable("restore_failed", f"{path} cannot be replaced: {error.strerror}.", "The old store is still in its place.") from error
    return kept


def discard(side: Path) -> None:
    """Take away what was made ready, and its journals."""
    for suffix in ("", *_JOURNALS):
        side.with_name(side.name + suffix).unlink(missing_ok=True)


def _name_for_old(path: Path) -> Path:
    stamp = time.strftime("%Y%m%dT%H%M%S", time.gmtime())
    name, number = path.with_name(f"{path.name}.before-{stamp}"), 1
    while name.exists():
        number += 1
        name = path.with_name(f"{path.name}.before-{stamp}.{number}")
    return name


def _check(copy: sqlite3.Connection, backup: Path) -> None:
    found = copy.execute("PRAGMA integrity_check(1)").fetchone()[0]
    if found != "ok":
        raise StoreUnavailable("restore_failed", f"{backup} is damaged: {found}.", "Take another backup.")
    if not copy.execute("select 1 from sqlite_master where name = 'alembic_version'").fetchone():
        raise StoreUnavailable("restore_failed", f"{backup} is no store of rosterd.", "Give a file that `rosterd store backup` made.")
    version = copy.execute("select version_num from alembic_version").fetchone()[0]
    if version not in VERSIONS:
        facts = f"{backup} is at version {version}; this rosterd knows versions up to {VERSIONS[-1]}."
        raise StoreUnavailable("store_too_new", facts, "Install the newer rosterd again, or take a backup that this version made.")


def _sync(path: Path) -> None:
    """Let what was written reach the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
