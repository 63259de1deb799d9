"""The files that a configuration names, opened once all its tables have been read."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from daemon.config.reader import Section
from daemon.config.secretfiles import check_mode, one_line, place, read_octets, read_secret
from daemon.config.values import Wrong
from sync.settings import Secret

_T = TypeVar("_T")
NO_SECRET = Secret("")
"""Stands where a mistake has been noted; no configuration with it is ever returned."""


class Files:
    """Finds files relative to the configuration's folder; a mistake is noted at the key that names the file."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def secret(self, section: Section, key: str) -> Secret | None:
        """Return a secret of one line, None where the key is empty."""
        return self._try(section, key, one_line, NO_SECRET)

    def whole_secret(self, section: Section, key: str) -> Secret:
        """Return the whole text of a secret file."""
        return self._try(section, key, lambda path: Secret(read_secret(path)), NO_SECRET) or NO_SECRET

    def several(self, section: Section, key: str, read: Callable[[Path], tuple[Secret, ...]]) -> tuple[Secret, ...]:
        """Return a file of several secrets."""
        return self._try(section, key, read, ()) or ()

    def texts(self, section: Section, key: str, longest: int) -> tuple[str, ...]:
        """Return what stands in a file, or in each of a list of files, that anybody may read; at most `longest` octets each."""
        named = [section[key]] if isinstance(section[key], str) else section[key]
        found = [self._try_one(section, key, written, lambda path: _read_text(path, longest), "") for written in named]
        return tuple(text for text in found if text)

    def path(self, section: Section, key: str) -> Path | None:
        """Return a file that can be read, None where the key is empty."""
        return self._try(section, key, _readable, None)

    def secret_path(self, section: Section, key: str) -> Path | None:
        """Return a file that only its owner can read, for those who read it themselves (TLS keys)."""
        return self._try(section, key, _readable_secret, None)

    def keytab_mark(self, section: Section, key: str) -> Secret | None:
        """Return a digest of a keytab, by which another one is noticed; None where the key is empty."""
        return self._try(section, key, _mark_of_keytab, NO_SECRET)

    def _try(self, section: Section, key: str, use: Callable[[Path], _T], otherwise: _T) -> _T | None:
        return self._try_one(section, key, section[key], use, otherwise)

    def _try_one(self, section: Section, key: str, written: str, use: Callable[[Path], _T], otherwise: _T) -> _T | None:
        if not written or key in section.wrong:
            return None
        try:
            return use(place(written, self.folder))
        except Wrong as wrong:
            section.problem(key, str(wrong))
            return otherwise


def _read_text(path: Path, longest: int) -> str:
    with _readable(path).open("rb") as file:
        raw = file.read(longest + 1)
    if len(raw) > longest:
        raise Wrong(f"{path} is larger than {longest // 1024} KiB; is it the right file?")
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        raise Wrong(f"{path} is no UTF-8 text") from None
    if not text.strip():
        raise Wrong(f"{path} is empty")
    return text


def _readable(path: Path) -> Path:
    try:
        with path.open("rb") as file:
            file.read(1)
    except FileNotFoundError:
        raise Wrong(f"{path} does not exist") from None
    except OSError as error:
        raise Wrong(f"{path} cannot be read: {error.strerror}") from None
    return path


def _mark_of_keytab(path: Path) -> Secret:
    raw = read_octets(path)
    if raw[:2] not in (b"\5\1", b"\5\2"):  # the versions of the format
        raise Wrong(f"{path} is no keytab")
    return Secret(hashlib.blake2b(raw).hexdigest())


def _readable_secret(path: Path) -> Path:
    check_mode(_readable(path), path.stat())
    return path
