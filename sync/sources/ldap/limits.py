"""How the limits of an account are lifted, in the words of each kind of directory: remedies, given the account's DN ("" = anonymous)."""

from __future__ import annotations

OF_389 = ("nsSizeLimit", "nsPagedSizeLimit", "nsLookThroughLimit", "nsPagedLookThroughLimit", "nsTimeLimit")
"""The limits that 389 keeps on the entry of an account. Of a paged search, the look-through limit bounds all pages together."""


def on_openldap(bind_dn: str) -> str:
    """See slapd.conf(5), limits: with paged results the hard size limit applies to all pages together."""
    who = f'dn.exact="{bind_dn}"' if bind_dn else "anonymous"
    limits = f"{who} size.soft=unlimited size.hard=unlimited size.prtotal=unlimited time=unlimited"
    return f"On OpenLDAP add to the database, under cn=config: `olcLimits: {limits}` or, in slapd.conf: `limits {limits}`."


def on_389(bind_dn: str) -> str:
    """389 keeps the limits of one account in operational attributes of its entry, -1 being none; paged searches have limits of their own."""
    wanted = ", ".join(f"`{name}: -1`" for name in OF_389)
    if not bind_dn:
        return f"On 389 Directory Server and FreeIPA bind as an account of its own (bind_dn), and set on its entry {wanted}."
    return f"On 389 Directory Server and FreeIPA set on the entry {bind_dn}: {wanted}."


def on_ad(bind_dn: str) -> str:
    """Domain controllers cut what is not paged at MaxPageSize and long searches at MaxQueryDuration; both are policies, not of one account."""
    return "Lower page_size, and see the LDAP policies of the domain (ntdsutil, “LDAP policies”: MaxPageSize, MaxQueryDuration, MaxResultSetSize)."


def elsewhere(bind_dn: str) -> str:
    """The vendor is not known: say what is wanted, and how the most common server is told."""
    return f"Lift the account's limits of size, look-through and time. {on_openldap(bind_dn)} {on_389(bind_dn)}"
