"""The form in which texts are compared that providers treat as the same in upper and lower case. No database's own lower() knows more than ASCII."""

from __future__ import annotations

from unicodedata import normalize


def fold(text: str) -> str:
    """Return a text in NFC and lower case (the UsernameCaseMapped profile of RFC 8265, without its refusals); twice is the same as once."""
    return normalize("NFC", normalize("NFC", text).lower())
