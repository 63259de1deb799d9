"""Recognising entries by their octets: who is left out of a read is exactly who would have been read as the same person again."""

from __future__ import annotations

import random
from collections.abc import Iterable
from typing import Any

import pytest

from sync.digests import Digests
from sync.directory import Person, Proof, Refused
from sync.settings import Attributes, GroupSearch, SourceSettings
from sync.sources import open_source
from tests.servers import liar
from tests.servers.liar import Liar
from tests.servers.slapd import Slapd
from tests.sync.sources.ldap.corp import corp, read

POSIX = {"filter": "(objectClass=posixGroup)", "member": "memberUid"}


class Remembering:
    """Reads a source again and again, and remembers by their digests whom it has read, as a store does."""

    def __init__(self) -> None:
        self.known: dict[bytes, Person] = {}
        self.recognised = 0

    def read(self, settings: SourceSettings, salt: bytes = b"s") -> tuple[dict[str, Person], list[Refused], Proof]:
        digests = Digests(salt, len(self.known))
        for digest, person in self.known.items():
            digests.add(digest, person.external_id)
        known = {digests.place(digest): digest for digest in self.known}
        staged: dict[str, tuple[bytes, Person]] = {}
        refused: list[Refused] = []
        same: list[bytes] = []
        with open_source(settings).open() as reading:
            for page in reading.full(digests):
                for digest, person in zip(page.digests or [b""] * len(page.persons), page.persons, strict=True):
                    staged[person.external_id] = (digest, person)
                same += [known[place] for place in page.same]
                refused += page.refused
            proof = reading.proof()
        assert len(set(same)) == len(same), "somebody recognised twice"
        for digest in same:
            staged.setdefault(self.known[digest].external_id, (digest, self.known[digest]))
        self.recognised = len(same)
        self.known = {digest: person for digest, person in staged.values() if digest}
        return {external_id: person for external_id, (_, person) in staged.items()}, refused, proof


def _compare(memory: Remembering, settings: SourceSettings) -> None:
    plain = read(settings)
    persons, refused, proof = memory.read(settings)
    assert persons == {person.external_id: person for person in plain.persons}
    assert sorted(refused, key=repr) == sorted(plain.refused, key=repr)
    assert (proof.complete, proof.pages, proof.entries, proof.groups_found) == (
        plain.proof.complete, plain.proof.pages, plain.proof.entries, plain.proof.groups_found,
    )  # fmt: skip


@pytest.mark.parametrize(
    "search", [None, {}, {"nested": False}, POSIX], ids=["memberOf", "groups in groups", "groups that list members", "groups that list user names"]
)
def test_what_is_recognised_is_what_would_have_been_read(slapd: Slapd, search: dict[str, Any] | None) -> None:
    """Random edits, ids that two entries share or that none has, moves and groups: both ways of reading end with the same people."""
    chance = random.Random(7)
    settings = corp(slapd, page_size=4, attributes=Attributes(id="employeeNumber"), bases=(slapd.base, slapd.former))
    if search is not None:
        settings = corp(slapd, page_size=4, attributes=settings.attributes, bases=settings.bases, groups=GroupSearch(slapd.groups, **search))
    places = {f"p{number}": slapd.add_person(f"p{number}", employeeNumber=f"e{number}") for number in range(12)}
    posix = search == POSIX
    names = [f"cn=g{number},{slapd.groups}" for number in range(3)]
    for name in names:
        if posix:
            slapd.add(name, objectClass="posixGroup", gidNumber="1", memberUid=["p1"])
        else:
            slapd.add_group(name.split(",")[0][3:], [places["p1"]])
    memory = Remembering()
    most = 0
    for _ in range(25):
        for _ in range(chance.randrange(3)):
            _edit(slapd, chance, places, names, posix)
        _compare(memory, settings)
        most = max(most, memory.recognised)
    assert most > 5


def _edit(slapd: Slapd, chance: random.Random, places: dict[str, str], groups: list[str], posix: bool) -> None:
    one, other = chance.sample(sorted(places), 2)
    match chance.randrange(6):
        case 0:
            slapd.modify(places[one], mail=[f"{one}.{chance.randrange(3)}@example.com", "no address"])
        case 1:
            slapd.modify(places[one], employeeNumber=chance.choice([f"e{one[1:]}", f"e{other[1:]}", []]))
        case 2:
            away = places[one].endswith(slapd.former)
            places[one] = slapd.move(places[one], slapd.base if away else slapd.former)
        case 3 if posix:
            slapd.modify(chance.choice(groups), memberUid=[one, other])
        case 3:
            slapd.modify(groups[chance.randrange(2)], member=chance.choice([[places[one], places[other]], [places[one]], [groups[2]]]))
        case 4:
            slapd.modify(groups[2], **({"memberUid": [one]} if posix else {"member": [places[one]]}))
        case _:
            slapd.modify(places[one], employeeNumber=f"e{one[1:]}")


def test_other_words_make_strangers_of_all(slapd: Slapd) -> None:
    """A configuration, a policy or a version that is another one (the salt), or other attributes: everybody is read again, once."""
    slapd.add_people(20)
    memory, settings = Remembering(), corp(slapd)
    for changed, salt in (
        (settings, b"s"),
        (settings, b"t"),
        (corp(slapd, domains=("example.com",)), b"t"),
        (corp(slapd, disabled_when=("sn=x",)), b"t"),
    ):
        memory.read(changed, salt)
        assert memory.recognised == 0
        memory.read(changed, salt)
        assert memory.recognised == 20


def test_an_entry_too_big_or_in_part_is_read_every_time() -> None:
    """Of an entry that does not come whole only id and state are known: nobody is recognised by it."""

    def script(asked: int, message_id: int) -> Iterable[bytes]:
        if asked % 2:
            yield liar.entry(message_id, "uid=huge,dc=x", {"entryUUID": ["id-huge"]})
            yield liar.done(message_id, None)
            return
        yield liar.entry(message_id, "uid=ann,dc=x", {"entryUUID": ["id-ann"], "uid": ["ann"]})
        yield liar.entry(message_id, "uid=huge,dc=x", {"entryUUID": ["id-huge"], "mail": ["x" * 1000] * 5000})
        yield liar.entry(message_id, "uid=part,dc=x", {"entryUUID": ["id-part"], "memberOf;range=0-1": ["cn=a", "cn=b"]})
        yield liar.done(message_id)

    memory = Remembering()
    with Liar(script) as server:
        settings = SourceSettings("corp", "ldap", 0, (server.url,), tls="plain", allow_plaintext=True, bases=("dc=x",), page_size=9)
        first, _, _ = memory.read(settings)
        assert {person.external_id for person in memory.known.values()} == {"id-ann"}
        again, _, proof = memory.read(settings)
    assert memory.recognised == 1
    assert again == {"id-ann": first["id-ann"]} | {one: first[one] for one in ("id-huge", "id-part")}
    assert (proof.entries, proof.complete) == (3, True)
