"""What Okta's SPEC and CRUD tests for SCIM 2.0 assert, said again in our words (check 2 of the acceptance list)."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tests.api.scim.idp import ERROR, USER, Idp, op

LIST = "urn:ietf:params:scim:api:messages:2.0:ListResponse"
Fact = Callable[[Any], object]
Answers = dict[str, tuple[int, Any]]


def is_number(name: str) -> Fact:
    return lambda said: type(said[name]) is int


def one(fact: Fact) -> Fact:
    return lambda said: fact(said["Resources"][0])


USERS: dict[str, Fact] = {
    "has an id": lambda said: said["id"],
    "has a family name": lambda said: said["name"]["familyName"],
    "has a given name": lambda said: said["name"]["givenName"],
    "has a user name": lambda said: said["userName"],
    "says whether it is active": lambda said: type(said["active"]) is bool,
    "has an address": lambda said: said["emails"][0]["value"],
}
LISTS: dict[str, Fact] = {
    "is a list": lambda said: LIST in said["schemas"],
    "counts its items": is_number("itemsPerPage"),
    "says where it begins": is_number("startIndex"),
    "says how many there are": is_number("totalResults"),
}


@pytest.fixture(scope="module")
def answers(okta: Idp) -> Answers:
    """Do everything once: name of the step → (status, body)."""
    name, said = f"okta-{uuid.uuid4().hex[:8]}@example.com", {}
    user = {
        "schemas": [USER], "userName": name, "name": {"givenName": "Given", "familyName": "Family"}, "displayName": "Given Family",
        "emails": [{"primary": True, "value": name, "type": "work"}], "locale": "en-US", "externalId": "00u1", "groups": [], "password": "1mz050nq",
        "active": True,
    }  # fmt: skip
    okta.user(f"first-{name}", name={"givenName": "A", "familyName": "B"}, emails=[{"value": name}])

    def step(title: str, method: str, path: str, body: Any = None, **headers: str) -> Any:
        answer = okta.send(method, path, body, **headers)
        said[title] = (answer.status_code, answer.json() if answer.content else None)
        return said[title][1]

    listed = step("list", "GET", "/Users?count=1&startIndex=1")
    step("read", "GET", f"/Users/{listed['Resources'][0]['id']}")
    step("nobody", "GET", '/Users?filter=userName eq "nobody@nowhere.example"&startIndex=1&count=100')
    step("unknown", "GET", "/Users/010101001010101011001010101011")
    step("before", "GET", f'/Users?filter=userName eq "{name}"')
    made = step("create", "POST", "/Users", user, content_type="application/json")
    step("created", "GET", f"/Users/{made['id']}")
    step("twice", "POST", "/Users", user)
    step("upper", "GET", f'/Users?filter=userName eq "{name.upper()}"')
    step("groups", "GET", "/Groups?startIndex=1&count=100")
    said["bad token"] = _refused(okta)
    said["id"] = (0, made["id"])
    return said


def _refused(okta: Idp) -> tuple[int, Any]:
    answer = httpx.get(f"{okta.url}/Users", headers={"Authorization": "Bearer nonsense"})
    return answer.status_code, answer.json()


ACTIVE: dict[str, Fact] = {"is active": lambda said: said["active"] is True}
ERRORS: dict[str, Fact] = {"is an error": lambda said: said["schemas"] == [ERROR], "says why": lambda said: said["detail"]}
ASSERTIONS: list[tuple[str, int, dict[str, Fact]]] = [
    ("list", 200, LISTS | {f"its first {title}": one(fact) for title, fact in USERS.items()}),
    ("read", 200, USERS),
    ("nobody", 200, LISTS | {"is empty": lambda said: said["totalResults"] == 0 and said["Resources"] == []}),
    ("unknown", 404, ERRORS | {"says its status": lambda said: said["status"] == "404"}),
    ("before", 200, {"nobody has the name": lambda said: said["totalResults"] == 0}),
    ("create", 201, USERS | ACTIVE | {"given name as sent": lambda said: said["name"]["givenName"] == "Given"}),
    ("created", 200, USERS | ACTIVE | {"family name as sent": lambda said: said["name"]["familyName"] == "Family"}),
    ("twice", 409, ERRORS),
    ("upper", 200, {"is found": lambda said: said["totalResults"] == 1}),
    ("groups", 200, LISTS),
    ("bad token", 401, ERRORS | {"says its status": lambda said: said["status"] == "401"}),
]  # fmt: skip
FLAT = [(step, status, title, fact) for step, status, facts in ASSERTIONS for title, fact in {"status": None, **facts}.items()]


@pytest.mark.parametrize(("step", "status", "fact"), [(s, n, f) for s, n, _, f in FLAT], ids=[f"{s}: {t}" for s, _, t, _ in FLAT])
def test_spec(answers: Answers, step: str, status: int, fact: Fact | None) -> None:
    """2: each assertion of the SPEC test holds: statuses, lists, users as they were sent, errors in SCIM's form."""
    found, body = answers[step]
    assert found == status if fact is None else fact(body)


