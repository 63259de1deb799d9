"""What a server says about itself in its root DSE (RFC 4512 section 5.1)."""

from __future__ import annotations

from dataclasses import dataclass

from sync.settings import SourceSettings
from sync.sources.ldap.connection import Line, Search
from sync.sources.ldap.filters import ANYTHING
from sync.sources.ldap.vendors import VENDORS, Vendor, detect

PAGED_RESULTS = "1.2.840.113556.1.4.319"
_ASKED = ["objectClass", "namingContexts", "supportedControl", "vendorName", "vendorVersion", "currentTime"]


@dataclass(frozen=True, slots=True)
class Root:
    """The root DSE, as far as it may be read. `current_time` is the server's clock (GeneralizedTime), "" where it does not tell."""

    classes: tuple[str, ...] = ()
    contexts: tuple[str, ...] = ()
    controls: tuple[str, ...] = ()
    vendor: str = ""
    current_time: str = ""


def read_root(line: Line) -> Root:
    """Return the root DSE; an empty one where the bind account may not read it. Raises SourceUnavailable."""
    entries, _ = line.fetch(Search("", ANYTHING, _ASKED, scope="entry"))
    if not entries:
        return Root()
    entry = entries[0]
    return Root(
        tuple(entry.texts("objectclass")),
        tuple(entry.texts("namingcontexts")),
        tuple(entry.texts("supportedcontrol")),
        " ".join([*entry.texts("vendorname"), *entry.texts("vendorversion")]),
        next(iter(entry.texts("currenttime")), ""),
    )


def vendor_of(settings: SourceSettings, root: Root) -> Vendor:
    """Return the vendor that the configuration names, or the one that the root DSE betrays."""
    return VENDORS.get(settings.vendor) or detect(root.classes)
