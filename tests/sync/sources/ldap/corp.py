"""A source on a test's own slapd, and one-line ways to read it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from sync.directory import Absent, Finding, Person, Proof, Refused
from sync.settings import Secret as Hidden
from sync.settings import SourceSettings
from sync.sources import open_source
from tests.servers.dirsrv import DirsrvTree
from tests.servers.slapd import Slapd


def corp(server: Slapd | DirsrvTree, **changes: Any) -> SourceSettings:
    """Return the settings of a source that reads everybody under ou=people in the clear, as cn=sync."""
    settings: dict[str, Any] = {
        "name": "corp",
        "kind": "ldap",
        "rank": 0,
        "urls": (server.url,),
        "tls": "plain",
        "allow_plaintext": True,
        "bind_dn": server.bind_dn,
        "password": Hidden(server.password),
        "bases": (server.base,),
        "connect_timeout": 5.0,
        "read_timeout": 20.0,
    }
    return SourceSettings(**(settings | changes))


@dataclass
class Read:
    """Everything one full read brought."""

    proof: Proof
    persons: list[Person] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)
    server: str = ""

    def one(self, username: str) -> Person:
        """Return the person with this username."""
        (person,) = [person for person in self.persons if person.username == username]
        return person

    @property
    def usernames(self) -> set[str]:
        """All usernames."""
        return {person.username for person in self.persons}


def read(settings: SourceSettings, *groups: str) -> Read:
    """Read the whole directory once."""
    with open_source(settings, groups).open() as reading:
        persons: list[Person] = []
        refused: list[Refused] = []
        for page in reading.full():
            persons += page.persons
            refused += page.refused
        return Read(reading.proof(), persons, refused, reading.server)


def ask(settings: SourceSettings, *absent: Absent | Person) -> dict[str, Finding]:
    """Return the findings about absent people by id."""
    people = [Absent(one.external_id, one.place) for one in absent]
    with open_source(settings).open() as reading:
        findings = list(reading.evidence(people))
    assert len(findings) == len(absent)
    return {finding.external_id: finding for finding in findings}