def test_there_are_as_many_assertions_as_okta_makes() -> None:
    """2: at least fifty-two."""
    assert len(FLAT) >= 52


def test_groups_are_listed_within_what_okta_allows(okta: Idp) -> None:
    """2: a list of groups takes less than 600 milliseconds."""

    def seconds() -> float:
        begun = time.monotonic()
        okta.get("/Groups?startIndex=1&count=100")
        return time.monotonic() - begun

    assert min(seconds() for _ in range(3)) < 0.6


def test_crud(okta: Idp, answers: Answers) -> None:
    """2: assign, rename by GET and PUT, deactivate, reactivate: one id throughout; an unassigned user is still shown, as inactive."""
    path = f"/Users/{answers['id'][1]}"
    user = okta.get(path)
    user["name"]["givenName"] = "Renamed"
    answer = okta.send("PUT", path, {**user, "groups": []})  # with id, meta and groups, as Okta sends back what it read
    assert (answer.status_code, answer.json()["name"]["givenName"], answer.json()["id"]) == (200, "Renamed", user["id"])
    for active in (False, True, False):
        answer = okta.patch(path, op("replace", None, {"active": active}))
        assert (answer.status_code, answer.json()["active"], okta.get(path)["active"]) == (200, active, active)
    assert okta.find("Users", f'userName eq "{user["userName"]}"')["Resources"][0]["active"] is False
    answer = okta.send("PUT", path, {**user, "active": True, "password": "another"})
    assert (answer.status_code, answer.json()["active"], answer.json()["id"]) == (200, True, user["id"])


def test_groups_the_way_okta_pushes_them(okta: Idp) -> None:
    """4: a rename carries the id; members come with display, go by a filter, and are replaced whole."""
    ann, bob = (okta.user()["id"] for _ in range(2))
    group = okta.group(ann)
    path, name = f"/Groups/{group['id']}", f"renamed-{group['id']}"
    assert okta.patch(path, op("replace", None, {"id": group["id"], "displayName": name})).status_code == 204
    assert (okta.get(path)["displayName"], okta.members(group)) == (name, [ann])
    added = op("add", "members", [{"value": bob, "display": "bob@example.com"}])
    assert okta.patch(path, op("remove", f'members[value eq "{ann}"]'), added).status_code == 204
    assert okta.get(path)["members"] == [{"value": bob, "display": "bob@example.com"}]
    assert okta.patch(path, op("replace", "members", [{"value": ann, "display": "ann@example.com"}])).status_code == 204
    assert okta.members(group) == [ann]
    assert okta.send("PUT", path, {"schemas": group["schemas"], "displayName": name, "members": []}).status_code == 200
    assert okta.members(group) == []
    assert okta.send("DELETE", path).status_code == 204
    assert okta.send("GET", path).status_code == 404
