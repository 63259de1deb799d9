"""Entries that say what they said before: known by a digest of what came off the wire, in some 25 octets for each of millions."""

from __future__ import annotations

import hashlib
import struct
import unicodedata
from array import array
from collections.abc import Iterable, Iterator
from importlib.metadata import PackageNotFoundError, version

from sync.ids import hash_of

_words, _octets = struct.Struct("=QQ").unpack, struct.Struct("=QQ").pack


class Digests:
    """The digests of a source's people by which their entries are recognised (a Familiar), and which of them a read has met.

    Open addressing over two arrays, at most half full: a dict of such a million would take 150 MiB.
    """

    def __init__(self, salt: bytes = b"", most: int = 0) -> None:
        self.salt = salt
        slots = 1 << max(4, (2 * most).bit_length())
        self._mask = slots - 1
        self._high, self._low, self._ids = (array("Q", bytes(8 * slots)) for _ in range(3))
        self._met = bytearray(slots)
        self.count = 0

    def add(self, digest: bytes, external_id: str) -> None:
        """Know an entry by its digest (16 octets); beyond `most` of them, no more are taken."""
        high, low = _words(digest)
        if not high or 2 * self.count > self._mask:
            return
        at = high & self._mask
        while self._high[at]:
            at = (at + 1) & self._mask
        self._high[at], self._low[at], self._ids[at] = high, low, hash_of(external_id)
        self.count += 1

    def place(self, digest: bytes) -> int:
        """Return where an entry with this digest is known, -1 when it is not."""
        high, low = _words(digest)
        highs, mask = self._high, self._mask
        at: int = high & mask
        while found := highs[at]:
            if found == high and self._low[at] == low:
                return at
            at = (at + 1) & mask
        return -1

    def whose(self, place: int) -> int:
        """Return `sync.ids.hash_of` the id of whom the entry known there tells."""
        return self._ids[place]

    def meet(self, places: Iterable[int]) -> None:
        """Note that a page showed the entries known there."""
        for place in places:
            self._met[place] = True

    def met(self, digest: bytes | None) -> bool:
        """Tell whether a page showed the entry with this digest."""
        return bool(digest) and (at := self.place(digest or b"")) >= 0 and bool(self._met[at])

    @property
    def met_count(self) -> int:
        """How many known entries pages have shown."""
        return self._met.count(1)

    def unmet(self) -> Iterator[bytes]:
        """Yield the digests of all others."""
        for at, met in enumerate(self._met):
            if not met and self._high[at]:
                yield _octets(self._high[at], self._low[at])


def salt_of(bound_to: str) -> bytes:
    """Return what makes strangers of all entries when anything changes that has a say in how they are mapped: the configuration and the
    policies (`bound_to` is a digest of them), this version, and the tables by which addresses are compared."""
    said = [bound_to, _version("rosterd"), _version("idna"), unicodedata.unidata_version]
    return hashlib.blake2b("\0".join(said).encode(), digest_size=32).digest()


def _version(distribution: str) -> str:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return ""
