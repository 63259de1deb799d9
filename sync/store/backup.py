"""A copy of the store while everything runs."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

from sync.errors import Conflict, StoreUnavailable
from sync.store.engine import Store


def backup(store: Store, target: Path) -> None:
    """Write a consistent copy of the store to `target` (0600) without stopping readers or writers. Overwrites nothing.

    Key files are not in it: without them no key value in the copy can be read. Raises Conflict, StoreUnavailable.
    """
    if store.path is None:
        remedy = f"Use the server's own backup: pg_dump --format=custom --file=FILE '{store.name.replace('+psycopg', '')}' (docs/postgresql.md)."
        raise Conflict("backup_unsupported", f"The store {store.name} is no file, but a database.", remedy)
    copy_file(store.path, target)


def copy_file(path: Path, target: Path) -> None:
    """Do the same with the file of a store that may be of any version, and stays at it: so a copy can be made before a migration."""
    if not path.exists():
        raise StoreUnavailable("backup_failed", f"There is no store at {path} yet.", "Correct [store] url, or start rosterd once.")
    try:
        os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    except FileExistsError:
        raise Conflict("backup_exists", f"{target} exists already.", "Give another name: a backup overwrites nothing.") from None
    except OSError as error:
        raise StoreUnavailable("backup_failed", f"{target} cannot be written: {error.strerror}.", "Give a directory that exists.") from error
    try:
        with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(target)) as copy:
            source.backup(copy)
            copy.execute("PRAGMA journal_mode = DELETE")
    except sqlite3.Error as error:
        target.unlink(missing_ok=True)
        raise StoreUnavailable("backup_failed", f"The copy to {target} failed: {error}.", "Free some space on its disk.") from error
