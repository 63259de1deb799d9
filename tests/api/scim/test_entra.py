"""What Microsoft's SCIM validator and the provisioning of Entra ID send, said again in our words (checks 3 and 4 of the acceptance list)."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from tests.api.scim.idp import ENTERPRISE, GROUP, USER, Idp, op

ADSCIM = "http://schemas.microsoft.com/2006/11/ResourceManagement/ADSCIM/2.0/Group"


@pytest.fixture
def user(entra: Idp) -> Any:
    """A user as the validator creates one: random texts, a profile URL that is none, nested values of every kind."""
    return entra.user(
        f"{uuid.uuid4().hex}@example.com", externalId=uuid.uuid4().hex, displayName="BNWKOVZ", nickName="QIPQ", title="Head", userType="X",
        profileUrl="BAPNQLJSRQGD", preferredLanguage="zu", locale="VPNC", timezone="Africa/Cairo", active=True,
        name={"formatted": "Ova", "familyName": "Hermina", "givenName": "Rahul", "honorificPrefix": "Juwan", "honorificSuffix": "Jamil"},
        emails=[{"type": "work", "value": "gunnar@hills.example", "primary": True}],
        phoneNumbers=[{"type": "work", "value": "55-555-5555", "primary": True}, {"type": "mobile", "value": "1"}, {"type": "fax", "value": "2"}],
        addresses=[{"type": "work", "formatted": "UJTV", "streetAddress": "1 Way", "region": "P", "postalCode": "q", "country": "NZ"}],
        roles=[{"primary": "True", "display": "YX", "value": "QQ", "type": "WBT"}],
        schemas=[USER, ENTERPRISE], meta={"resourceType": "User"}, **{ENTERPRISE: {"employeeNumber": "701984", "department": "bob"}},
    )  # fmt: skip


@pytest.fixture
def group(entra: Idp) -> Any:
    """A group as Entra ID creates one: without members, with a schema of its own."""
    return entra.group(schemas=[GROUP, ADSCIM], externalId=uuid.uuid4().hex, meta={"resourceType": "Group"})


def test_a_user_comes_back_as_sent(entra: Idp, user: Any) -> None:
    """3: create, read, filter by name in any case, by external id and by address; the same again is a 409; nobody else is found."""
    assert (user["profileUrl"], user["roles"][0]["primary"], user["addresses"][0]["region"]) == ("BAPNQLJSRQGD", True, "P")
    assert user[ENTERPRISE] == {"employeeNumber": "701984", "department": "bob"}
    assert entra.get(f"/Users/{user['id']}") == user
    name = user["userName"]
    for asked in (f'userName eq "{name}"', f'userName eq "{name.upper()}"', f'externalId eq "{user["externalId"]}"'):
        assert [one["id"] for one in entra.find("Users", asked)["Resources"]] == [user["id"]]
    both = f'userName eq "{name}" and emails[type eq "work"].value eq "GUNNAR@hills.example"'
    assert entra.find("Users", both)["totalResults"] == 1
    assert entra.send("POST", "/Users", {"schemas": [USER], "userName": name}).json()["scimType"] == "uniqueness"
    nobody = entra.find("Users", f'userName eq "{uuid.uuid4()}"')
    assert (nobody["totalResults"], nobody["Resources"]) == (0, [])


# operations → (what is read afterwards, what it must be). One operation for each attribute, as without the flag aadOptscim062020.
REPLACED: list[tuple[dict[str, Any], Any, Any]] = [
    (op("Replace", "displayName", "New"), lambda u: u["displayName"], "New"),
    (op("Replace", "name.formatted", "New F"), lambda u: u["name"]["formatted"], "New F"),
    (op("Replace", 'emails[type eq "work"].value', "new@hills.example"), lambda u: u["emails"][0]["value"], "new@hills.example"),
    (op("Replace", 'emails[type eq "home"].value', "home@hills.example"), lambda u: u["emails"][1], {"type": "home", "value": "home@hills.example"}),
    (op("Replace", 'phoneNumbers[type eq "mobile"].value', "77"), lambda u: u["phoneNumbers"][1]["value"], "77"),
    (op("Add", 'phoneNumbers[type eq "pager"].value', "9"), lambda u: u["phoneNumbers"][3], {"type": "pager", "value": "9"}),
    (op("Replace", 'addresses[type eq "work"].streetAddress', "2 Way"), lambda u: u["addresses"][0]["streetAddress"], "2 Way"),
    (op("Replace", 'roles[primary eq "True"].display', "New R"), lambda u: u["roles"][0]["display"], "New R"),
    (op("Replace", f"{ENTERPRISE}:department", "dept"), lambda u: u[ENTERPRISE]["department"], "dept"),
    (op("Replace", "active", "False"), lambda u: u["active"], False),
    (op("Replace", "externalId", "ext"), lambda u: u["externalId"], "ext"),
    (op("Remove", "title"), lambda u: u.get("title"), None),
    (op("Replace", "nickName", ""), lambda u: u.get("nickName") or None, None),
    (op("Add", "TITLE", "New T"), lambda u: u["title"], "New T"),
    (op("Replace", None, {"displayName": "D", "name.givenName": "G"}), lambda u: (u["displayName"], u["name"]["givenName"]), ("D", "G")),
    (op("Replace", None, {f"{ENTERPRISE}:employeeNumber": "7"}), lambda u: u[ENTERPRISE]["employeeNumber"], "7"),
    (op("Add", None, {'emails[type eq "other"].value': "o@x.example"}), lambda u: u["emails"][-1]["value"], "o@x.example"),
]


@pytest.mark.parametrize(("operation", "read", "expected"), REPLACED, ids=[f"{o['op']} {o.get('path') or list(o['value'])}" for o, _, _ in REPLACED])
def test_each_form_of_a_patch_is_understood(entra: Idp, user: Any, operation: Any, read: Any, expected: Any) -> None:
    """3, 4: 200 with the whole user, changed as asked and nowhere else; the same is read afterwards."""
    answer = entra.patch(f"/Users/{user['id']}", operation, query="?aadOptscim062020")
    assert answer.status_code == 200, answer.text
    assert read(answer.json()) == expected
    assert entra.get(f"/Users/{user['id']}") == answer.json()
    assert answer.json()["locale"] == "VPNC"


def test_several_operations_of_a_patch(entra: Idp, user: Any) -> None:
    """3: on different attributes and on one, in their order."""
    path = f"/Users/{user['id']}"
    changed = entra.patch(
        path, op("Remove", "nickName"), op("Add", "title", "a"), op("Replace", "title", "b"), op("Replace", "userName", path)
    ).json()
    assert (changed.get("nickName"), changed["title"], changed["userName"]) == (None, "b", path)
    assert entra.find("Users", f'userName eq "{user["userName"]}"')["totalResults"] == 0


MANAGERS = ["m-1", {"value": "m-1"}, [{"value": "m-1"}], {"value": "m-1", "$ref": "../Users/m-1"}, {"$ref": None, "value": "m-1", "displayName": "M"}]


@pytest.mark.parametrize("manager", MANAGERS, ids=str)
def test_a_manager_in_every_form(entra: Idp, user: Any, manager: Any) -> None:
    """17: a text, an object, a list; added, replaced, cleared by an empty text and by a removal; the same in a creation."""
    path, where = f"/Users/{user['id']}", f"{ENTERPRISE}:manager"
    assert entra.patch(path, op("Add", where, manager)).json()[ENTERPRISE]["manager"]["value"] == "m-1"
    assert entra.patch(path, op("Replace", None, {where: "m-2"})).json()[ENTERPRISE]["manager"]["value"] == "m-2"
    assert "manager" not in entra.patch(path, op("Replace", where, "")).json()[ENTERPRISE]
    entra.patch(path, op("Add", where, manager))
    assert "manager" not in entra.patch(path, op("Remove", where)).json()[ENTERPRISE]
    assert entra.user(**{ENTERPRISE: {"manager": manager}})[ENTERPRISE]["manager"]["value"] == "m-1"


def test_disabled_users_are_shown(entra: Idp, user: Any) -> None:
    """3, 7: whoever is disabled is still read and found, as inactive; restored, they have the same id."""
    path = f"/Users/{user['id']}"
    entra.patch(path, op("Replace", "active", "False"))
    assert entra.get(path)["active"] is False
    assert [one["active"] for one in entra.find("Users", f'userName eq "{user["userName"]}"')["Resources"]] == [False]
    assert entra.patch(path, op("Replace", "active", "True")).json()["active"] is True


@pytest.mark.parametrize("value", ["False", "false", False, "FALSE"], ids=repr)
def test_inactive_in_every_spelling(entra: Idp, user: Any, value: Any) -> None:
    """6: by path and without one, as a text and as a boolean; what is answered is a boolean."""
    path = f"/Users/{user['id']}"
    for operation in (op("Replace", "active", value), op("replace", None, {"active": value}), op("Add", "active", value)):
        entra.patch(path, op("replace", "active", True))
        assert entra.patch(path, operation).json()["active"] is False
        assert entra.get(path)["active"] is False


def test_deleting(entra: Idp, user: Any) -> None:
    """3, 8: 204, then 404 for everything, gone from lists; twice is a 404; the name is free at once and whoever gets it has a new id."""
    path, asked = f"/Users/{user['id']}", f'userName eq "{user["userName"]}"'
    group = entra.group(user["id"])
    assert entra.send("DELETE", path).status_code == 204
    answers = [entra.send(method, path, {"schemas": [USER], "userName": "x"}) for method in ("GET", "PUT", "DELETE")]
    assert [one.status_code for one in [*answers, entra.patch(path, op("Replace", "title", "x"))]] == [404] * 4
    assert entra.find("Users", asked)["totalResults"] == 0
    assert entra.members(group) == []
    again = entra.user(user["userName"])
    assert again["id"] != user["id"]
    assert [one["id"] for one in entra.find("Users", asked)["Resources"]] == [again["id"]]


def test_groups_of_the_validator(entra: Idp, group: Any) -> None:
    """3: read and found with and without members, in any case; a second of the name is a 409; renamed; external id replaced; deleted."""
    path, name = f"/Groups/{group['id']}", group["displayName"]
    assert ADSCIM not in group["schemas"]
    entra.patch(path, op("Add", "members", [{"$ref": None, "value": "somebody"}]))
    assert "members" not in entra.get(f"{path}?excludedAttributes=members")
    for spelt in (name, name.upper()):
        (found,) = entra.find("Groups", f'displayName eq "{spelt}"', excludedAttributes="members")["Resources"]
        assert (found["id"], "members" in found) == (group["id"], False)
    assert entra.find("Groups", f'displayName eq "{name}"')["Resources"][0]["members"] == [{"value": "somebody"}]
    assert entra.find("Groups", 'displayName eq "nothing"')["totalResults"] == 0
    twice = entra.send("POST", "/Groups", {"schemas": [GROUP], "displayName": name.upper()})
    assert (twice.status_code, twice.json()["scimType"]) == (409, "uniqueness")
    answer = entra.patch(path, op("Replace", None, {"externalId": "ext"}))
    assert (answer.status_code, answer.content) == (204, b"")
    entra.patch(path, op("Replace", "displayName", f"{name}2"), op("Remove", "externalId"))
    now = entra.get(path)
    assert (now["displayName"], now.get("externalId"), now["members"]) == (f"{name}2", None, [{"value": "somebody"}])
    assert [entra.send("DELETE", path).status_code for _ in range(2)] == [204, 404]


def test_members_come_and_go(entra: Idp, group: Any) -> None:
    """11, 12, 13: a removal with a list removes only the listed, one without a value everybody; unknown ids are taken; nobody is in twice."""
    path = f"/Groups/{group['id']}"
    ann, bob, eve = (entra.user()["id"] for _ in range(3))
    assert entra.patch(path, op("Add", "members", [{"$ref": None, "value": one} for one in (ann, bob, eve, "unknown")])).status_code == 204
    assert entra.members(group) == sorted([ann, bob, eve, "unknown"])
    assert entra.patch(path, op("Remove", "members", [{"$ref": None, "value": ann}, {"value": "never"}])).status_code == 204
    assert entra.members(group) == sorted([bob, eve, "unknown"])
    before = entra.get(path)
    for same in (
        op("Add", "members", [{"value": bob}]),
        op("Add", "members", {"value": bob, "display": "Bob"}),
        op("Remove", "members", [{"value": ann}]),
    ):
        assert entra.patch(path, same).status_code == 204
    assert entra.get(path) == before  # meta.lastModified and the version too
    assert entra.patch(path, op("Remove", f'members[value eq "{eve}"]'), op("Remove", 'members[value eq "unknown"]')).status_code == 204
    assert entra.members(group) == [bob]
    assert entra.patch(path, op("Add", None, {"members": [{"value": ann}]})).status_code == 204
    assert entra.members(group) == sorted([ann, bob])
    assert entra.patch(path, op("remove", "members")).status_code == 204
    assert entra.members(group) == []


def test_the_connection_is_tested_by_asking_for_nobody(entra: Idp) -> None:
    """4: a filter that matches nobody is an empty list, never a 404; pages are counted in numbers."""
    answer = entra.find("Users", f'userName eq "{uuid.uuid4()}"', startIndex=1, count=10)
    assert (answer["totalResults"], answer["startIndex"], answer["itemsPerPage"], answer["Resources"]) == (0, 1, 0, [])


def test_schemas_hold_what_is_mapped(entra: Idp) -> None:
    """4: users, the enterprise extension and groups are described, with every attribute that Entra ID maps, and without nulls."""
    schemas = {one["id"]: {attribute["name"] for attribute in one["attributes"]} for one in entra.get("/Schemas")["Resources"]}
    assert {"userName", "active", "displayName", "emails", "name", "addresses", "phoneNumbers", "title", "preferredLanguage"} <= schemas[USER]
    assert {"displayName", "members"} <= schemas[GROUP]
    assert {"manager", "employeeNumber", "department"} <= schemas[ENTERPRISE]
    assert entra.get(f"/Schemas/{GROUP}")["id"] == GROUP
    assert "null" not in entra.send("GET", "/Schemas").text
    assert "password" not in schemas[USER]


def test_a_set_up_that_creates_and_deletes(entra: Idp) -> None:
    """4: JumpCloud makes a user and a group of its own and deletes them; every part of the description is said, for authentik gives up
    PATCH and filters where one is missing."""
    user, group = entra.user(), entra.group()
    entra.patch(f"/Groups/{group['id']}", op("Add", "members", [{"$ref": None, "value": user["id"]}]))
    assert [entra.send("DELETE", f"/{kind}/{one['id']}").status_code for kind, one in (("Groups", group), ("Users", user))] == [204, 204]
    said = entra.get("/ServiceProviderConfig")
    assert {name: said[name] for name in ("patch", "bulk", "filter", "changePassword", "sort", "etag")} == {
        "patch": {"supported": True}, "bulk": {"supported": False, "maxOperations": 0, "maxPayloadSize": 0}, "etag": {"supported": True},
        "filter": {"supported": True, "maxResults": 200}, "changePassword": {"supported": False}, "sort": {"supported": False},
    }  # fmt: skip
    assert said["authenticationSchemes"][0]["type"] == "oauthbearertoken"
    assert (said["pagination"]["index"], said["pagination"]["cursor"]) == (True, False)
