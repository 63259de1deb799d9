"""Attributes whose values are not simply texts: how such an id or address is read from octets, and written into a filter."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sync.sources.ldap.names import attribute_key


@dataclass(frozen=True, slots=True)
class IdForm:
    """How ids are written. `read` returns the one canonical text of a value, lower case, None for what is no id;
    `write` returns what stands for that text in a filter: as the directory spells it, or as octets."""

    read: Callable[[bytes], str | None]
    write: Callable[[str], str | bytes]


@dataclass(frozen=True, slots=True)
class AddressForm:
    """How addresses are written. `read` returns (address, whether the directory calls it primary), None for a value that is no
    address by design and goes without a word; `write` returns every value by which an address may stand in the directory."""

    read: Callable[[str], tuple[str, bool] | None]
    write: Callable[[str], Sequence[str]]


_ID = re.compile(r"[\x21-\x7e]{1,255}")
_NSUNIQUEID = re.compile(r"([0-9a-f]{8})-([0-9a-f]{4})([0-9a-f]{4})-([0-9a-f]{4})([0-9a-f]{4})-([0-9a-f]{8})")
_UUID = re.compile(r"([0-9a-f]{8})-([0-9a-f]{4})-([0-9a-f]{4})-([0-9a-f]{4})-([0-9a-f]{4})([0-9a-f]{8})")


def _read_text(value: bytes) -> str | None:
    text = value.decode("ascii", "replace")
    return text.lower() if _ID.fullmatch(text) else None


def _read_nsuniqueid(value: bytes) -> str | None:
    found = _NSUNIQUEID.fullmatch(value.decode("ascii", "replace").lower())
    return "{}-{}-{}-{}-{}{}".format(*found.groups()) if found else None


def _write_nsuniqueid(text: str) -> str:
    found = _UUID.fullmatch(text)
    return "{}-{}{}-{}{}-{}".format(*found.groups()) if found else text


def _read_guid(value: bytes) -> str | None:
    return str(uuid.UUID(bytes_le=value)) if len(value) == 16 else None


def _write_guid(text: str) -> str | bytes:
    try:
        return uuid.UUID(text).bytes_le
    except ValueError:
        return text


def _read_proxy(value: str) -> tuple[str, bool] | None:
    kind, _, address = value.partition(":")
    return (address.strip(" "), kind == "SMTP") if kind.lower() == "smtp" else None


TEXT = IdForm(_read_text, lambda text: text)
"""Printable ASCII without spaces, compared without case: entryUUID, ipaUniqueID, numbers."""
NSUNIQUEID = IdForm(_read_nsuniqueid, _write_nsuniqueid)
"""389 hyphenates its UUIDs in its own way (7d20f241-e71011f1-88aed252-9d7bea04). Kept as the UUID that they are, since content
synchronisation (syncUUID, RFC 4533) sends the same one as 16 octets."""
GUID = IdForm(_read_guid, _write_guid)
"""Active Directory's objectGUID, 16 octets whose first three fields stand little-endian (MS-DTYP section 2.3.4.2)."""
PLAIN = AddressForm(lambda value: (value, False), lambda address: (address,))

PROXY = AddressForm(_read_proxy, lambda address: (f"smtp:{address}", f"SMTP:{address}"))
"""Active Directory's proxyAddresses: SMTP: marks the primary address, smtp: the others; X500:, SIP:, EUM: and more are no e-mail addresses."""

_IDS = {"nsuniqueid": NSUNIQUEID, "objectguid": GUID, "ms-ds-consistencyguid": GUID}
"""By attribute, since a source may choose another one than its vendor's."""
_ADDRESSES = {"proxyaddresses": PROXY}


def id_form(attribute: str) -> IdForm:
    """Return how the ids of an attribute are written."""
    return _IDS.get(attribute_key(attribute), TEXT)


def address_form(attribute: str) -> AddressForm:
    """Return how the addresses of an attribute are written."""
    return _ADDRESSES.get(attribute_key(attribute), PLAIN)
