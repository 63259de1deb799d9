"""Reading one person at once, by address or id, with hostile input."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as effort
from hypothesis import strategies as st

from sync.settings import Attributes
from sync.sources import open_source
from sync.sources.ldap.filters import any_of, both, equals, escape, negation
from tests.servers.slapd import Slapd, person_id
from tests.sync.sources.ldap.corp import corp, read


def test_a_person_is_found_by_any_address_in_any_case(slapd: Slapd) -> None:
    """Every address of every e-mail attribute finds its person, in any spelling, as a full read would show them."""
    slapd.add_person("ann", mail=["Ann@Example.com", "ann.b@example.com"], description=["alias@bücher.example"])
    slapd.add_person("bob")
    settings = corp(slapd, attributes=Attributes(emails=("mail", "description")))
    expected = [read(settings).one("ann")]
    with open_source(settings).open() as reading:
        for address in ("ann@example.com", "ANN@EXAMPLE.COM", "Ann.B@example.com", "alias@BÜCHER.example", "alias@xn--bcher-kva.example"):
            assert reading.find(address).persons == expected, address


def test_base_and_filter_hold_for_one_person_too(slapd: Slapd) -> None:
    """Whom a full read does not show, a look-up does not show either."""
    slapd.add_person("ann", parent=slapd.former)
    slapd.add_person("bob", employeeType="left")
    with open_source(corp(slapd, filter="(!(employeeType=left))")).open() as reading:
        assert reading.find("ann@example.com").persons == []
        assert reading.find("bob@example.com").persons == []


@pytest.mark.parametrize(
    "address", ["*", "*@*", "*)(uid=*@example.com", "a)(|(uid=*@example.com", "\\2a@example.com", "u00000?@example.com", "a@b\0c"]
)
def test_no_address_finds_anybody_but_its_own(slapd: Slapd, address: str) -> None:
    """Characters that mean something in a filter mean nothing in an address."""
    slapd.add_people(3)
    with open_source(corp(slapd)).open() as reading:
        assert reading.find(address).persons == []
        assert reading.find_ids([address]).persons == []


def test_addresses_full_of_special_characters_find_their_person(slapd: Slapd) -> None:
    """An address that is all special characters is found like any other."""
    odd = ["o'brien+x@example.com", "a*b@example.com", "a/b@example.com", "{x}|y@example.com", "a=b&c!@example.com", "#hash@example.com"]
    slapd.add_person("odd", mail=odd)
    with open_source(corp(slapd)).open() as reading:
        for address in odd:
            assert [person.username for person in reading.find(address).persons] == ["odd"], address


def test_people_are_found_by_id_in_batches(slapd: Slapd) -> None:
    """Hundreds of ids at once bring exactly those who are there."""
    slapd.add_people(350)
    with open_source(corp(slapd)).open() as reading:
        page = reading.find_ids([person_id(number) for number in range(300, 700)])
    assert sorted(person.external_id for person in page.persons) == [person_id(number) for number in range(300, 351)]


@effort(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(value=st.text(min_size=1, max_size=40))
def test_any_text_can_be_asked_for(slapd: Slapd, value: str) -> None:
    """No text, however strange, breaks a question or matches somebody else."""
    with open_source(corp(slapd)).open() as reading:
        assert reading.find(f"{value}@example.com").persons == []
        assert reading.find_ids([value]).persons == []


def test_filters_are_put_together_with_brackets() -> None:
    """Filters without outer brackets gain them, values lose their meaning."""
    assert escape("a*(b)\\c\0 é") == "a\\2a\\28b\\29\\5cc\\00\\20\\c3\\a9"
    assert both("uid=a", " (cn=b) ") == "(&(uid=a)(cn=b))"
    assert negation("uid=a") == "(!(uid=a))"
    assert any_of([equals("a", "b")]) == "(a=b)"
    assert any_of([equals("a", "b"), equals("c", "*")]) == "(|(a=b)(c=\\2a))"
