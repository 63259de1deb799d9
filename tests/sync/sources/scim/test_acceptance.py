"""The acceptance checks of pulling, each under its number: the exact set of users, or a failed run with nothing changed."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sync.settings import ClientCredentials, Secret
from sync.store.cursors import load_cursor
from tests.servers.provider import Provider, error, found, http_date, stamp
from tests.sync.sources.scim.company import Company, read

EVERYBODY = {f"p{number}" for number in range(250)}

LISTS: dict[str, Callable[[Provider], object]] = {
    "clamps to 100": lambda provider: setattr(provider, "largest", 100),
    "clamps to 7": lambda provider: setattr(provider, "largest", 7),
    "400 for count over 100": lambda provider: setattr(provider, "refuses_over", 100),
    "totalResults far too low": lambda provider: setattr(provider, "total", lambda true: 10),
    "totalResults is that of the page": lambda provider: setattr(provider, "total", lambda true: 100),
    "totalResults too high": lambda provider: setattr(provider, "total", lambda true: true + 40),
    "no totalResults": lambda provider: setattr(provider, "total", lambda true: None),
    "totalResults a text": lambda provider: setattr(provider, "total", str),
    "pages overlap": lambda provider: setattr(provider, "overlap", 3),
    "does not page at all": lambda provider: setattr(provider, "unpaged", True),
    "lower-case resources": lambda provider: setattr(provider, "word", "resources"),
}


@pytest.mark.parametrize("quirk", LISTS)
def test_31_a_list_with_quirks_is_read_exactly(provider: Provider, quirk: str) -> None:
    """Whatever a provider does to its pages and counts, every user comes once, whether 500 or 100 are asked for at once."""
    provider.people(250)
    LISTS[quirk](provider)
    for page_size in (500, 100):
        people = read(provider.url, page_size=page_size)
        assert len(people.usernames) == 250 and set(people.usernames) == EVERYBODY
        assert people.proof.complete == (quirk != "totalResults too high")


def test_31_a_provider_that_does_not_page_and_has_few_people(provider: Provider) -> None:
    """All of them again in answer to the question for more are no circle, as long as the count says that they are all."""
    provider.people(30)
    provider.unpaged = True
    people = read(provider.url)
    assert (len(people.usernames), people.proof.complete) == (30, True)


def test_32_a_repeating_page_is_an_error(provider: Provider, company: Company) -> None:
    """A provider that shows its first page for ever fails the run; nobody comes and nobody goes."""
    provider.people(150)
    company.sync()
    provider.add("new", id="aaa")
    provider.users = {"aaa": provider.users.pop("aaa"), **provider.users}
    provider.repeats = True
    company.fails("paging_loop")


def test_32_a_cursor_that_stays_is_an_error(provider: Provider, company: Company) -> None:
    """So does a cursor that leads to where it came from."""
    provider.people(350)
    provider.spc, provider.cursors, provider.cursor_stays = {"pagination": {"cursor": True, "index": False}}, True, True
    company.fails("paging_loop")


def test_33_a_row_that_vanishes_during_the_walk_takes_nobody_with_it(provider: Provider, company: Company) -> None:
    """Who is passed over because rows moved up is kept, for their id still answers; who is really gone is gone in the same run."""
    provider.people(250)
    company.sync()

    def delete(number: int) -> None:
        if number == 2:
            del provider.users["id-p5"]

    provider.forget()
    provider.before_page = delete
    run = company.sync()
    assert run.complete is False
    assert {change.external_id for change in company.changes(run, "missing")} == set()
    (kept,) = company.changes(run, "unproven")
    assert kept.external_id == "id-p100" and "contradicts itself" in str(kept.reason)
    provider.before_page = lambda number: None
    del provider.users["id-p7"]
    provider.unlisted.add("id-p8")
    provider.total = lambda true: true + 3
    second = company.sync()
    assert second.complete is False
    assert {change.external_id for change in company.changes(second, "missing")} == {"id-p5", "id-p7"}


BAD: dict[str, Any] = {
    "is no object": "a text",
    "has no id": {"userName": "x"},
    "has an id that leads elsewhere": {"id": "..", "userName": "x"},
    "has a list for an id": {"id": ["x"], "userName": "x"},
    "has a strange active": {"id": "id-p50", "userName": "x", "active": "perhaps"},
    "says active twice": {"id": "id-p50", "userName": "x", "active": True, "Active": False},
    "is a group": {"id": "id-p50", "displayName": "x", "meta": {"resourceType": "Group"}},
}


@pytest.mark.parametrize("bad", BAD)
def test_34_one_bad_user_among_a_hundred(provider: Provider, company: Company, bad: str) -> None:
    """The others are read, the bad one is reported, nobody else's departure waits for it, and whom it stood for stays as they are."""
    provider.people(100)
    company.sync()
    provider.users["id-p50"] = BAD[bad]
    del provider.users["id-p70"]
    run = company.sync()
    assert run.complete is True
    assert len(company.changes(run, "refused")) == 1
    assert {change.external_id for change in company.changes(run, "missing")} == {"id-p70"}
    states = company.states()
    assert states.pop("p70") == "missing"
    assert set(states.values()) == {"active"} and len(states) == 99


