"""Whether an entry is disabled, and when it expires."""

from __future__ import annotations

from collections.abc import Iterable

from sync.settings import SourceSettings
from sync.sources.ldap.ber import Entry
from sync.sources.ldap.names import attribute_key
from sync.sources.ldap.vendors import Vendor

_DAY = 86_400_000
_LAST_DAY = 2_932_896
"""The last day of the year 9999; a later expiry is none."""


class StateReader:
    """Reads the state of entries, by one vendor's habits and one source's `[source.disabled] when`."""

    def __init__(self, settings: SourceSettings, vendor: Vendor) -> None:
        conditions = [condition.partition("=") for condition in settings.disabled_when]
        wanted = [(name.strip(), value.strip()) for name, _, value in conditions] + list(vendor.locks)
        self._conditions = [(attribute_key(name), value.lower()) for name, value in wanted]
        self._expiry = vendor.expiry.lower()
        self.attributes = list(dict.fromkeys([*(name for name, _ in wanted), vendor.expiry]))
        """The attributes to ask for."""

    def enabled(self, entry: Entry) -> bool:
        """Return False if any condition holds: `attr=value` (compared without case) or `attr=*` (present)."""
        return not any(_holds(entry, name, value) for name, value in self._conditions)

    def expires_at(self, entry: Entry) -> int | None:
        """Return when the entry expires, in milliseconds since the epoch; None = never.

        shadow(5) counts days since 1970 and leaves two things open. Read as SSSD reads directories: the day itself is
        still good (expired once today > shadowExpire), and 0, like a negative number, means never.
        """
        return _end_of(entry.texts(self._expiry))


def _holds(entry: Entry, name: str, value: str) -> bool:
    listed = entry.attributes.get(name)
    if not listed:
        return False
    return value == "*" or any(text.strip().lower() == value for text in entry.texts(name))


def _end_of(texts: Iterable[str]) -> int | None:
    days = [int(text) for text in texts if text.isascii() and text.strip().isdigit() and len(text) < 20]
    real = [day for day in days if 0 < day <= _LAST_DAY]
    return (min(real) + 1) * _DAY if real else None
