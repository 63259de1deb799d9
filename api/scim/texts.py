"""What is a text that every database keeps: JSON can write others, and a filter or path within JSON once more."""

from __future__ import annotations

NO_TEXT = "A value holds NUL or half a surrogate pair"
"""Said of what is none."""


def is_text(value: str) -> bool:
    """Tell whether a text can be kept, sent and compared: no NUL, and no half of a surrogate pair (RFC 8259 section 8.2)."""
    if "\0" in value:
        return False
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True
