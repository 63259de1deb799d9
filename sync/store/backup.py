"""A copy of the store while everything runs: of a file by SQLite, of a database by the server's own pg_dump."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from sqlalchemy import make_url

from sync.errors import Conflict, StoreUnavailable
from sync.settings import Secret, StoreSettings


def backup(settings: StoreSettings, target: Path) -> None:
    """Write a consistent copy of the store to `target` (0600) without stopping readers or writers. Overwrites nothing.

    The store may be of any version, and stays at it: so a copy can be made before a migration. Key files are not in it: without
    them no key value in the copy can be read. Raises Conflict, StoreUnavailable.
    """
    if settings.file is None:
        _dump(settings, target)
    else:
        _copy_file(settings.file, target)


def _copy_file(path: Path, target: Path) -> None:
    if not path.exists():
        raise StoreUnavailable("backup_failed", f"There is no store at {path} yet.", "Correct [store] url, or start rosterd once.")
    _make(target)
    try:
        with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(target)) as copy:
            source.backup(copy)
            copy.execute("PRAGMA journal_mode = DELETE")
    except sqlite3.Error as error:
        target.unlink(missing_ok=True)
        raise StoreUnavailable("backup_failed", f"The copy to {target} failed: {error}.", "Free some space on its disk.") from error


def _dump(settings: StoreSettings, target: Path) -> None:
    """Let pg_dump write its custom format, which pg_restore reads. It must not be older than the server, and says so."""
    from sync.store.postgres import conninfo

    name = make_url(settings.url).set(query={}).render_as_string(hide_password=True)
    program = shutil.which("pg_dump")
    if program is None:
        remedy = "Install postgresql-client, not older than the server; or copy the database where it is, by the server's own means."
        raise Conflict("backup_unsupported", f"The store {name} is a database, and there is no pg_dump on this machine to copy it with.", remedy)
    _make(target)
    with _passfile(settings.password) as passfile:
        where = conninfo(settings.url, **({"passfile": f"/proc/self/fd/{passfile}"} if settings.password else {}))
        command = [program, "--format=custom", "--no-password", f"--file={target}", f"--dbname={where}"]
        done = subprocess.run(  # noqa: S603 – the server's own program, found like any command
            command, check=False, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="backslashreplace", pass_fds=[passfile]
        )
    if done.returncode:
        target.unlink(missing_ok=True)
        said = " ".join(done.stderr.split())
        remedy = "Mend what it says; it must not be older than the server, and its disk needs room."
        raise StoreUnavailable("backup_failed", f"pg_dump could not copy {name}: {said}", remedy)


@contextmanager
def _passfile(password: Secret | None) -> Iterator[int]:
    """Hand libpq a password in memory (libpq, "The Password File"): neither the command line nor the environment shows it."""
    memory = os.memfd_create("passfile")
    try:
        os.fchmod(memory, 0o600)
        escaped = "" if password is None else password.reveal().replace("\\", "\\\\").replace(":", "\\:")
        os.write(memory, f"*:*:*:*:{escaped}\n".encode())
        yield memory
    finally:
        os.close(memory)


def _make(target: Path) -> None:
    try:
        os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    except FileExistsError:
        raise Conflict("backup_exists", f"{target} exists already.", "Give another name: a backup overwrites nothing.") from None
    except OSError as error:
        raise StoreUnavailable("backup_failed", f"{target} cannot be written: {error.strerror}.", "Give a directory that exists.") from error
