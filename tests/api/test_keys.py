"""Keys over HTTP: paged as at the gateway, imported, rotated, changed by two admins, deleted; and every body that is wrong."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from tests.api.world import Company

VALUE = "sk-bf-imported-0123456789"
KEYS = "/api/governance/virtual-keys"


def soon(**delta: float) -> str:
    return (datetime.now(UTC) + timedelta(**delta)).strftime("%Y-%m-%dT%H:%M:%SZ")


def test_lists_have_the_gateways_paging(company: Company) -> None:
    """`limit` and `offset` in, `count`, `total_count`, `limit` and `offset` out; of all users and of one."""
    first = company.add_user("ada@example.com", keys=("a", "b", "c"))
    company.add_user("bob@example.com", keys=("d",))
    admin = company.token()
    page = company.ask("GET", f"{KEYS}?limit=2&offset=2", admin).json()
    assert [key["name"] for key in page["virtual_keys"]] == ["c", "d"]
    assert {name: page[name] for name in ("count", "total_count", "limit", "offset")} == {"count": 2, "total_count": 4, "limit": 2, "offset": 2}
    assert company.ask("GET", f"/api/governance/users/{first}/virtual-keys", admin).json()["total_count"] == 3
    assert [key["email"] for key in company.ask("GET", f"{KEYS}?search=BOB", admin).json()["virtual_keys"]] == ["bob@example.com"]
    for wrong in ("limit=0", "limit=101", "offset=-1", "limit=x"):
        refused = company.ask("GET", f"{KEYS}?{wrong}", admin)
        assert (refused.status_code, refused.json()["error"]["param"]) == (400, wrong.partition("=")[0])


def test_a_value_can_be_imported_once(company: Company) -> None:
    """It authenticates as it is; the same again is a conflict, whoever it is for."""
    ada, bob, admin = company.add_user("ada@example.com"), company.add_user("bob@example.com"), company.token()
    made = company.ask("POST", f"/api/governance/users/{ada}/virtual-keys", admin, body={"name": "gateway", "value": VALUE}).json()["virtual_key"]
    assert (made["origin"], made["value"]) == ("imported", VALUE)
    assert company.ask("GET", "/api/users/me/virtual-keys", x_bf_vk=VALUE).json()["user_id"] == ada
    for user in (ada, bob):
        again = company.ask("POST", f"/api/governance/users/{user}/virtual-keys", admin, body={"name": "again", "value": VALUE})
        assert (again.status_code, again.json()["error"]["code"]) == (409, "value_exists")


def test_rotation_over_http(company: Company) -> None:
    """Without a body the old value is dead in the next request; with an overlap both work."""
    company.add_user("ada@example.com", keys=())
    admin = company.token()
    user = company.ask("GET", "/api/users/email/ada@example.com", admin).json()["user"]["id"]
    made = company.ask("POST", f"/api/governance/users/{user}/virtual-keys", admin, body={"name": "laptop"}).json()["virtual_key"]
    second = company.ask("POST", f"{KEYS}/{made['id']}/rotate", admin).json()["virtual_key"]
    assert second["id"] == made["id"] and second["value"] != made["value"] and "overlap_until" not in second
    third = company.ask("POST", f"{KEYS}/{made['id']}/rotate", admin, body={"overlap": "1h"}).json()["virtual_key"]
    assert "overlap_until" in third
    statuses = [company.ask("GET", "/api/users/me/virtual-keys", key["value"]).status_code for key in (made, second, third)]
    assert statuses == [401, 200, 200]
    for wrong in ("31d", "1 hour", "", "-1h"):
        refused = company.ask("POST", f"{KEYS}/{made['id']}/rotate", admin, body={"overlap": wrong})
        assert (refused.status_code, refused.json()["error"]["param"]) == (400, "overlap")


def test_what_two_admins_do_at_once_is_not_lost(company: Company) -> None:
    """Of two that saw the same version the second is told; without If-Match each member is changed by itself."""
    user, admin = company.add_user("ada@example.com"), company.token()
    key = company.ask("GET", f"/api/governance/users/{user}/virtual-keys", admin).json()["virtual_keys"][0]["id"]
    seen = company.ask("GET", f"{KEYS}/{key}", admin).headers["etag"]
    first = company.ask("PUT", f"{KEYS}/{key}", admin, body={"name": "one"}, if_match=seen)
    assert (first.status_code, first.json()["virtual_key"]["name"]) == (200, "one")
    for method, path, body in (("PUT", key, {"is_active": False}), ("POST", f"{key}/rotate", {}), ("DELETE", key, None)):
        second = company.ask(method, f"{KEYS}/{path}", admin, body=body, if_match=seen)
        assert (second.status_code, second.json()["error"]["code"]) == (409, "changed_meanwhile")
    assert company.ask("PUT", f"{KEYS}/{key}", admin, body={"is_active": False}, if_match=first.headers["etag"]).status_code == 200
    assert company.ask("PUT", f"{KEYS}/{key}", admin, body={"name": "two"}, if_match="*").json()["virtual_key"]["is_active"] is False


def test_an_expiry_can_be_set_and_taken_away(company: Company) -> None:
    """null means never; what is left out stays."""
    user, admin = company.add_user("ada@example.com"), company.token()
    key = company.ask("GET", f"/api/governance/users/{user}/virtual-keys", admin).json()["virtual_keys"][0]["id"]
    moment = soon(days=1)
    assert company.ask("PUT", f"{KEYS}/{key}", admin, body={"expires_at": moment}).json()["virtual_key"]["expires_at"] == moment
    assert company.ask("PUT", f"{KEYS}/{key}", admin, body={"name": "x"}).json()["virtual_key"]["expires_at"] == moment
    assert "expires_at" not in company.ask("PUT", f"{KEYS}/{key}", admin, body={"expires_at": None}).json()["virtual_key"]


def test_a_deleted_key_is_gone_from_the_next_request_on(company: Company) -> None:
    """The answer is what it was; its value authenticates nobody; a second time there is nothing to delete."""
    company.add_user("ada@example.com", keys=())
    user, admin = company.ask("GET", "/api/users/email/ada@example.com", company.token()).json()["user"]["id"], company.token()
    value = company.add_key(user, "laptop", id="key-1")
    assert company.ask("DELETE", f"{KEYS}/key-1", admin).json()["virtual_key"]["name"] == "laptop"
    assert company.ask("GET", "/api/users/me/virtual-keys", value).status_code == 401
    assert company.ask("DELETE", f"{KEYS}/key-1", admin).status_code == 404
    assert company.look_up("ada@example.com", admin).json()["virtual_keys"] == []


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({}, 400, "invalid_parameter"),
        ({"name": 7}, 400, "invalid_parameter"),
        ({"name": ""}, 400, "invalid_parameter"),
        ({"name": "default"}, 409, "name_taken"),
        ({"name": "x", "expires_at": "2020-01-01T00:00:00Z"}, 400, "invalid_expiry"),
        ({"name": "x", "expires_at": "0001-01-01T00:00:00+14:00"}, 400, "invalid_expiry"),
        ({"name": "x", "expires_at": "2030-01-01T00:00:00"}, 400, "invalid_parameter"),
        ({"name": "x", "expires_at": "soon"}, 400, "invalid_parameter"),
        ({"name": "x", "value": "short"}, 400, "invalid_parameter"),
        ({"name": "x", "value": VALUE + "\n"}, 400, "invalid_value"),
        ({"name": "x", "colour": "red"}, 400, "invalid_parameter"),
        ({"name": "a\u202eb"}, 400, "invalid_name"),
        (["name"], 400, "invalid_parameter"),
    ],
)
def test_a_wrong_body_is_named_and_mints_nothing(company: Company, body: object, status: int, code: str) -> None:
    """Unknown members, wrong types, names that are taken, moments that have passed."""
    user, admin = company.add_user("ada@example.com"), company.token()
    refused = company.ask("POST", f"/api/governance/users/{user}/virtual-keys", admin, body=body)
    assert (refused.status_code, refused.json()["error"]["code"]) == (status, code), refused.text
    assert company.ask("GET", KEYS, admin).json()["total_count"] == 1


def test_ids_that_do_not_exist_are_said_so(company: Company) -> None:
    """404, whatever is asked of them."""
    admin = company.token()
    asked = (
        ("GET", f"{KEYS}/nosuch", None), ("PUT", f"{KEYS}/nosuch", {"name": "x"}), ("DELETE", f"{KEYS}/nosuch", None),
        ("POST", f"{KEYS}/nosuch/rotate", None), ("GET", "/api/governance/users/nosuch/virtual-keys", None),
        ("POST", "/api/governance/users/nosuch/virtual-keys", {"name": "x"}),
    )  # fmt: skip
    assert [company.ask(method, path, admin, body=body).status_code for method, path, body in asked] == [404] * len(asked)


def test_only_an_admin_may_touch_keys(company: Company) -> None:
    """An operator decides on runs and people, never on keys."""
    user = company.add_user("ada@example.com")
    device = company.token("device", user_id=user)
    mint = f"/api/governance/users/{user}/virtual-keys"
    for bearer in (company.token("operator"), company.token("lookup"), device):
        for method, path in (("GET", KEYS), ("POST", mint), ("POST", f"{KEYS}/x/rotate"), ("DELETE", f"{KEYS}/x")):
            assert company.ask(method, path, bearer, body={"name": "x"} if method == "POST" else None).status_code == 403
