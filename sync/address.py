"""E-mail addresses: what counts as one, and the one function that decides whether two are the same."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection
from functools import lru_cache

import idna

MAX_OCTETS = 254
"""RFC 5321 section 4.5.3.1.3, less the angle brackets."""

_FORBIDDEN = frozenset({"Cc", "Cf", "Zs", "Zl", "Zp", "Cs"})
_ATOM = r"(?:[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]|[^\x00-\x7f])+"
_DOT_ATOM = re.compile(rf"{_ATOM}(?:\.{_ATOM})*")
"""RFC 5322 section 3.2.3, with RFC 6532's non-ASCII characters."""
_USUAL = re.compile(r"[a-z0-9_-]+(?:\.[a-z0-9_-]+)*@[a-z0-9]+(?:[.-][a-z0-9]+)*")
"""Most addresses as they are written: each is its own compared form."""
_ASCII_LABEL = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?")


class MalformedAddress(ValueError):
    """The text is no address; the message says why in a few words, without repeating the text."""


def normalise(address: str) -> str:
    """Return the form in which `address` is compared: NFC, Unicode lower case, the domain as IDNA 2008 A-labels.

    RFC 8265's case mapping, not casefold: casefold makes straße and strasse one mailbox.
    Raises MalformedAddress. Idempotent.
    """
    if len(address) <= MAX_OCTETS and _USUAL.fullmatch(address):
        return address
    return normalise_plainly(address)


def are_usual(addresses: Collection[str]) -> bool:
    """Tell whether each of these is its own compared form, as is nearly all that directories list: for `normalise` nothing is left to do."""
    return all(map(_USUAL.fullmatch, addresses)) and max(map(len, addresses), default=0) <= MAX_OCTETS


def normalise_plainly(address: str) -> str:
    """Do as `normalise`, without a shorter way for what needs no work."""
    if not address.isascii():
        address = unicodedata.normalize("NFC", address)
        if any(unicodedata.category(c) in _FORBIDDEN for c in address):
            raise MalformedAddress("holds white space, a control or a format character")
    if len(address.encode("utf-8", "surrogatepass")) > MAX_OCTETS:
        raise MalformedAddress(f"is longer than {MAX_OCTETS} octets")
    local, at, domain = address.rpartition("@")
    if not at:
        raise MalformedAddress("has no @")
    _check_local(local)
    return f"{_lower(local)}@{_normalise_domain(domain)}"


def domain_of(normalised: str) -> str:
    """Return the domain of an address that `normalise` returned."""
    return normalised.rpartition("@")[2]


@lru_cache(maxsize=4096)
def normalise_domain(domain: str) -> str:
    """Return the compared form of a bare domain (as in `domains = [...]`). Raises MalformedAddress."""
    return _normalise_domain(unicodedata.normalize("NFC", domain))


def _lower(text: str) -> str:
    return text.lower() if text.isascii() else unicodedata.normalize("NFC", text.lower())


def _check_local(local: str) -> None:
    if not local:
        raise MalformedAddress("has an empty part before the @")
    if not _DOT_ATOM.fullmatch(local):
        raise MalformedAddress("is no dot-atom before the @")


@lru_cache(maxsize=4096)
def _normalise_domain(domain: str) -> str:
    if not domain:
        raise MalformedAddress("has an empty part after the @")
    lowered = _lower(domain)
    if not lowered.isascii():
        return _to_a_labels(lowered)
    if not all(_ASCII_LABEL.fullmatch(label) for label in lowered.split(".")):
        raise MalformedAddress("has a malformed domain")
    return lowered


def _to_a_labels(domain: str) -> str:
    if not all(label for label in domain.split(".")):
        raise MalformedAddress("has a malformed domain")
    if any(c.isascii() and not (c.isalnum() or c in "._-") for c in domain):
        raise MalformedAddress("has a malformed domain")
    try:
        return idna.encode(domain).decode("ascii")
    except (idna.IDNAError, UnicodeError):
        return domain
