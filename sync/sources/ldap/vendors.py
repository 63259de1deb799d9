"""What each kind of directory calls the things we ask for, as data. "Adding a directory? start here"."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from sync.sources.ldap import limits
from sync.sources.ldap.signs import Moment, Test, anything_but, end_of_day, exactly, filetime, generalized_time, has_bit


@dataclass(frozen=True, slots=True)
class Vendor:
    """The habits of one kind of LDAP server. What a configuration leaves out is taken from here, key by key (see dialect.py).

    `marks`: what in the root DSE betrays it: (attribute, how one of its values begins), any of them; "" = any value.
    `id` … `filter`, `group_filter`: the defaults of [source.attributes], `filter` and [source.groups] filter. How the values of
    an id or address attribute are written is told in forms.py, by the attribute.
    `locks`: attributes that say "disabled" and how; `expiry`: those with the end, the earliest counts; `always`: the one that no
    entry is without, so that an entry that does not show it hides it.
    `primary`: the attribute whose address is the primary one where none is marked. `by_sid`: entries are in a primary group, which
    does not list them, and memberOf does not name the groups that their groups are in (see nesting.py). `descriptors`: what is hidden
    looks like what is not there, in filters too, and only the entries' security descriptors tell them apart (see descriptors.py).
    `aside`: a container, below the naming context, in which entries wait that are no people of today; `tombstones`: the filter that
    finds what was deleted and is kept for a while, where the account may see it, and `shows_deleted` the control that this takes;
    `rights`: the control that tells what the bind account may do; `own_limits`: the attributes of its entry that hold its limits.
    `discloses`: how the account, {account}, is allowed to hear that an entry is not there, or to see the deleted ones in {graveyard}.
    `acl_tool`: the command that tells an administrator what {account} may change of {place}, where the server does not tell the account itself.
    `follows_by`: by which ways it can be asked what has changed, the best first (see delta.py).
    `limits`: says how the limits of an account are lifted, given its DN; `follows`: one sentence for `rosterd check`, what this
    choice means.
    """

    name: str
    marks: tuple[tuple[str, str], ...]
    id: str
    locks: tuple[tuple[str, Test], ...]
    expiry: tuple[tuple[str, Moment], ...]
    limits: Callable[[str], str]
    discloses: str
    follows: str
    username: str = "uid"
    display: str = "displayName"
    emails: tuple[str, ...] = ("mail",)
    groups: str = "memberOf"
    aside: str = ""
    tombstones: str = ""
    shows_deleted: str = ""
    rights: str = ""
    acl_tool: str = ""
    own_limits: tuple[str, ...] = ()
    filter: str = "(objectClass=inetOrgPerson)"
    group_filter: str = "(objectClass=groupOfNames)"
    follows_by: tuple[str, ...] = ("content-sync", "timestamps")
    always: str = ""
    primary: str = ""
    by_sid: bool = False
    descriptors: bool = False


_EFFECTIVE_RIGHTS = "1.3.6.1.4.1.42.2.27.9.5.2"
"""Get Effective Rights (draft-ietf-ldapext-acl-model), whose value is the authorization id that is asked about."""

_DISCLOSES_389 = (
    'Add there `aci: (targetfilter="(|(objectClass=organizationalUnit)(objectClass=nsContainer))")(targetattr!="aci || userPassword")(version 3.0;'
    ' acl "rosterd learns who is gone"; allow (read, search) userdn="ldap:///{account}";)`: 389 says it only to those who may read the container,'
    " and a rule that lists attributes is not enough."
)

OPENLDAP = Vendor(
    name="openldap",
    marks=(("objectclass", "openldaprootdse"),),
    id="entryUUID",
    locks=(("pwdAccountLockedTime", exactly("000001010000Z")),),
    expiry=(("shadowExpire", end_of_day),),
    limits=limits.on_openldap,
    acl_tool="slapacl -D {account} -b {place} entry/write mail/write",
    discloses="Give {account} the right `read` on that entry itself, which includes `disclose`.",
    follows="a permanent ppolicy lock (pwdAccountLockedTime = 000001010000Z) disables, a temporary one does not; shadowExpire is the expiry date",
)
"""slapo-ppolicy(5): 000001010000Z = locked by an administrator for good; every other value is a lock-out that ends by itself."""

DIRSRV = Vendor(
    name="389ds",
    marks=(("vendorname", "389 project"), ("vendorversion", "389-directory/")),
    id="nsUniqueId",
    locks=(("nsAccountLock", anything_but("FALSE")),),
    expiry=(("shadowExpire", end_of_day),),
    tombstones="(objectClass=nsTombstone)",
    rights=_EFFECTIVE_RIGHTS,
    own_limits=limits.OF_389,
    limits=limits.on_389,
    discloses=_DISCLOSES_389,
    follows="nsAccountLock disables, whether it is set on the entry or by a role, with any value but FALSE; a lock-out that ends by"
    " itself (accountUnlockTime) does not; shadowExpire is the expiry date",
)

FREEIPA = Vendor(
    name="freeipa",
    marks=(("ipatopologypluginversion", ""), ("ipadomainlevel", "")),
    id="ipaUniqueID",
    locks=DIRSRV.locks,
    expiry=(("krbPrincipalExpiration", generalized_time),),
    aside="cn=accounts,cn=provisioning",
    tombstones=DIRSRV.tombstones,
    rights=_EFFECTIVE_RIGHTS,
    own_limits=limits.OF_389,
    limits=limits.on_389,
    discloses=_DISCLOSES_389,
    follows="nsAccountLock disables (`ipa user-disable`), with any value but FALSE; krbPrincipalExpiration is the expiry date;"
    " who was preserved (`ipa user-del --preserve`) has left",
)

AD = Vendor(
    name="ad",
    marks=(("supportedcapabilities", "1.2.840.113556.1.4.800"),),
    id="objectGUID",
    locks=(("userAccountControl", has_bit(0x2)),),
    expiry=(("accountExpires", filetime),),
    limits=limits.on_ad,
    discloses='As a domain administrator: dsacls "{graveyard}" /takeownership, then dsacls "{graveyard}" /g DOMAIN\\ACCOUNT:LCRP'
    " lets it see who was deleted, wherever they stood.",
    follows="userAccountControl (ACCOUNTDISABLE) disables, a lock-out does not; accountExpires is the expiry date; groups are those of memberOf,"
    " the primary one, and whichever of the issuing groups these are in",
    username="sAMAccountName",
    emails=("mail", "proxyAddresses"),
    filter="(sAMAccountType=805306368)",
    group_filter="(objectCategory=group)",
    always="userAccountControl",
    primary="mail",
    by_sid=True,
    descriptors=True,
    tombstones="(isDeleted=TRUE)",
    shows_deleted="1.2.840.113556.1.4.417",
    follows_by=("usn",),
)
"""Active Directory Domain Services, and Samba as one (MS-ADTS section 3.1.1.3.4.3.1). The filter's number is that of people: computers, managed
service accounts, trusts and contacts have others or none, and the attribute is indexed."""

GENERIC = Vendor(
    name="generic",
    marks=(),
    id=OPENLDAP.id,
    locks=(*OPENLDAP.locks, *DIRSRV.locks),
    expiry=(*OPENLDAP.expiry, *FREEIPA.expiry),
    limits=limits.elsewhere,
    discloses="Let {account} read that entry itself: many servers name it as the nearest one only to those who may.",
    follows="it is read as OpenLDAP would be, and what disables or ends on 389 Directory Server and FreeIPA does so here; check the people below",
)
"""Any other server, and any whose root DSE is hidden: that must enable nobody whom OpenLDAP, 389 or FreeIPA has locked, and asking for an
attribute costs nothing where it is unknown. (pwdAccountLockedTime: draft-behera-ldap-password-policy section 5.3.3.)"""

VENDORS = {vendor.name: vendor for vendor in (FREEIPA, DIRSRV, AD, OPENLDAP, GENERIC)}
"""By the name in the configuration, in the order in which their marks are looked for: FreeIPA's server is a 389."""


def detect(root: Mapping[str, Sequence[str]]) -> Vendor:
    """Return the vendor that the root DSE (attributes in lower case) betrays; GENERIC when it betrays none."""
    for vendor in VENDORS.values():
        if any(value.lower().startswith(begins) for attribute, begins in vendor.marks for value in root.get(attribute, ())):
            return vendor
    return GENERIC
