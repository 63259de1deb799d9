"""Who is missing from a list: gone only by the provider's own word about the id, and then whatever became of the list."""

from __future__ import annotations

import pytest

from sync.directory import Finding
from sync.sources.scim import evidence
from tests.servers.provider import Provider, Reply, error, found
from tests.sync.sources.scim.company import Company, ask_about

HTML = (404, {"content-type": "text/html"}, b"<html>Not Found</html>")


def about(provider: Provider, external_id: str = "id-ada", **changed: object) -> Finding:
    """Return the finding about one absent user of a provider that shows bob."""
    provider.add("bob")
    return ask_about(provider.url, external_id, **changed)[external_id]


def test_a_404_for_the_id(provider: Provider) -> None:
    """404 is evidence, recorded with what was asked and answered."""
    finding = about(provider)
    assert (finding.verdict, finding.why) == ("departed", "is gone from the provider")
    assert finding.evidence == f"GET {provider.url}/Users/id-ada: 404 Resource id-ada not found"


@pytest.mark.parametrize(
    ("reply", "why"),
    [
        (HTML, "a page for people"),
        ((404, {}, b"  <h1>404</h1>"), "a page for people"),
        (error(410, "gone"), "does not say"),
        (error(400, "?"), "does not say"),
        (error(501, "?"), "does not say"),
        (error(500, "a bug of theirs"), "does not say whether it is there: "),
        (error(403, "?"), "does not say whether it is there: "),
        ((302, {"location": "/login"}, b""), "does not say whether it is there: "),
        ((200, {"content-encoding": "gzip"}, b"x"), "does not say whether it is there: "),
        (found({"id": "somebody", "userName": "else"}), "somebody else"),
        (found({"userName": "ada"}), "somebody else"),
        (found([]), "is no JSON object"),
        (found({"id": "id-ada", "userName": "ada"}), "contradicts itself"),
        (found({"id": "id-ada", "active": "perhaps"}), "contradicts itself"),
    ],
)
def test_everything_else_proves_nothing(provider: Provider, reply: Reply, why: str) -> None:
    """A proxy's 404, another status, another user, or the user after all: kept and counted as unproven."""
    provider.always["Users/id-ada"] = reply
    finding = about(provider)
    assert finding.verdict == "unproven" and why in finding.why


def test_inactive_and_not_listed_any_more(provider: Provider) -> None:
    """A provider that leaves inactive people out of its list says so when asked for the id."""
    provider.add("ada", active=False)
    provider.unlisted.add("id-ada")
    assert (about(provider).verdict, about(provider).why) == ("departed", "is inactive, and the list leaves such people out")


def test_a_provider_that_answers_404_to_everything(provider: Provider, company: Company) -> None:
    """When even somebody who was just listed is answered 404, no 404 counts."""
    provider.people(30)
    company.sync()
    del provider.users["id-p3"]
    provider.always["Users/*"] = error(404, "not here")
    run = company.sync()
    assert [change.external_id for change in company.changes(run, "unproven")] == ["id-p3"]
    assert set(company.states().values()) == {"active"}


def test_a_provider_that_begins_to_answer_404_in_the_middle(provider: Provider) -> None:
    """The comparison is made again afterwards: what was found in between counts no more."""
    provider.add("bob")
    asked = 0
    answer = provider.reply

    def breaking(path: str, query: dict[str, str], headers: dict[str, str]) -> Reply:
        nonlocal asked
        asked += path == "Users/id-bob"
        return error(404, "broken") if path.startswith("Users/") and (asked > 1 or "bob" not in path) else answer(path, query, headers)

    provider.reply = breaking  # type: ignore[method-assign]
    assert {one.verdict for one in ask_about(provider.url, "id-ada", "id-cleo").values()} == {"unproven"}