def test_35_a_provider_that_pages_by_cursor_only(provider: Provider) -> None:
    """Without totalResults, with lower-case resources and an Accept of its own: everybody is read, none twice."""
    provider.people(250)
    provider.spc = {"pagination": {"cursor": "true", "index": False, "maxPageSize": 30}}
    provider.cursors, provider.word, provider.total, provider.accepts = True, "resources", lambda true: None, "application/json"
    people = read(provider.url)
    assert len(people.usernames) == 250 and set(people.usernames) == EVERYBODY
    assert people.proof.complete and people.proof.pages == 9
    assert [query.get("cursor") for query in provider.asked_for("Users")[:2]] == ["", "30"]


def test_35_a_cursor_that_nobody_announced(provider: Provider) -> None:
    """A provider that answers with a cursor is followed by cursor, whatever it says about itself."""
    provider.people(250)
    provider.spc, provider.cursors = None, True
    assert set(read(provider.url).usernames) == EVERYBODY


@pytest.mark.parametrize("after", [lambda: "1", lambda: http_date(2)], ids=["seconds", "date"])
def test_36_retry_after_is_honoured(provider: Provider, after: Callable[[], str]) -> None:
    """A 429 is waited out for as long as the provider asks, in seconds or until a date, and the read goes on where it was."""
    provider.people(150)

    def throttle(number: int) -> None:
        if number == 2:
            provider.answers.append((429, {"retry-after": after()}, b""))

    provider.before_page = throttle
    began = time.monotonic()
    assert len(set(read(provider.url).usernames)) == 150
    assert time.monotonic() - began >= 1
    assert len(provider.asked_for("Users")) >= 4


@pytest.mark.parametrize("after", ["3600", http_date(7200)], ids=["seconds", "date"])
def test_36_a_wait_beyond_the_budget_fails_the_run(provider: Provider, company: Company, after: str) -> None:
    """A provider that wants to be left alone for an hour is; the run fails at once and the last good state stays."""
    provider.people(3)
    company.sync()
    provider.answers.append((429, {"retry-after": after}, b""))
    began = time.monotonic()
    company.fails("provider_busy")
    assert time.monotonic() - began < 10


def test_36_repeats_have_a_budget(provider: Provider, company: Company, monkeypatch: pytest.MonkeyPatch) -> None:
    """A provider that only ever answers 503 is asked six times, with pauses, and then no more."""
    provider.people(3)
    company.sync()
    provider.always["Users"] = (503, {"retry-after": "0"}, b"")
    provider.forget()
    company.fails("provider_busy")
    assert len(provider.asked_for("Users")) == 6


