"""From entries to Persons: what is taken, and what is dropped by name (rule 7)."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sync.directory import Dropped, Person, Refused
from sync.settings import Attributes, SourceSettings
from sync.sources.ldap.ber import Entry
from sync.sources.ldap.dialect import dialect_of
from sync.sources.ldap.mapping import Mapper, _texts_plainly
from sync.sources.ldap.vendors import OPENLDAP
from sync.sources.sieve import MOST_ADDRESSES, MOST_DROPPED, MOST_GROUPS, Addresses, Sieve


def _mapper(settings: SourceSettings) -> Mapper:
    return Mapper(settings, dialect_of(settings, OPENLDAP))


def _map(listed: dict[str, list[Any]], dn: str = "uid=ann,dc=x", **settings: Any) -> Person | Refused:
    raw = {name: [value.encode() if isinstance(value, str) else value for value in values] for name, values in listed.items()}
    return _mapper(SourceSettings("corp", "ldap", 0, **settings)).person(Entry(dn, raw))


def _person(dn: str = "uid=ann,dc=x", settings: dict[str, Any] | None = None, **attributes: list[Any]) -> Person:
    person = _map({"entryuuid": ["id-1"], "uid": ["ann"], **attributes}, dn, **(settings or {}))
    assert isinstance(person, Person)
    return person


def test_a_bad_address_is_named_and_the_good_ones_stay() -> None:
    """Malformed values go by name and reason; the person keeps the others."""
    person = _person(mail=["nonsense", "ann@example.com", "a b@example.com", "\u202eann@example.com"])
    assert [email.spelt for email in person.emails] == ["ann@example.com"]
    assert [one.value for one in person.dropped] == ["nonsense", "a b@example.com", "\u202eann@example.com"]
    assert person.dropped[0] == Dropped("mail", "nonsense", "has no @")


@given(st.lists(st.one_of(st.binary(max_size=12), st.text(max_size=8).map(str.encode), st.just(b"x" * 1024), st.just(b"x" * 1025)), max_size=4))
def test_values_taken_in_one_go_are_those_taken_one_by_one(values: list[bytes]) -> None:
    """Whatever octets an attribute holds, the short way takes and names the same as the plain one."""
    short, plain, mapper = Sieve(), Sieve(), _mapper(SourceSettings("corp", "ldap", 0))
    assert mapper._texts(Entry("", {"uid": values}), "uid", short, "uid") == _texts_plainly(values, plain, "uid")
    assert short.result() == plain.result()


_ADDRESSES = st.sampled_from(["ann@example.com", "b@x.de", "Ann@Example.com", " b@x.de ", "nonsense", "", "b@x.de\n", "ü@x.de", f"{'y' * 250}@x.de"])
_MANY = st.integers(60, 70).map(lambda number: [f"a{one}@x.de" for one in range(number)])


@given(st.lists(_ADDRESSES, max_size=4) | _MANY, st.lists(_ADDRESSES, max_size=4), st.sampled_from([(), ("x.de",)]))
def test_addresses_taken_in_one_go_are_those_taken_one_by_one(mail: list[str], alias: list[str], domains: tuple[str, ...]) -> None:
    """Whatever two attributes list, the short way takes the same addresses as the plain one, in the same order, and names the same others."""
    short, plain = Sieve(), Sieve()
    mapper = _mapper(SourceSettings("corp", "ldap", 0, attributes=Attributes(emails=("mail", "alias")), domains=domains))
    found = mapper._addresses(Entry("", {name: [text.encode() for text in texts] for name, texts in (("mail", mail), ("alias", alias))}), short)
    one_by_one = Addresses(frozenset(domains), plain)
    for name, text in [*(("mail", text) for text in mail), *(("alias", text) for text in alias)]:
        one_by_one.take(name, text, text.strip(" "), False)
    assert (found, short.result()) == (one_by_one.result(), plain.result())


def test_an_address_listed_twice_is_one_address() -> None:
    """Spellings of one address collapse to the first, silently, over all attributes."""
    person = _person(
        settings={"attributes": Attributes(emails=("mail", "alias"))},
        mail=["Ann@Example.com", "ann@example.COM"],
        alias=["ANN@example.com", "b@x.de"],
    )
    assert [email.spelt for email in person.emails] == ["Ann@Example.com", "b@x.de"]
    assert person.dropped == ()


def test_spaces_around_an_address_do_not_count() -> None:
    """Leading and trailing spaces are insignificant in the syntax of mail."""
    assert [email.spelt for email in _person(mail=[" ann@example.com  "]).emails] == ["ann@example.com"]


def test_ten_thousand_addresses_are_cut_to_sixty_four_and_the_rest_is_told() -> None:
    """Surplus addresses are named while they are few, then counted; nobody pays for them twice."""
    person = _person(mail=[f"a{number}@example.com" for number in range(10_000)])
    assert len(person.emails) == MOST_ADDRESSES
    assert person.emails[0].spelt == "a0@example.com"
    assert len(person.dropped) == MOST_DROPPED + 1
    assert person.dropped[0].value == f"a{MOST_ADDRESSES}@example.com"
    assert person.dropped[-1].why == f"{10_000 - MOST_ADDRESSES - MOST_DROPPED} more values were left out"


def test_oversized_values_are_dropped_wherever_they_stand() -> None:
    """More than 1 KiB is no address, name, user name or group; the value is shown cut."""
    person = _person(mail=["x" * 1025 + "@example.com"], displayname=["n" * 1025], cn=["Ann"], memberof=["cn=" + "g" * 1025], uid=["u" * 1025, "ann"])
    assert (person.name, person.username, person.emails, person.groups) == ("Ann", "ann", (), ())
    assert {(one.attribute, len(one.value)) for one in person.dropped} == {("mail", 80), ("displayName", 80), ("memberOf", 80), ("uid", 80)}


def test_addresses_outside_the_source_s_domains_are_dropped() -> None:
    """`domains` is compared as addresses are: without case, as A-labels, and a sub-domain is another one."""
    person = _person(
        settings={"domains": ("Example.com", "bücher.example")},
        mail=["a@EXAMPLE.com", "b@sub.example.com", "c@xn--bcher-kva.example", "d@partner.org"],
    )
    assert [email.spelt for email in person.emails] == ["a@EXAMPLE.com", "c@xn--bcher-kva.example"]
    assert {one.why for one in person.dropped} == {"is in none of the source's domains"}


def test_groups_are_normalised_sorted_and_capped() -> None:
    """Groups compare by their DN; what is none is dropped, and so is what is over five thousand."""
    person = _person(memberof=["CN=B, dc=x", "cn=a,dc=x", "cn=b,dc=X", "no dn"])
    assert person.groups == ("cn=a,dc=x", "cn=b,dc=x")
    assert [one.value for one in person.dropped] == ["no dn"]
    many = _person(memberof=[f"cn=g{number:05d},dc=x" for number in range(MOST_GROUPS + 7)])
    assert (len(many.groups), len(many.dropped)) == (MOST_GROUPS, 7)


def test_of_several_user_names_the_one_that_names_the_entry_is_taken() -> None:
    """The order of values is nobody's promise, the DN is."""
    assert _person("uid=Ann,dc=x", uid=["amueller", "ann"]).username == "ann"
    assert _person("cn=x,dc=x", uid=["amueller", "ann"]).username == "amueller"