def test_one_broken_answer_delays_nobody(provider: Provider, company: Company) -> None:
    """A user whom the provider fails to show costs nothing but that user: neither a departure, nor the comparison, nor the run."""
    provider.people(60)
    company.sync()
    for broken in ("id-p58", "id-p59", "id-p3", "id-p4"):
        provider.always[f"Users/{broken}"] = error(500, "a bug of theirs")
    for gone in ("id-p3", "id-p5"):
        del provider.users[gone]
    run = company.sync()
    assert {change.external_id for change in company.changes(run, "missing")} == {"id-p5"}
    assert {change.external_id for change in company.changes(run, "unproven")} == {"id-p3"}
    provider.add("p6", "other@example.com")
    for _ in range(3):  # the sample comes by all of them
        assert company.sync(mode="incremental").mode == "incremental"
    assert company.users()["p6"].email == "other@example.com"
    assert {name: state for name, state in company.states().items() if state != "active"} == {"p5": "missing"}


def test_so_many_and_no_more(provider: Provider, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond a bound nobody else is asked about in this run."""
    monkeypatch.setattr(evidence, "MOST_ASKED", 3)
    provider.add("bob")
    verdicts = [one.verdict for one in ask_about(provider.url, *(f"x{number}" for number in range(5))).values()]
    assert sorted(verdicts) == ["departed"] * 3 + ["unproven"] * 2


FILTER = 'title eq "staff"'


def test_who_no_longer_matches_the_filter(provider: Provider, company: Company) -> None:
    """The user is there, and the filter leaves them out, by the provider's own word: gone for us; who comes back is back."""
    for name in ("ada", "bob"):
        provider.add(name, title="staff")
    provider.add("cleo", title="guest")
    company.configure(filter=FILTER)
    company.sync()
    assert set(company.states()) == {"ada", "bob"}
    provider.add("ada", title="guest")
    run = company.sync()
    (gone,) = company.changes(run, "missing")
    assert gone.reason == "no longer matches the filter" and FILTER in str(gone.evidence)
    provider.add("ada", title="staff")
    company.sync()
    assert company.states() == {"ada": "active", "bob": "active"}


def test_a_filter_that_hides_somebody_it_matches(provider: Provider) -> None:
    """A provider that cannot be asked for an id by filter, or contradicts itself, proves nothing."""
    provider.add("bob", title="staff")
    provider.add("ada", title="staff")
    provider.unlisted.add("id-ada")
    assert ask_about(provider.url, "id-ada", filter=FILTER)["id-ada"].verdict == "unproven"
    provider.add("ada", title="guest")
    provider.unlisted.clear()
    assert ask_about(provider.url, "id-ada", filter=FILTER)["id-ada"].verdict == "departed"
    provider.filters = ('"staff"',)
    assert ask_about(provider.url, "id-ada", filter=FILTER)["id-ada"].verdict == "unproven"


def test_a_filter_the_provider_refuses_fails_the_run(provider: Provider, company: Company) -> None:
    """A filter that becomes a 400 one day takes nobody away."""
    provider.people(5)
    for user in provider.users.values():
        user["title"] = "staff"
    company.configure(filter=FILTER)
    company.sync()
    provider.filters = ("userName",)
    company.fails("bad_filter")


def test_a_filter_the_provider_begins_to_ignore_fails_the_run(provider: Provider, company: Company) -> None:
    """Suddenly shown everybody, rosterd gives nobody a key."""
    provider.add("ada", title="staff")
    provider.people(5)
    company.configure(filter=FILTER)
    company.sync()
    provider.ignores_filters = True
    company.fails("filter_ignored")
    assert set(company.states()) == {"ada"}


def test_many_leavers_are_held(provider: Provider, company: Company) -> None:
    """Thirty users that really are gone are still too many without a human."""
    provider.people(60)
    company.sync()
    for number in range(30):
        del provider.users[f"id-p{number}"]
    held = company.sync("held")
    assert held.counts["withheld"] == 30
    assert set(company.states().values()) == {"active"}


def test_a_dry_run_changes_nothing(provider: Provider, company: Company) -> None:
    """A dry run tells what would be, and leaves everything as it is."""
    provider.people(5)
    company.sync()
    before = company.users()
    del provider.users["id-p1"]
    provider.users["id-p2"]["active"] = False
    provider.add("new")
    run = company.sync(dry_run=True)
    assert (run.counts["added"], run.counts["missing"], run.counts["disabled"]) == (1, 1, 1)
    assert company.users() == before
