"""The SCIM protocol as RFC 7643 and RFC 7644 have it, over a real socket (checks 7 to 27 of the acceptance list, each named where it is kept)."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from sync.errors import Conflict
from tests.api.scim.idp import ENTERPRISE, PATCH, PUBLIC, USER, Idp, Pushed, op


def test_what_is_sent_is_what_is_read(okta: Idp) -> None:
    """16: addresses of any shape come back octet for octet; Location, meta.location and Content-Location are one."""
    emails = [
        {"value": "bob@corp.local", "type": "work", "primary": True},
        {"value": "Bob@EXAMPLE.com"},
        {"value": "björn@straße.example"},
        {"value": "x"},
    ]
    answer = okta.send("POST", "/Users", {"schemas": [USER], "userName": "Bob@EXAMPLE.com", "emails": emails})
    user = answer.json()
    assert (answer.status_code, user["emails"], user["active"]) == (201, emails, True)
    assert answer.headers["location"] == answer.headers["content-location"] == user["meta"]["location"]
    assert user["meta"]["location"] == f"{PUBLIC}/scim/v2/okta/Users/{user['id']}"
    for asked in ("bob@corp.LOCAL", "BOB@example.com", "BJÖRN@STRASSE.example".replace("STRASSE", "straße")):
        assert [one["id"] for one in okta.find("Users", f'emails eq "{asked}"')["Resources"]] == [user["id"]]


def test_names_compare_without_case(okta: Idp) -> None:
    """9: attribute, operator and value, also beyond ASCII; an unknown attribute is an invalidFilter and never a list."""
    name = f"BJÖRN-{uuid.uuid4().hex[:6]}"
    user = okta.user(name.lower())
    for asked in (f'USERNAME EQ "{name}"', f'userName eq "{name.title()}"', f'urn:ietf:params:scim:schemas:core:2.0:User:username Eq "{name}"'):
        assert [one["id"] for one in okta.find("Users", asked)["Resources"]] == [user["id"]]
    assert okta.send("POST", "/Users", {"schemas": [USER], "userName": name}).status_code == 409
    for asked in (
        'nope eq "1"',
        f'userName eq "{name}" and nope eq "1"',
        f'{ENTERPRISE}:nope eq "1"',
        "userName",
        "userName eq",
        'title eq "x"',
        "(",
    ):
        answer = okta.http.get(f"{okta.url}/Users", params={"filter": asked})
        assert (answer.status_code, answer.json()["scimType"]) == (400, "invalidFilter"), asked


BAD_OPERATIONS = [
    op("replace", "userName", ""), op("replace", "userName", "  "), op("remove", "userName"), op("replace", "active", None), op("remove", "active"),
    op("replace", "active", "perhaps"), op("frob", "title", "x"), op("remove"), op("add", "title"), op("replace", "emails[", "x"),
    op("add", "emails", [{"value": "a", "primary": True}, {"value": "b", "primary": True}]),
    op("replace", "userName", "x" * 501), op("replace", "id", "x"),
]  # fmt: skip


@pytest.mark.parametrize("bad", BAD_OPERATIONS, ids=str)
def test_a_patch_is_done_whole_or_not_at_all(okta: Idp, bad: Any) -> None:
    """18: one bad operation, and nothing of the others is done: version and lastModified stay."""
    user = okta.user(title="old")
    answer = okta.patch(f"/Users/{user['id']}", op("replace", "title", "new"), bad)
    assert answer.status_code == 400
    assert okta.get(f"/Users/{user['id']}") == user


def test_a_patch_that_changes_nothing(okta: Idp) -> None:
    """12: neither version nor lastModified moves; what providers do not know of us is ignored."""
    user = okta.user(title="same", emails=[{"value": "a@example.com", "type": "work"}])
    path = f"/Users/{user['id']}"
    same = [op("replace", "title", "same"), op("add", "emails", [{"value": "a@example.com", "type": "work"}]), op("replace", "nonsense", "x")]
    for operation in (*same, op("replace", "urn:x:y:z", "x"), op("replace", "password", "hunter2")):
        assert okta.patch(path, operation).json() == user
    assert okta.send("PUT", path, user).json() == user


def test_replacing(okta: Idp) -> None:
    """19: what is left out is gone, what cannot be written is ignored, `active` stays unless it is said; an unknown id is a 404."""
    user = okta.user(title="t", active=False, emails=[{"value": "a@example.com"}])
    path = f"/Users/{user['id']}"
    sent = {"schemas": [USER], "id": "other", "userName": "put-" + user["userName"], "groups": [{"value": "x"}], "meta": {"version": "x"}}
    answer = okta.send("PUT", path, sent)
    assert answer.status_code == 200
    now = answer.json()
    assert (now["id"], now["userName"], now["active"], now.get("title"), now.get("emails")) == (user["id"], sent["userName"], False, None, None)
    assert (now["meta"]["created"], "groups" in now) == (user["meta"]["created"], False)
    assert okta.send("PUT", "/Users/unknown", sent).status_code == 404
    other = okta.user()
    assert okta.send("PUT", path, {**sent, "userName": other["userName"].upper()}).json()["scimType"] == "uniqueness"


def test_nobody_learns_a_password(okta: Idp, world: Pushed, caplog: pytest.LogCaptureFixture) -> None:
    """20: it is neither answered nor kept nor logged, whatever becomes of the request."""
    secret = f"hunter2-{uuid.uuid4().hex}"
    user = okta.user(password=secret)
    path = f"/Users/{user['id']}"
    answers = [okta.patch(path, op("replace", "password", secret)), okta.patch(path, op("replace", None, {"password": secret, "title": "x"}))]
    answers += [okta.send("PUT", path, {**user, "password": secret}), okta.send("POST", "/Users", {"password": secret, "active": secret})]
    world.fails = RuntimeError(secret)  # even a bug that holds it
    answers.append(okta.patch(path, op("replace", "title", secret)))
    world.fails = None
    assert [one.status_code for one in answers] == [200, 200, 200, 400, 500]
    assert all(secret not in one.text for one in [*answers, okta.send("GET", path)])
    assert "unexpected error in a SCIM request" in caplog.text
    assert all(secret not in str(vars(record)) for record in caplog.records)
    assert secret not in str(world.records())
    assert secret.encode() not in b"".join(file.read_bytes() for file in world.folder.glob("rosterd.db*"))


def test_pages(entra: Idp) -> None:
    """23: odd numbers are made right as RFC 7644 section 3.4.2.4 has it; eleven users are walked by five without a gap."""
    mark = uuid.uuid4().hex
    ids = [entra.user(f"{mark}-{number}")["id"] for number in range(11)]
    asked = f'userName sw "{mark.upper()}"'
    walked: list[str] = []
    for start in (1, 6, 11):
        page = entra.find("Users", asked, startIndex=start, count=5)
        walked += [one["id"] for one in page["Resources"]]
        assert (page["totalResults"], page["startIndex"], page["itemsPerPage"]) == (11, start, len(page["Resources"]))
    assert walked == ids
    for given, start, count in (({"startIndex": 0}, 1, 11), ({"startIndex": -7, "count": 3}, 1, 3), ({"count": 0}, 1, 0), ({"count": -5}, 1, 0),
                                ({"count": 100_000}, 1, 11), ({"startIndex": 10**30}, 10**30, 0), ({"startIndex": 12}, 12, 0)):  # fmt: skip
        page = entra.find("Users", asked, **given)
        assert (page["totalResults"], page["startIndex"], len(page["Resources"])) == (11, start, count), given
    assert entra.send("GET", "/Users?count=soon").status_code == 400


def test_a_page_has_at_most_two_hundred(world: Pushed, okta: Idp) -> None:
    """23: whatever is asked for, and a hundred when nothing is; the total counts all."""
    sample = okta.user("page-sample")
    with world.store.write() as connection:
        connection.exec_driver_sql(
            "with recursive n (i) as (select 1 union all select i + 1 from n where i < 250) insert into pushed_user"
            " select source, id || '-' || i, null, 'page-' || i, 'page-' || i, null, null, null, true, 1, resource, created_at, modified_at, null"
            f" from pushed_user, n where id = '{sample['id']}'"
        )
    assert [len(okta.find("Users", 'userName sw "page-"', **more)["Resources"]) for more in ({"count": 1000}, {})] == [200, 100]
    assert okta.find("Users", 'userName sw "page-"')["totalResults"] == 251


def test_paths_in_every_spelling(okta: Idp) -> None:
    """26: slashes too many, another case, a suffix, parameters that nobody knows."""
    user = okta.user()
    for path in ("//Users", "/Users/", "/users", "/USERS?aadOptscim062020", "/Users.scim", "/Users?unknown=1", "", "/"):
        assert okta.get(path)["totalResults"] > 0
    assert okta.get("/serviceproviderconfig") == okta.get("/ServiceProviderConfig")
    assert okta.get("/SCHEMAS")["totalResults"] == 3
    for path in (f"/users/{user['id']}", f"//Users/{user['id']}/", f"/Users/{user['id']}?aadOptscim062020"):
        assert okta.get(path) == user


def test_what_we_do_not_know_is_left_out(okta: Idp) -> None:
    """27: schemas and attributes that are not ours are taken and neither kept nor answered."""
    user = okta.user(schemas=[USER, "urn:x:y"], nonsense=1, **{"urn:x:y": {"a": 1}})
    assert user["schemas"] == [USER]
    assert not {"nonsense", "urn:x:y"} & okta.get(f"/Users/{user['id']}").keys()


def test_which_attributes_are_answered(okta: Idp) -> None:
    """`attributes` and `excludedAttributes`, for one and for lists, by body too; `id` and `schemas` are always there."""
    user = okta.user(title="t", emails=[{"value": "a@example.com", "type": "work"}], name={"givenName": "G", "familyName": "F"})
    path = f"/Users/{user['id']}"
    assert okta.get(f"{path}?attributes=userName").keys() == {"schemas", "id", "userName"}
    assert okta.get(f"{path}?attributes=name.givenName,EMAILS.value")["name"] == {"givenName": "G"}
    assert okta.get(f"{path}?excludedAttributes=emails,meta").keys() == user.keys() - {"emails", "meta"}
    search = {"schemas": ["urn:ietf:params:scim:api:messages:2.0:SearchRequest"], "filter": f'id eq "{user["id"]}"', "attributes": ["title"]}
    (found,) = okta.send("POST", "/Users/.search", search).json()["Resources"]
    assert found == {"schemas": [USER], "id": user["id"], "title": "t"}
    assert okta.send("PATCH", f"{path}?attributes=title", {"schemas": [PATCH], "Operations": [op("add", "title", "n")]}).json()["title"] == "n"
    group = okta.group("x")
    assert okta.get(f"/Groups/{group['id']}?attributes=members.value")["members"] == [{"value": "x"}]
    shown = okta.patch(f"/Groups/{group['id']}", op("add", "members", [{"value": "y"}]), query="?attributes=members")
    assert (shown.status_code, len(shown.json()["members"])) == (200, 2)


def test_entity_tags(okta: Idp) -> None:
    """RFC 7644 section 3.14: weak tags, 304 for what is known already, 412 for a change of what is known no more, in groups too."""
    user, group = okta.user(), okta.group()
    for path, change in ((f"/Users/{user['id']}", op("replace", "title", "x")), (f"/Groups/{group['id']}", op("add", "members", [{"value": "x"}]))):
        old = okta.send("GET", path).headers["etag"]
        assert old.startswith('W/"')
        assert okta.send("GET", path, if_none_match=old).status_code == 304
        new = okta.patch(path, change, if_match=old).headers["etag"]
        assert new != old
        assert okta.patch(path, change, if_match=old).status_code == 412
        assert okta.send("DELETE", path, if_match=old).status_code == 412
        assert okta.send("GET", path, if_none_match=old).headers["etag"] == new


NOT_THERE = [
    ("GET", "/Me", 501), ("PATCH", "/Me", 501), ("POST", "/Me", 501), ("POST", "/Bulk", 501), ("GET", "/Users?sortBy=userName", 501),
    ("GET", "/Users?cursor", 501), ("GET", "/Devices", 404), ("GET", "/Users/a/b", 404), ("DELETE", "/Users", 405), ("PUT", "/Schemas", 405),
    ("OPTIONS", "/Users", 405), ("GET", "/Schemas?filter=id+pr", 403), ("GET", "/Schemas/urn:x", 404), ("GET", "/ResourceTypes/Device", 404),
]  # fmt: skip


@pytest.mark.parametrize(("method", "path", "status"), NOT_THERE, ids=[f"{m} {p}" for m, p, _ in NOT_THERE])
def test_what_there_is_not(okta: Idp, method: str, path: str, status: int) -> None:
    """4: in SCIM's words; a 405 names what there is instead."""
    answer = okta.send(method, path, {} if method in ("POST", "PATCH", "PUT") else None)
    assert answer.status_code == status
    assert (status == 405) == ("allow" in answer.headers)


