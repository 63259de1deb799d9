"""The lookup: every rule of the contract, asked through the whole app."""

from __future__ import annotations

import json
from urllib.parse import quote

import pytest

from sync.ids import now_ms
from tests.api.world import Company

PATHS = ("/api/users/email/{}/virtual-keys", "/api/governance/users/email/{}/virtual-keys")


@pytest.mark.parametrize("path", PATHS)
def test_the_answer_has_exactly_its_members(company: Company, path: str) -> None:
    """Both paths answer the same: user, primary address as spelt, keys with values, nothing else and nothing null."""
    user = company.add_user("Ann.Lee@Example.com", "ann@example.com")
    answer = company.ask("GET", path.format("ANN@example.com"), company.token("lookup"))
    assert answer.status_code == 200
    body = answer.json()
    assert (body["user_id"], body["email"]) == (user, "Ann.Lee@Example.com")
    assert set(body) == {"user_id", "email", "virtual_keys"}
    (key,) = body["virtual_keys"]
    assert set(key) == {"id", "name", "value", "is_active"}
    assert key["value"].startswith("sk-bf-")
    assert key["is_active"] is True


@pytest.mark.parametrize(
    ("held", "asked"),
    [
        ("O'Brien+x@example.com", ["O'Brien+x@example.com", "o'brien%2Bx@EXAMPLE.com", "O%27BRIEN+X@example.com"]),
        ("a/b@example.com", ["a%2Fb@example.com", "A%2fB@example.com", "a%2Fb%40example.com"]),
        ("JÖRG@bücher.example", [quote(a) for a in ("jörg@BÜCHER.example", "JÖRG@bücher.example", "jo\u0308rg@bücher.example")]),
        ("bob@corp.local", ["bob@corp.local", "BOB@CORP.LOCAL"]),
        ("x@my_host.corp.local", ["x@my_host.corp.local"]),
        ("50%@example.com", ["50%25@example.com"]),
    ],
)  # fmt: skip
def test_every_spelling_of_an_address_finds_its_holder(company: Company, held: str, asked: list[str]) -> None:
    """Case, percent-encoding, Unicode form and IDNA make no difference; the answer is spelt as the directory spells it."""
    company.add_user(held)
    token = company.token("lookup")
    for spelling in asked:
        answer = company.look_up(spelling, token)
        assert (answer.status_code, answer.json()["email"]) == (200, held), spelling


@pytest.mark.parametrize(
    "asked",
    ["nobody", "a%20b@example.com", "@example.com", "bob@", "b%00b@example.com", "b%E2%80%AEb@example.com", "x" * 260 + "@e.com", "%22a%22@e.com"],
)  # fmt: skip
def test_what_is_no_address_is_a_400_that_names_the_parameter(company: Company, asked: str) -> None:
    """No `@`, an empty part, white space, control and format characters, too long: 400, param email."""
    answer = company.look_up(asked, company.token("lookup"))
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "email")


def test_the_segment_is_decoded_once(company: Company) -> None:
    """`%252F` is the three characters `%2F`, not a slash."""
    company.add_user("a/b@example.com")
    assert company.look_up("a%252Fb@example.com", company.token("lookup")).status_code == 404


def test_keys_are_ordered_and_inactive_ones_listed(company: Company) -> None:
    """Active first, then oldest, then by id; a disabled and an expired key are there, inactive."""
    user = company.add_user("ann@example.com", keys=())
    now = now_ms()
    company.add_key(user, "disabled", created_at=now - 50, enabled=False)
    company.add_key(user, "expired", created_at=now - 40, expires_at=now - 1)
    company.add_key(user, "young", created_at=now - 10)
    company.add_key(user, "twin-b", created_at=now - 20, id="b")
    company.add_key(user, "twin-a", created_at=now - 20, id="a")
    keys = company.look_up("ann@example.com", company.token("lookup")).json()["virtual_keys"]
    assert [(key["name"], key["is_active"]) for key in keys] == [
        ("twin-a", True), ("twin-b", True), ("young", True), ("disabled", False), ("expired", False),
    ]  # fmt: skip


def test_a_user_without_keys_is_200_with_an_empty_list(company: Company) -> None:
    """No key is no error."""
    company.add_user("ann@example.com", keys=())
    answer = company.look_up("ann@example.com", company.token("lookup"))
    assert (answer.status_code, answer.json()["virtual_keys"]) == (200, [])


