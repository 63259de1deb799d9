"""Secret files: where they are, and that nobody else can read them."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path

from daemon.config.values import Wrong
from sync.settings import Secret

LARGEST = 65_536
"""Octets of a secret file; a bigger one is something else."""

CREDENTIALS = Path("/run/credentials/rosterd.service")
"""Where systemd shows the unit's credentials to commands that were not started by it."""

_CREDENTIAL = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.@-]*")


def place(written: str, folder: Path) -> Path:
    """Return the file that a setting names: absolute, relative to the configuration's `folder`, or `credential:NAME`. Raises Wrong."""
    scheme, colon, name = written.partition(":")
    if not colon or scheme != "credential":
        return folder / written
    if not _CREDENTIAL.fullmatch(name):
        raise Wrong("names no credential; write credential:NAME")
    return Path(os.environ.get("CREDENTIALS_DIRECTORY") or CREDENTIALS) / name


def read_secret(path: Path) -> str:
    """Return the text of a secret file. Raises Wrong for one that is missing, empty, too large, or that others can read."""
    return _decode(path, read_octets(path))


def read_octets(path: Path) -> bytes:
    """Return what a secret file holds, whatever that is. Raises Wrong for one that is missing, too large, or that others can read."""
    descriptor = _open(path)
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise Wrong(f"{path} is no file")
        check_mode(path, status)
        if status.st_size > LARGEST:
            raise Wrong(f"{path} is larger than {LARGEST // 1024} KiB; is it the right file?")
        return os.read(descriptor, LARGEST + 1)
    except OSError as error:
        raise Wrong(f"{path} cannot be read: {error.strerror}") from None
    finally:
        os.close(descriptor)


def check_mode(path: Path, status: os.stat_result) -> None:
    """Raise Wrong when others can read or change a secret: only its owner may, and a group where root owns it (root:rosterd, 0640)."""
    mode = stat.S_IMODE(status.st_mode)
    refused = 0o037 if status.st_uid == 0 else 0o077
    if mode & refused:
        raise Wrong(
            f"{path} can be read or changed by others (mode {mode:04o}); `chmod 0600 {path}`, and replace the secret if others may have seen it"
        )


def one_line(path: Path) -> Secret:
    """Return the only line of a secret file. Raises Wrong."""
    lines = read_secret(path).rstrip("\r\n").splitlines()
    if len(lines) != 1:
        raise Wrong(f"{path} holds {len(lines)} lines; it must hold the secret alone, on one line")
    return Secret(lines[0])


def several_lines(path: Path, least: int) -> tuple[Secret, ...]:
    """Return the lines of a file of several secrets, newest first, each at least `least` octets; `#` begins a comment line. Raises Wrong."""
    lines = [(number, line.strip()) for number, line in enumerate(read_secret(path).splitlines(), 1)]
    found = [(number, line) for number, line in lines if line and not line.startswith("#")]
    if not found:
        raise Wrong(f"{path} holds no secret")
    short = [str(number) for number, line in found if len(line.encode()) < least]
    if short:
        raise Wrong(f"{path}, line {', '.join(short)}: shorter than {least} characters; `openssl rand -base64 48` makes a good one")
    return tuple(Secret(line) for _, line in found)


def _open(path: Path) -> int:
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        raise Wrong(f"{path} does not exist") from None
    except OSError as error:
        raise Wrong(f"{path} cannot be opened: {error.strerror}; the user that runs rosterd must be able to") from None


def _decode(path: Path, raw: bytes) -> str:
    try:
        decoded = raw.decode()
    except UnicodeDecodeError:
        raise Wrong(f"{path} is no UTF-8 text") from None
    if not decoded.strip() or "\0" in decoded:
        raise Wrong(f"{path} is empty" if not decoded.strip() else f"{path} holds a NUL character")
    return decoded
