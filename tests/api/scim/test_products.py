"""What docs/identity-providers.md promises of products whose validators are not played elsewhere: the first requests of each."""

from __future__ import annotations

import json
import re
import uuid
from typing import Any

import httpx
import pytest

from tests.api.scim.idp import USER, Idp, op
from tests.daemon.installation import ROOT

PAGE = (ROOT / "docs/identity-providers.md").read_text()


def test_jumpclouds_test_connection(okta: Idp) -> None:
    """A test user and a test group come and go, members by value; nothing of them is left, and the whole of it can be done again."""
    for _ in range(2):
        user = okta.user(
            "jctest@example.com", name={"givenName": "Test", "familyName": "User"}, emails=[{"value": "jctest@example.com", "primary": True}]
        )
        group = okta.group(displayName="JumpCloud test group", externalId="jc-1")
        assert okta.find("Users", 'userName eq "jctest@example.com"')["totalResults"] == 1
        assert okta.patch(f"/Groups/{group['id']}", op("add", "members", [{"value": user["id"]}])).status_code == 204
        assert okta.send("PUT", f"/Users/{user['id']}", {**user, "active": False}).json()["active"] is False
        paths = [f"/Groups/{group['id']}", f"/Users/{user['id']}"]
        assert [okta.send("DELETE", path).status_code for path in paths] == [204, 204]
        assert [okta.send("GET", path).status_code for path in paths] == [404, 404]


def test_onelogins_template(okta: Idp) -> None:
    """The template of the page, its macros filled in, makes an active user with that address; an update without `active` leaves it as it was."""
    [template] = re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)
    filled = re.sub(r"\{\$(?:user|parameters)\.(\w+)\}", lambda macro: f"{macro[1]}.{uuid.uuid4().hex}@example.com", template)
    assert "$" not in filled
    made = okta.send("POST", "/Users", json.loads(filled), content_type="application/json")
    assert (made.status_code, made.json()["active"]) == (201, True)
    assert made.json()["emails"][0] == json.loads(filled)["emails"][0]
    path = f"/Users/{made.json()['id']}"
    assert okta.patch(path, op("replace", "active", False)).json()["active"] is False
    assert okta.send("PUT", path, json.loads(filled)).json()["active"] is False


def test_authentiks_first_requests(okta: Idp) -> None:
    """Its first question needs no token and is answered in full, for a part that it misses lets it do without PATCH and filters."""
    said = httpx.get(f"{okta.url}/ServiceProviderConfig").json()
    assert (said["patch"]["supported"], said["filter"]["supported"], said["filter"]["maxResults"]) == (True, True, 200)
    assert said["bulk"] == {"supported": False, "maxOperations": 0, "maxPayloadSize": 0}
    assert {"changePassword", "sort", "etag", "authenticationSchemes"} <= said.keys()
    user = okta.user(externalId="ak-uid", displayName="akadmin", emails=[{"value": "ak@example.com", "type": "other", "primary": True}])
    group = okta.group(displayName=f"ak-{uuid.uuid4().hex}", externalId="ak-pk")
    whole = op("replace", None, {"id": group["id"], "displayName": group["displayName"], "externalId": "ak-pk"})
    assert okta.patch(f"/Groups/{group['id']}", whole).status_code in (200, 204)
    assert okta.patch(f"/Groups/{group['id']}", op("add", "members", [{"value": user["id"]}])).status_code == 204
    assert okta.members(group) == [user["id"]]


@pytest.mark.parametrize(("text", "active"), [("false", False), ("true", True)])
def test_keycloaks_extension_sends_texts(okta: Idp, text: str, active: bool) -> None:
    """`active` as a text, in a POST and in a PUT."""
    name = f"kc-{uuid.uuid4().hex}"
    user = okta.user(name, active=text, externalId=name)
    assert user["active"] is active
    said = {"schemas": [USER], "userName": name, "externalId": name, "active": "false" if active else "true"}
    assert okta.send("PUT", f"/Users/{user['id']}", said).json()["active"] is not active


# What somebody may enter as the base URL, and what Okta's agent makes of it.
@pytest.mark.parametrize("path", ["//Users", "/Users/", "//Users/"])
def test_a_base_url_with_a_slash(okta: Idp, path: str) -> None:
    """Okta's agent wants `/v2/` in the base URL and a slash at its end: paths are found with one slash too many."""
    assert "/scim/v2/" in okta.url + "/" and "_" not in okta.url.partition("//")[2]
    assert okta.get(path)["schemas"] == ["urn:ietf:params:scim:api:messages:2.0:ListResponse"]


@pytest.mark.parametrize("kind", ["Users", "Groups"])
def test_scim_1_is_not_spoken(okta: Idp, kind: str) -> None:
    """A resource in the words of version 1.1 is refused, and nothing of it is kept."""
    name = f"old-{uuid.uuid4().hex}"
    old: dict[str, Any] = {"schemas": ["urn:scim:schemas:core:1.0"], "userName": name, "displayName": name}
    assert okta.send("POST", f"/{kind}", old).status_code == 400
    asked = "userName" if kind == "Users" else "displayName"
    assert okta.find(kind, f'{asked} eq "{name}"')["totalResults"] == 0
