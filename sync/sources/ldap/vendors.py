"""What each kind of directory calls the things we ask for, as data. "Adding a directory? start here"."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Vendor:
    """The habits of one kind of LDAP server.

    `locks`: attributes whose exact value says "disabled"; `expiry`: the attribute with the day of expiry, in days since
    the epoch; `follows`: one sentence for `rosterd check`, what this choice means.
    """

    name: str
    locks: tuple[tuple[str, str], ...]
    expiry: str
    follows: str


OPENLDAP = Vendor(
    name="openldap",
    locks=(("pwdAccountLockedTime", "000001010000Z"),),
    expiry="shadowExpire",
    follows="a permanent ppolicy lock (pwdAccountLockedTime = 000001010000Z) disables, a temporary one does not; shadowExpire is the expiry date",
)
"""slapo-ppolicy(5): 000001010000Z = locked by an administrator for good; every other value is a lock-out that ends by itself."""

GENERIC = Vendor(
    name="generic",
    locks=OPENLDAP.locks,
    expiry=OPENLDAP.expiry,
    follows="it is read as OpenLDAP would be; check the attributes of the people below",
)
"""Any other server. The lock's value is that of the password policy draft (draft-behera-ldap-password-policy section 5.3.3); asking for
it costs nothing where it is unknown, and a root DSE that is hidden one day must not enable whom OpenLDAP has locked."""

VENDORS = {vendor.name: vendor for vendor in (OPENLDAP, GENERIC)}
"""By the name in the configuration. ad, 389ds and freeipa are not available yet."""


def detect(root_classes: Collection[str]) -> Vendor:
    """Return the vendor that the root DSE's object classes betray."""
    return OPENLDAP if "openldaprootdse" in {name.lower() for name in root_classes} else GENERIC