@pytest.mark.parametrize("name", [[], [b"\xff"], ["  "], ["x" * 2000]])
def test_the_name_falls_back_to_cn(name: list[Any]) -> None:
    """No readable displayName is no reason to have no name."""
    assert _person(displayname=name, cn=["Ann"]).name == "Ann"


@pytest.mark.parametrize(
    ("ids", "why"),
    [
        ([], "shows no entryUUID"),
        (["a", "b"], "shows 2 values of entryUUID"),
        ([b"\xff\x00"], "has an unreadable entryUUID"),
        ([""], "has an unreadable entryUUID"),
        (["x" * 256], "has an unreadable entryUUID"),
        (["a b"], "has an unreadable entryUUID"),
    ],
)
def test_an_entry_without_one_readable_id_is_refused(ids: list[Any], why: str) -> None:
    """Who cannot be told apart for certain is not taken, and the DN says who it was."""
    assert _map({"entryuuid": ids, "uid": ["ann"]}) == Refused("uid=ann,dc=x", why)


def test_an_entry_that_came_in_part_says_only_who_it_is() -> None:
    """Whose addresses or groups came in part loses none of those that did not come."""
    listed = {"entryuuid": [b"id-1"], "mail": [b"ann@example.com"], "memberof": [b"cn=a"]}
    person = _mapper(SourceSettings("corp", "ldap", 0)).person(Entry("uid=ann,dc=x", listed, cut=True))
    assert person == Person("id-1", "uid=ann,dc=x", "", "", (), (), True, bare=True)


def test_ids_compare_without_case() -> None:
    """UUIDs are the same in either case (RFC 4530), so a server that changes it changes nobody."""
    person = _map({"entryuuid": ["0000ABCD-0000-4000-8000-00000000000F"]})
    assert isinstance(person, Person)
    assert person.external_id == "0000abcd-0000-4000-8000-00000000000f"


def test_only_named_attributes_are_asked_for() -> None:
    """An empty name is not asked for, none twice, and never all."""
    settings = SourceSettings("corp", "ldap", 0, attributes=Attributes(username="", name="cn", emails=("mail", "mail"), groups=""))
    assert _mapper(settings).attributes == ["entryUUID", "pwdAccountLockedTime", "shadowExpire", "cn", "mail"]


@pytest.mark.parametrize(
    ("when", "attributes", "enabled"),
    [
        ("nsAccountLock=TRUE", {"nsaccountlock": ["true"]}, False),
        ("nsAccountLock=true", {"nsaccountlock": ["FALSE"]}, True),
        ("employeeType=left", {"employeetype": ["staff", " LEFT "]}, False),
        ("employeeType=left", {}, True),
        ("carLicense=*", {"carlicense": ["anything"]}, False),
        ("carLicense=*", {"carlicense": [b"\xff"]}, False),
        ("carLicense=*", {}, True),
        ("description=a=b", {"description": ["a=b"]}, False),
        ("employeeType;lang-de=left", {"employeetype": ["left"]}, False),
        ("x=y", {"pwdaccountlockedtime": ["000001010000Z"]}, False),
        ("x=y", {"pwdaccountlockedtime": ["20260101000000Z"]}, True),
    ],
)
def test_conditions_disable(when: str, attributes: dict[str, list[Any]], enabled: bool) -> None:
    """attr=value without case, attr=* for any value, and the vendor's own lock."""
    person = _map({"entryuuid": ["id"], **attributes}, disabled_when=(when,))
    assert isinstance(person, Person)
    assert person.enabled is enabled


@pytest.mark.parametrize(
    ("values", "days"),
    [
        (["1"], 2),
        (["20000"], 20001),
        (["-1"], None),
        (["0"], None),
        ([""], None),
        (["x"], None),
        (["99999999999"], None),
        (["9", "7"], 8),
        ([" 7 "], 8),
    ],
)
def test_shadow_expire_in_all_its_forms(values: list[Any], days: int | None) -> None:
    """Days become the end of that day in milliseconds; what means never, or nothing, is no expiry."""
    assert _person(shadowexpire=values).expires_at == (None if days is None else days * 86_400_000)