BAD_BODIES = [
    b"", b"{", b"[]", b"null", b'"x"', b"\xff\xfe", b"{" * 100_000, b'{"userName": 1}', b'{"schemas": []}', b'{"userName": ""}',
    b'{"userName": "a\\u0000b"}', b'{"userName": "\\ud800"}', b'{"userName": "x", "emails": ' + b"[" * 50_000,
    b'{"userName": "x", "active": "perhaps"}',
    b'{"userName": "x", "emails": 5}',
]  # fmt: skip


@pytest.mark.parametrize("body", BAD_BODIES, ids=[body[:24].decode("latin-1") for body in BAD_BODIES])
def test_bad_bodies(okta: Idp, body: bytes) -> None:
    """4: each is a 400 in SCIM's words, as a user, as a patch, as a group and as a search."""
    group = okta.group()
    paths = (("POST", "/Users"), ("PATCH", f"/Groups/{group['id']}"), ("POST", "/Groups"))
    assert [okta.send(method, path, body).status_code for method, path in paths] == [400] * 3


HALF = "\\ud800"
"""Half of a surrogate pair, as JSON may write it; in a filter or path it is written so inside a text that is none the wiser."""


@pytest.mark.parametrize("half", [HALF, "\\udfff"])
def test_half_a_character_is_refused(okta: Idp, half: str) -> None:
    """4, 9: what no database could keep or compare is a 400 wherever it stands, and an id with NUL is nobody's."""
    user, group = okta.user(), okta.group("a")
    path, others = f"/Users/{user['id']}", f"/Groups/{group['id']}"
    for asked in (f'userName eq "{half}"', f'emails[type eq "{half}"]', 'userName eq "\\u0000"', 'emails.value co "\\u0000"'):
        answer = okta.http.get(f"{okta.url}/Users", params={"filter": asked})
        assert (answer.status_code, answer.json()["scimType"]) == (400, "invalidFilter"), asked
    quoted = f'emails[type eq "{half}"].value'
    again = op("add", f'roles[type eq "{half}"].value', "x")
    for operation in (op("add", quoted, "a@example.com"), op("add", None, {quoted: "b@example.com"}), again):
        assert okta.patch(path, operation).status_code == 400, operation
    assert okta.patch(others, op("add", f'members[value eq "{half}"].display', "x")).status_code == 400
    assert (okta.get(path), okta.get(others)) == (user, group)
    assert [okta.send(method, "/Users/a%00").status_code for method in ("GET", "DELETE")] == [404, 404]
    assert okta.patch("/Groups/%2500", op("add", "members", [{"value": "x"}])).status_code == 404