ANSWERS: dict[str, tuple[str, tuple[int, dict[str, str], bytes]]] = {
    "login page": ("not_scim", (200, {"content-type": "text/html"}, b"<!doctype html><form>Log in</form>")),
    "redirect": ("redirected", (302, {"location": "https://login.example.com/"}, b"")),
    "half of the JSON": ("malformed_answer", (200, {}, b'{"totalResults": 3, "Resources": [{"id": "id-p0"')),
    "half of the octets": ("connection_lost", (200, {"content-length": "5000"}, b'{"totalResults": 3, "Resources": []')),
    "404": ("endpoint_not_found", error(404, "no such tenant")),
    "an error with status 200": ("malformed_answer", found({"error": "session expired"})),
    "a null": ("malformed_answer", found(None)),
    "Resources that are no list": ("malformed_answer", found({"totalResults": 3, "Resources": {"id": "x"}})),
    "counts but shows nobody": ("list_cut", found({"schemas": ["urn:ietf:params:scim:api:messages:2.0:ListResponse"], "totalResults": 3})),
    "compressed": ("malformed_answer", (200, {"content-encoding": "gzip"}, b"\x1f\x8b")),
    "403": ("insufficient_access", error(403, "not yours")),
    "500": ("provider_failed", error(500, "oops")),
    "endless": ("answer_too_big", (200, {}, b" " * (32 * 1024 * 1024 + 1))),
    "deep": ("malformed_answer", (200, {}, b'{"Resources":' + b"[" * 200_000)),
}


ANYWHERE = [(answer, page) for answer in ANSWERS for page in (1, 2) if page == 1 or answer != "counts but shows nobody"]
"""In the middle of a list that one is another thing: see the next test."""


@pytest.mark.parametrize(("answer", "page"), ANYWHERE)
def test_37_a_wrong_answer_fails_the_run(provider: Provider, company: Company, answer: str, page: int) -> None:
    """A login page, a redirect, half an answer or an error, at the beginning or in the middle: the run fails and nothing changes."""
    provider.people(150)
    company.sync()
    code, reply = ANSWERS[answer]
    provider.forget()
    provider.before_page = lambda number: provider.answers.extend([reply] * (10 * (number == page)))
    del provider.users["id-p3"]
    company.fails(code)


def test_37_an_empty_page_before_the_end_takes_nobody_away(provider: Provider, company: Company) -> None:
    """Who would have come after it still answers when asked, and the run says that it is not complete."""
    provider.people(250)
    company.sync()
    empty = found({"schemas": ["urn:ietf:params:scim:api:messages:2.0:ListResponse"], "totalResults": 250, "Resources": []})
    provider.before_page = lambda number: provider.answers.extend([empty] * (number == 2))
    provider.forget()
    run = company.sync()
    assert run.complete is False
    assert set(company.states().values()) == {"active"}


def test_38_an_empty_list_trips_the_guard(provider: Provider, company: Company) -> None:
    """A provider that had people and shows none changes nothing, though it answers 404 for every one of them."""
    provider.people(30)
    company.sync()
    provider.users.clear()
    company.fails("empty_answer")


def test_39_a_moment_that_never_moves_is_caught_by_the_full_read(provider: Provider, company: Company) -> None:
    """A provider that sets lastModified once passes its self-test; a change it hides is seen when everything is read again, or sampled."""
    old = stamp(time.time() - 90 * 86_400)
    provider.people(60)
    for user in provider.users.values():
        user["meta"]["lastModified"] = old
    company.sync()
    hidden = sorted(provider.users)[0]
    provider.users[hidden]["active"] = False
    second = company.sync(mode="incremental")
    assert second.mode == "incremental"
    assert second.counts.get("disabled") == 1  # the rolling sample of fifty came by
    last = sorted(provider.users)[-1]
    provider.users[last]["displayName"] = "Somebody Else"
    company.sync()
    assert {user.name for user in company.users().values()} >= {"Somebody Else"}


