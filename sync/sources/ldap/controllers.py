"""What `rosterd check` says about domain controllers alone: which domain, which port, what the account sees of it, and what it could change."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from urllib.parse import urlsplit

from sync.directory import Person
from sync.sources.ldap.ber import Entry
from sync.sources.ldap.connection import Line, Search
from sync.sources.ldap.descriptors import Sight
from sync.sources.ldap.dialect import Dialect
from sync.sources.ldap.dn import above, is_under
from sync.sources.ldap.filters import ANYTHING, any_of, both, equals
from sync.sources.ldap.mapping import Mapper
from sync.sources.ldap.root import Root
from sync.sources.probed import Probed

_LEVELS = {"0": "2000", "2": "2003", "3": "2008", "4": "2008 R2", "5": "2012", "6": "2012 R2", "7": "2016", "10": "2025"}
"""msDS-Behavior-Version (MS-ADTS section 6.1.4.2)."""
_CATALOGUE_PORTS = (3268, 3269)
_MOST_A_PAGE = 1000
"""MaxPageSize of a controller whose LDAP policies nobody has changed."""
_EFFECTIVE = ("allowedAttributesEffective", "allowedChildClassesEffective", "sDRightsEffective")
"""What the bound account may change (MS-ADTS section 3.1.1.4.5, constructed attributes)."""
_SHOWN = 5


def judge_controller(line: Line, mapper: Mapper, root: Root) -> Iterator[Probed]:
    """Yield which domain this is, whether the bases are in it, and what its port and the size of its pages mean. Raises SourceError."""
    home = "".join(root["defaultnamingcontext"])
    level = "".join(root["domainfunctionality"])
    strange = [base for base in line.settings.bases if not is_under(base, home)]
    remedy = f"Name in `urls` the controllers of the domain that {strange[0]} is in; several domains are several sources." if strange else ""
    yield Probed("domain", True, f"{''.join(root['dnshostname'])} serves {home}, functional level {_LEVELS.get(level, level or 'unknown')}", remedy)
    if line.settings.page_size > _MOST_A_PAGE:
        size = line.settings.page_size
        yield Probed("pages", True, f"page_size is {size}: a domain controller sends {_MOST_A_PAGE} entries a page at most, and more pages")
    if urlsplit(line.url).port in _CATALOGUE_PORTS:
        missing = ", ".join(_not_in_catalogue(line, mapper.attributes, root)) or "nothing that is asked for"
        detail = f"{line.url} is a global catalogue. It lacks {missing}; memberOf names universal groups and those of its own domain only"
        yield Probed("catalogue", True, detail, "Use the controllers of the domain itself (ldaps://…:636); several domains are several sources.")


def _not_in_catalogue(line: Line, names: Sequence[str], root: Root) -> list[str]:
    wanted = any_of(equals("lDAPDisplayName", name) for name in names)
    asked = Search("".join(root["schemanamingcontext"]), both(wanted, "(&(!(isMemberOfPartialAttributeSet=TRUE))(!(linkID=*)))"), ["lDAPDisplayName"])
    return sorted(name for entry in line.fetch(asked)[0] for name in entry.texts("ldapdisplayname"))


def judge_domain_rights(line: Line, dialect: Dialect, mapper: Mapper, root: Root, first: Person) -> Iterator[Probed]:
    """Yield what the account may not see, how departures are proven, and what it may change that it need not. Raises SourceError."""
    sight = Sight(lambda: line, root)
    yield from _judge_sight(mapper, sight, first)
    yield _judge_departures(line, dialect, root, sight, first)
    yield _judge_writing(line, dialect, sight)


def _judge_sight(mapper: Mapper, sight: Sight, first: Person) -> Iterator[Probed]:
    """By the descriptor of one person: a search cannot tell, for what is hidden counts as not set."""
    hidden = [name for name in mapper.attributes if not sight.reads(first.place, [name])]
    locks = [name for name in hidden if name in mapper.state_attributes]
    others = [name for name in hidden if name not in locks]
    remedy = (
        "Grant it the right to read them: they are in the property sets “General Information”, “Public Information”,"
        " “Account Restrictions” and “Group Membership” (docs/ldap.md has the commands)."
    )
    if locks:
        detail = f"the bind account may not read {', '.join(locks)} of {first.place}, or its rights cannot be told"
        yield Probed("rights", True, f"{detail}: what they say of people would not be known", remedy)
    if others:
        detail = f"the bind account may not read {', '.join(others)} of {first.place}, or its rights cannot be told"
        yield Probed("sight", True, f"{detail}: what is hidden looks the same as what is not set", remedy)


def _judge_departures(line: Line, dialect: Dialect, root: Root, sight: Sight, first: Person) -> Probed:
    graveyard = f"CN=Deleted Objects,{''.join(root['defaultnamingcontext'])}"
    graves = _sees_graves(line, dialect, graveyard)
    blind = [place for place in dict.fromkeys([*line.settings.bases, above(first.place)]) if not sight.lists(place)]
    proofs = ["by the deleted objects"] if graves else []
    proofs += [] if blind else ["by its right to list what stands below the bases"]
    detail = f"departures can be proven {' and '.join(proofs)}"
    if not proofs:
        detail = f"whoever is deleted stays, as unproven: the account may not list what is below {blind[0]}"
    if graves:
        return Probed("departures", True, detail)
    remedy = dialect.vendor.discloses.format(graveyard=graveyard)
    return Probed("departures", True, f"{detail}; no deleted object can be seen", remedy)


def _sees_graves(line: Line, dialect: Dialect, graveyard: str) -> bool:
    """Tell whether any deleted object is shown: the container alone shows itself to everybody."""
    control = (dialect.vendor.shows_deleted, True, None)
    asked = Search(graveyard, dialect.vendor.tombstones, [dialect.id], page_size=2, controls=(control,))
    return any(dialect.ids_of(entry) and "DEL:" in entry.dn for entry in line.fetch(asked)[0])


def _judge_writing(line: Line, dialect: Dialect, sight: Sight) -> Probed:
    """What it may change of the first person that is not itself: everybody may change a little of their own entry."""
    asked = Search(line.settings.bases[0], dialect.filter, [*_EFFECTIVE, "objectSid"], page_size=2)
    entries = [entry for entry in line.fetch(asked)[0] if not sight.is_own(entry)]
    base = line.fetch(Search(line.settings.bases[0], ANYTHING, _EFFECTIVE, scope="entry"))[0]
    may = [act for entry in (*entries[:1], *base) for act in _acts(entry)]
    if not may:
        return Probed("writing", True, f"the bind account may change nothing of {' and '.join(entry.dn for entry in (*entries[:1], *base))}")
    return Probed("writing", True, f"the bind account may {' and '.join(may)}", "Take that away: rosterd only ever reads.")


def _acts(entry: Entry) -> Iterator[str]:
    names = entry.texts("allowedattributeseffective")
    if names:
        more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
        yield f"change {', '.join(names[:_SHOWN])}{more} of {entry.dn}"
    if entry.texts("allowedchildclasseseffective"):
        yield f"add entries below {entry.dn}"
    if any(text.strip() not in ("", "0") for text in entry.texts("sdrightseffective")):
        yield f"change who may do what with {entry.dn}"