def test_a_body_that_is_no_json(okta: Idp) -> None:
    """Of another type it is a 415; without a type it is taken for JSON (RFC 7644 section 3.8)."""
    assert okta.send("POST", "/Users", b"<user/>", content_type="text/xml").status_code == 415
    assert okta.send("POST", "/Users", {"userName": f"plain-{uuid.uuid4().hex}"}, content_type="application/json; charset=utf-8").status_code == 201


def test_what_follows_is_done_before_anything_is_kept(okta: Idp, world: Pushed) -> None:
    """The users touched are told in the transaction; what is refused there is rolled back, and the provider is told so."""
    user, other = okta.user(), okta.user()
    group = okta.group(user["id"])
    world.applied.clear()
    okta.patch(f"/Users/{user['id']}", op("replace", "title", "x"))
    okta.patch(f"/Users/{user['id']}", op("replace", "title", "x"))
    okta.patch(f"/Groups/{group['id']}", op("add", "members", [{"value": other["id"]}, {"value": "nobody"}]))
    okta.patch(f"/Groups/{group['id']}", op("replace", "externalId", "ext"))
    okta.send("DELETE", f"/Users/{other['id']}")
    both = tuple(sorted((user["id"], other["id"])))
    assert world.applied == [("okta", (user["id"],)), ("okta", (other["id"],)), ("okta", both), ("okta", (other["id"],))]
    world.fails = Conflict("source_paused", "The source is paused.", "Resume it.")
    answers = [okta.patch(f"/Users/{user['id']}", op("replace", "title", "y")), okta.send("DELETE", f"/Users/{user['id']}")]
    answers.append(okta.send("POST", "/Users", {"schemas": [USER], "userName": "never"}))
    world.fails = None
    assert [(one.status_code, one.json()["detail"]) for one in answers] == [(409, "The source is paused. Resume it.")] * 3
    assert okta.get(f"/Users/{user['id']}")["title"] == "x"
    assert okta.find("Users", 'userName eq "never"')["totalResults"] == 0


@pytest.fixture(autouse=True)
def _no_failure_stays(world: Pushed) -> Iterator[None]:
    yield
    world.fails = None