@pytest.mark.parametrize("facts", [{"state": "disabled"}, {"state": "missing"}, {"blocked_at": 1}, {"expires_at": 1}])
def test_whoever_may_not_work_answers_200_with_inactive_keys(company: Company, facts: dict[str, object]) -> None:
    """Disabled, missing, blocked and expired people are found, and none of their keys is active."""
    user = company.add_user("ann@example.com")
    company.change("user", user, **facts)
    answer = company.look_up("ann@example.com", company.token("lookup"))
    assert answer.status_code == 200
    assert [key["is_active"] for key in answer.json()["virtual_keys"]] == [False]


def test_the_three_ways_not_to_be_found_have_codes(company: Company) -> None:
    """user_not_found, user_removed and address_contested, each 404 in the one shape."""
    gone = company.add_user("gone@example.com")
    company.change("user", gone, state="removed", email="")
    company.change_claims(gone, held=False)
    for name in ("a", "b"):
        user = company.add_user(f"{name}@example.com")
        company.claim(user, "shared@example.com", position=1, held=False)
    token = company.token("lookup")
    codes = {address: company.look_up(f"{address}@example.com", token) for address in ("nobody", "gone", "shared")}
    assert {name: (a.status_code, a.json()["error"]["code"]) for name, a in codes.items()} == {
        "nobody": (404, "user_not_found"), "gone": (404, "user_removed"), "shared": (404, "address_contested"),
    }  # fmt: skip


def test_headers_say_when_and_which_and_forbid_storing(company: Company) -> None:
    """Cache-Control, ETag, X-Request-Id equal to an audit record's event id, and when the source was last read."""
    company.add_user("ann@example.com")
    company.change("source", "corp", read_at=1_800_000_000_000)
    answer = company.look_up("ann@example.com", company.token("lookup"))
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-roster-synced-at"] == "2027-01-15T08:00:00Z"
    assert company.records()[-1]["event_id"] == answer.headers["x-request-id"]


def test_an_unchanged_answer_is_a_304_and_only_after_authorisation(company: Company) -> None:
    """If-None-Match spares the secret; a changed key makes a new tag; without a token there is no oracle."""
    user = company.add_user("ann@example.com")
    token = company.token("lookup")
    etag = company.look_up("ann@example.com", token).headers["etag"]
    again = company.look_up("ann@example.com", token, if_none_match=etag)
    assert (again.status_code, again.content) == (304, b"")
    assert company.look_up("ann@example.com", None, if_none_match=etag).status_code == 401
    company.change("user", user, state="disabled")
    assert company.look_up("ann@example.com", token, if_none_match=etag).status_code == 200
    assert company.records()[1]["outcome"] == "not_modified"


def test_plain_text_is_the_first_active_value_for_shells(company: Company) -> None:
    """`Accept: text/plain`: value and newline, or 204 when no key is active."""
    user = company.add_user("ann@example.com", keys=())
    value = company.add_key(user, "k")
    token = company.token("lookup")
    answer = company.look_up("ann@example.com", token, accept="text/plain")
    assert (answer.text, answer.headers["content-type"]) == (f"{value}\n", "text/plain; charset=utf-8")
    company.change("user", user, state="disabled")
    none = company.look_up("ann@example.com", token, accept="text/plain")
    assert (none.status_code, none.content) == (204, b"")


def test_every_lookup_leaves_one_record_without_address_or_secret(company: Company) -> None:
    """Found or refused: one line each, the address only as a keyed digest, no token, no key value."""
    user = company.add_user("ann@example.com", keys=())
    value = company.add_key(user, "k")
    token = company.token("lookup")
    company.look_up("ann@example.com", token)
    company.look_up("ANN@example.com", token)
    company.look_up("nobody@example.com", token)
    company.look_up("ann@example.com", None)
    company.ask("GET", "/api/users/me/virtual-keys", value)
    records = company.records()
    assert [record["outcome"] for record in records] == ["found", "found", "user_not_found", "not_authenticated", "found"]
    assert records[0]["asked"] == records[1]["asked"] != records[2]["asked"]
    assert (records[0]["role"], records[4]["role"], records[4]["user_id"]) == ("lookup", "key", user)
    written = json.dumps(records)
    assert not any(secret in written for secret in (value, token, "ann@example.com", "nobody@"))


def test_a_record_that_is_no_unicode_is_written_all_the_same(company: Company) -> None:
    """JSON of strangers can hold half a surrogate pair: it becomes a question mark, and no record is lost for it."""
    company.audit.record(kind="lookup", caller="https://issuer.example \udc80", target={"name": "\ud800"})
    company.audit.record(kind="lookup", caller="next")
    first, second = company.records()
    assert (first["caller"], first["target"], second["caller"]) == ("https://issuer.example ?", {"name": "?"}, "next")
    assert set(first) == {"time", "kind", "caller", "target"}