@pytest.mark.parametrize("quirk", ["no filters", "ignores filters", "old rows without it", "no totals"])
def test_39_the_self_test_turns_incremental_reads_off(provider: Provider, company: Company, quirk: str) -> None:
    """A provider that cannot be asked for changes, or answers nonsense, is read whole each time, and the run says why."""
    provider.people(10)
    provider.filters = ("userName",) if quirk == "no filters" else None
    provider.ignores_filters = quirk == "ignores filters"
    if quirk == "old rows without it":
        del provider.users["id-p3"]["meta"]["lastModified"]
    if quirk == "no totals":
        provider.total = lambda true: None
        provider.ignores_filters = True
    company.sync()
    again = company.sync(mode="incremental")
    assert again.mode == "full"
    assert str(again.mode_reason).startswith("no incremental read: ")


def test_40_an_expired_token_is_fetched_anew_in_the_middle(provider: Provider, tmp_path: Path) -> None:
    """A token that ends during the walk is replaced once, and the walk goes on with the next page."""
    provider.people(250)
    provider.client, provider.bearers = ("rosterd", "s3cret"), set()

    def expire(number: int) -> None:
        if number == 2:
            provider.bearers = set()

    provider.before_page = expire
    people = read(provider.url, oauth2=ClientCredentials(provider.token_url, "rosterd", Secret("s3cret")))
    assert set(people.usernames) == EVERYBODY
    assert provider.granted == ["granted-1", "granted-2"]


def test_40_a_token_that_nobody_accepts_is_not_fetched_for_ever(provider: Provider, tmp_path: Path) -> None:
    """A token that is refused fresh from its endpoint ends the run: two are fetched, no more."""
    provider.client = ("rosterd", "s3cret")
    provider.always["*"] = error(401, "no")
    with Company(provider.url, tmp_path, oauth2=ClientCredentials(provider.token_url, "rosterd", Secret("s3cret"))) as company:
        company.fails("token_refused")
    assert len(provider.granted) == 2


def test_41_a_crash_between_pages_leaves_no_trace(provider: Provider, company: Company) -> None:
    """A run that breaks off changes neither people nor the moment from which changes are asked for; the next one is consistent."""
    provider.people(250)
    company.sync()
    with company.store.read() as connection:
        before = load_cursor(connection, "corp")
    provider.users["id-p1"]["active"] = False
    provider.add("new")

    def crash(number: int) -> None:
        if number >= 2:
            raise OSError("the process is gone")

    provider.forget()
    provider.before_page = crash
    provider.always.clear()
    company.fails("connection_lost")
    with company.store.read() as connection:
        assert load_cursor(connection, "corp") == before
    provider.before_page = lambda number: None
    company.sync(mode="incremental")
    assert (company.states()["p1"], company.states()["new"], len(company.states())) == ("disabled", "active", 251)


STATES: tuple[tuple[Any, bool], ...] = (
    (True, True), (False, False), ("True", True), ("false", False), ("False", False), ("TRUE", True), (None, True), ("absent", True),
)  # fmt: skip


@pytest.mark.parametrize(("said", "enabled"), STATES)
def test_42_active_in_every_spelling(provider: Provider, said: Any, enabled: bool) -> None:
    """`active` may be a boolean or a text in any case; absent or null means active."""
    external_id = provider.add("ada")
    provider.users[external_id]["active"] = said
    if said == "absent":
        del provider.users[external_id]["active"]
    assert read(provider.url).one("ada").enabled is enabled


def test_42_no_address_and_two_primaries(provider: Provider, company: Company) -> None:
    """Who has no address is known and has no key; of two addresses marked primary, the first is."""
    provider.add("none", emails=[])
    provider.add("null", emails=None)
    two = [{"value": "b@example.com", "primary": True}, {"value": "a@example.com", "primary": "true"}, {"value": "w@example.com", "type": "work"}]
    provider.add("two", emails=[{"value": "x@example.com", "type": "home"}, *two])
    company.sync()
    users = company.users()
    assert [len(users[name].virtual_keys) for name in ("none", "null", "two")] == [0, 0, 1]
    assert [email.address for email in users["two"].emails] == ["b@example.com", "a@example.com", "w@example.com", "x@example.com"]
    assert users["two"].email == "b@example.com"
