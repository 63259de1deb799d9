"""What a server says about itself in its root DSE (RFC 4512 section 5.1)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from sync.settings import SourceSettings
from sync.sources.ldap.connection import Line, Search
from sync.sources.ldap.filters import ANYTHING
from sync.sources.ldap.vendors import VENDORS, Vendor, detect

PAGED_RESULTS = "1.2.840.113556.1.4.319"
_ASKED = [
    "objectClass", "namingContexts", "supportedControl", "vendorName", "vendorVersion", "currentTime",
    "defaultNamingContext", "schemaNamingContext", "domainFunctionality", "dnsHostName", "dataVersion", "firstChangeNumber",
]  # fmt: skip
_MARKS = sorted({attribute for vendor in VENDORS.values() for attribute, _ in vendor.marks} - {name.lower() for name in _ASKED})


@dataclass(frozen=True, slots=True)
class Root:
    """The root DSE, as far as it may be read: attributes by lower-case name."""

    attributes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def __getitem__(self, name: str) -> tuple[str, ...]:
        """Return the values of one (lower-case) attribute; none when it is not shown."""
        return self.attributes.get(name, ())

    @property
    def contexts(self) -> tuple[str, ...]:
        """The naming contexts."""
        return self["namingcontexts"]

    @property
    def data(self) -> str:
        """What 389 calls the data that it runs on, anew at every start; "" where the server does not tell."""
        return "".join(self["dataversion"])

    @property
    def software(self) -> str:
        """What it calls itself, "" where it does not tell."""
        return " ".join([*self["vendorname"], *self["vendorversion"]])


def read_root(line: Line) -> Root:
    """Return the root DSE; an empty one where the bind account may not read it. Raises SourceUnavailable."""
    entries, _ = line.fetch(Search("", ANYTHING, [*_ASKED, *_MARKS], scope="entry"))
    return Root({name: tuple(entry.texts(name)) for entry in entries[:1] for name in entry.attributes})


def vendor_of(settings: SourceSettings, root: Root) -> Vendor:
    """Return the vendor that the configuration names, or the one that the root DSE betrays."""
    return VENDORS.get(settings.vendor) or detect(root.attributes)
