"""One person at once (`--only`): asked by filter where the provider has filters, found all the same where it has none."""

from __future__ import annotations

import pytest

from tests.servers.provider import Provider
from tests.sync.sources.scim.company import Company


@pytest.mark.parametrize("filters", [None, ("emails.value",), ("userName",), ()], ids=["any", "by address", "by user name", "none"])
def test_one_person_is_found(provider: Provider, company: Company, filters: tuple[str, ...] | None) -> None:
    """Whatever the provider can filter by, exactly the person with the address is read, however it is spelt."""
    provider.people(150)
    provider.add("ada", "Ada@Example.com", "lovelace@example.com")
    provider.filters = filters
    run = company.sync(only="LOVELACE@example.com")
    assert run.counts["added"] == 1
    assert set(company.states()) == {"ada"}


def test_a_user_name_that_is_the_address(provider: Provider, company: Company) -> None:
    """A provider that filters by user name only, and calls people by their address, is asked one question."""
    provider.people(150)
    provider.add("ada@example.com", "ada@example.com")
    provider.filters = ("userName",)
    provider.forget()
    company.sync(only="ada@example.com")
    assert len(company.states()) == 1
    assert not [query for query in provider.asked_for("Users") if "filter" not in query]


def test_a_provider_that_ignores_filters(provider: Provider, company: Company) -> None:
    """Everybody is shown in answer to the question for one: only who lists the address is taken."""
    provider.people(250)
    provider.ignores_filters = True
    company.sync(only="p7@example.com")
    assert set(company.states()) == {"p7"}


def test_nobody_has_the_address(provider: Provider, company: Company) -> None:
    """Nobody is no failure."""
    provider.people(3)
    assert company.sync(only="nobody@example.com").counts["added"] == 0


def test_an_address_full_of_signs(provider: Provider, company: Company) -> None:
    """What stands in an address never becomes part of the filter."""
    provider.people(3)
    provider.add("odd", "o'{0}%41&filter=*+o@example.com")
    company.sync(only="o'{0}%41&filter=*+o@example.com")
    assert set(company.states()) == {"odd"}


def test_one_who_left(provider: Provider, company: Company) -> None:
    """Somebody remembered with the address and answered 404 is missing at once; who is only not listed is kept."""
    provider.people(5)
    company.sync()
    del provider.users["id-p1"]
    provider.unlisted.add("id-p2")
    company.sync(only="p1@example.com")
    company.sync(only="p2@example.com")
    assert (company.states()["p1"], company.states()["p2"]) == ("missing", "active")


def test_one_who_was_disabled(provider: Provider, company: Company) -> None:
    """A disabled one is disabled at once, and nobody else is touched."""
    provider.people(5)
    company.sync()
    provider.users["id-p1"]["active"] = "False"
    provider.users["id-p2"]["active"] = "False"
    company.sync(only="p1@example.com")
    assert (company.states()["p1"], company.states()["p2"]) == ("disabled", "active")
