"""Who may push, how much, and all at once: tokens, limits, races, two providers beside each other (checks 10, 14, 21, 22, 28, 29)."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from sqlalchemy import event

from api.scim import mount
from api.scim.storage import PushStorage
from sync.store import tokens
from sync.store.engine import Store
from tests.api.scim.idp import ERROR, GROUP, PATCH, PUBLIC, SETTINGS, USER, Idp, Pushed, op
from tests.daemon.installation import ROOT


def test_forty_at_once_join_a_group(okta: Idp) -> None:
    """10: forty concurrent additions, forty successes, forty members; by the short way and by the long one."""
    group = okta.group(members=[])
    path = f"/Groups/{group['id']}"

    def join(number: int) -> int:
        long_way = [op("replace", "externalId", f"e{number}")] if number % 2 else []
        return okta.patch(path, op("add", "members", [{"value": f"m{number}"}]), *long_way).status_code

    with ThreadPoolExecutor(20) as pool:
        assert list(pool.map(join, range(40))) == [204] * 40
    assert okta.members(group) == sorted(f"m{number}" for number in range(40))


def test_twenty_at_once_create_one_user(okta: Idp) -> None:
    """10: one is created, nineteen are told that the name is taken."""
    name = uuid.uuid4().hex
    with ThreadPoolExecutor(20) as pool:
        made = list(pool.map(lambda n: okta.send("POST", "/Users", {"schemas": [USER], "userName": name, "title": str(n)}).status_code, range(20)))
    assert sorted(made) == [201] + [409] * 19


@pytest.mark.sqlite
def test_a_change_of_a_large_group_is_no_more_work(okta: Idp, world: Pushed) -> None:
    """14: one who joins or leaves, and the group without its members, cost the store the same in a group of five thousand as in one of fifty,
    and nobody else is lost; `make bench` says how long they take."""

    def work(size: int) -> dict[str, int]:
        stand = {f"member-{number:05}-{uuid.uuid4()}" for number in range(size)}
        group = okta.group(*sorted(stand))
        path = f"/Groups/{group['id']}"

        def join() -> Any:
            stand.add(new := str(uuid.uuid4()))
            return okta.patch(path, op("Add", "members", [{"value": new}]))

        ways = {
            "join": join,
            "leave": lambda: okta.patch(path, op("remove", f'members[value eq "{stand.pop()}"]')),
            "read": lambda: okta.send("GET", f"{path}?excludedAttributes=members"),
            "find": lambda: okta.send("GET", f'/Groups?filter=displayName eq "{group["displayName"]}"&excludedAttributes=members'),
        }
        done = {way: _steps(world.store, send) for way, send in ways.items()}
        done["everything"] = _steps(world.store, lambda: okta.send("GET", path))
        assert okta.members(group) == sorted(stand)
        return done

    small, large = work(50), work(5_000)
    assert large.pop("everything") > 10 * small.pop("everything"), "reading the members is what grows, and what is counted"
    assert {way: steps for way, steps in large.items() if steps > 1.5 * small[way]} == {}


def _steps(store: Store, send: Any) -> int:
    """Return how many steps SQLite's machine took for a request."""
    steps = 0

    def count() -> int:
        nonlocal steps
        steps += 1
        return 0

    def watch(driver: Any, _: object) -> None:
        driver.set_progress_handler(count, 1)

    event.listen(store.engine, "connect", watch)
    try:
        assert send().status_code in (200, 204)
    finally:
        event.remove(store.engine, "connect", watch)
    return steps


def test_large_bodies_are_refused_while_they_come(okta: Idp, monkeypatch: pytest.MonkeyPatch) -> None:
    """22: 2 MB for a user is a 413 by its announced length, and when it announces none, after the first megabyte; a group may have 8 MiB."""
    big = json.dumps({"schemas": [USER], "userName": "big", "title": "x" * 2_000_000}).encode()
    assert okta.send("POST", "/Users", big).status_code == 413
    buffered: list[int] = []
    read_body = mount._read_body

    async def counting(scope: Any, receive: Any, most: int) -> bytes:
        async def received() -> Any:
            message = await receive()
            buffered.append(len(message.get("body", b"")))
            return message

        return await read_body(scope, received, most)

    monkeypatch.setattr(mount, "_read_body", counting)
    pieces = (big[start : start + 65_536] for start in range(0, len(big), 65_536))
    answer = okta.http.post(f"{okta.url}/Users", content=pieces)
    assert (answer.status_code, answer.json()["schemas"]) == (413, [ERROR])
    assert (1 << 20) < sum(buffered) < (1 << 20) + 300_000
    members = [{"value": f"v{number}", "display": "x" * 480} for number in range(4_000)]
    body = json.dumps({"schemas": [GROUP], "displayName": "large", "members": members}).encode()
    assert len(body) > 2_000_000
    assert okta.send("POST", "/Groups", body).status_code == 201
    assert okta.send("POST", "/Groups", body + b" " * (8 << 20)).status_code == 413


def test_other_limits(okta: Idp) -> None:
    """22: a filter of 3 kB, fifty-one addresses, a name of 501 characters: 400 each."""
    answer = okta.http.get(f"{okta.url}/Users", params={"filter": f'userName eq "{"x" * 3_000}"'})
    assert (answer.status_code, answer.json()["scimType"]) == (400, "invalidFilter")
    long = {"schemas": ["urn:ietf:params:scim:api:messages:2.0:SearchRequest"], "filter": f'userName eq "{"x" * 3_000}"'}
    assert okta.send("POST", "/Users/.search", long).json()["scimType"] == "invalidFilter"
    shouted = {**long, "FILTER": long.pop("filter")}
    assert okta.send("POST", "/Users/.search", shouted).json()["scimType"] == "invalidFilter"
    wide = {"emails": [{"value": str(n)} for n in range(51)]}
    for more in (wide, {"externalId": "x" * 501}, {"emails": [{"value": "x" * 501}]}, {"title": "x" * 65_536}):
        assert okta.send("POST", "/Users", {"schemas": [USER], "userName": uuid.uuid4().hex, **more}).status_code == 400
    assert okta.send("POST", "/Groups", {"schemas": [GROUP], "displayName": "x" * 501}).status_code == 400


@pytest.mark.parametrize("kind", ["Users", "Groups"])
def test_a_patch_has_its_measure(okta: Idp, kind: str) -> None:
    """22: a thousand operations, and paths of a thousand characters; more is a 400 before anything is done, also with names that differ in case
    and with what is no JSON but read as if it were."""
    made = okta.user() if kind == "Users" else okta.group("a")
    path = f"/{kind}/{made['id']}"
    many = [op("add", "members", [{"value": "b"}])] * 1_001
    asked: list[dict[str, Any]] = [{"Operations": many}, {"operations": [op("remove", "externalId")], "OPERATIONS": many, "x": float("nan")}]
    asked += [{"Operations": [op("remove", f'emails[type eq "{"x" * 1_000}"]')]}, {"Operations": [op("replace", None, {"x" * 1_001: "y"})]}]
    for said in asked:
        assert okta.send("PATCH", path, {"schemas": [PATCH], **said}).status_code == 400
    assert okta.get(path) == made


def test_a_filter_is_never_left_out(okta: Idp) -> None:
    """9: among too many parameters, said twice, or under a name in another case it is refused or obeyed; nobody is shown everybody instead."""
    okta.user()
    one = okta.user()
    asked = f'filter=userName eq "{one["userName"]}"'
    for query in ("&".join(f"p{number}=1" for number in range(100)) + "&" + asked, f"{asked}&filter=userName pr", f"{asked}&FILTER=userName pr"):
        assert okta.send("GET", f"/Users?{query}").status_code == 400, query
    assert okta.get(f"/Users?{asked.replace('filter', 'Filter')}&p=1&p=2")["totalResults"] == 1


def test_a_host_is_not_believed(okta: Idp) -> None:
    """22: no location holds what a request calls its Host; one that is not ours is not answered at all."""
    made = okta.send("POST", "/Users", {"schemas": [USER], "userName": uuid.uuid4().hex}, host="localhost:1", x_forwarded_host="evil.example")
    assert made.headers["location"].startswith(f"{PUBLIC}/")
    refused = okta.send("GET", "/Users", host="evil.example")
    assert (refused.status_code, "evil" in str(refused.headers) + refused.text) == (421, False)
    assert okta.send("POST", "/Users", {}, origin="https://evil.example").status_code == 403


def test_who_is_let_in(okta: Idp, entra: Idp, world: Pushed) -> None:
    """21, 29: without a good token 401 and a challenge; another role 403; another source's token learns nothing of this one; the
    description needs none."""

    def ask(token: str | None, path: str = "okta/Users", scheme: str = "Bearer", **headers: str) -> httpx.Response:
        headers |= {} if token is None else {"Authorization": f"{scheme} {token}"}
        answer = httpx.get(f"http://localhost:{okta.port}/scim/v2/{path}", headers=headers)
        assert answer.headers["content-type"] == "application/scim+json"
        assert answer.is_success or answer.json()["schemas"] == [ERROR]
        return answer

    refused = [ask(None), ask("nonsense"), ask("b2t0YTpzZWNyZXQ=", scheme="Basic"), ask(okta.token + "x"), ask(None, "nowhere/Users")]
    assert [(one.status_code, one.headers["www-authenticate"]) for one in refused] == [(401, "Bearer")] * 5
    assert len({one.text for one in refused}) == 1
    assert [ask(world.token(role)).status_code for role in ("admin", "operator", "lookup")] == [403] * 3
    assert [ask(entra.token).status_code, ask(entra.token, "nowhere/Users").status_code, ask(entra.token, "corp/Users").status_code] == [404] * 3
    assert ask(okta.token).status_code == 200
    assert ask(None, "okta/ServiceProviderConfig").json()["bulk"] == {"supported": False, "maxOperations": 0, "maxPayloadSize": 0}
    assert [ask(None, f"okta/{path}").status_code for path in ("Schemas", "ResourceTypes", "")] == [401] * 3


def test_a_token_pushes_and_does_nothing_else(okta: Idp, world: Pushed) -> None:
    """21: not one route below /api is open to it, and no address is looked up for it."""
    world.add_user("ann@example.com")
    for path in ("/api/users", "/api/sources", "/api/tokens", "/api/users/email/ann@example.com/virtual-keys", "/api/users/me/virtual-keys"):
        assert world.ask("GET", path, okta.token).status_code == 403, path
    assert world.ask("POST", "/api/sync/runs", okta.token, body={"source": "okta"}).status_code == 403


def test_tokens_take_turns(okta: Idp, world: Pushed) -> None:
    """21: several are good at once; a revoked one is refused from the next request on; its last use is known; none is for a source that
    nobody pushes to."""
    new = world.token("scim", source="okta", label="next")
    for token in (okta.token, new):
        assert okta.send("GET", "/Users?count=0", authorization=f"Bearer {token}").status_code == 200
    listed = {one.label: one for one in tokens.list_tokens(world.store, tokens.Wanted(role="scim")) if one.source == "okta"}
    tokens.revoke(world.store, listed["next"].jti, "test")
    assert okta.send("GET", "/Users?count=0", authorization=f"Bearer {new}").status_code == 401
    assert okta.send("GET", "/Users?count=0").status_code == 200
    for source in ("corp", "nowhere"):
        answer = world.ask("POST", "/api/tokens", world.token(), body={"role": "scim", "source": source})
        assert answer.status_code in (400, 404)


def test_two_providers_do_not_see_each_other(okta: Idp, entra: Idp) -> None:
    """29: the same names on both; neither reads, finds, changes or deletes what is the other's."""
    name = uuid.uuid4().hex
    ours, theirs = okta.user(name), entra.user(name)
    group = okta.group(ours["id"], displayName=name)
    assert entra.group(displayName=name)["id"] != group["id"]
    for path, resource in ((f"/Users/{ours['id']}", ours), (f"/Groups/{group['id']}", group)):
        answers = [
            entra.send("GET", path),
            entra.send("PUT", path, resource),
            entra.send("DELETE", path),
            entra.patch(path, op("remove", "externalId")),
        ]
        assert [one.status_code for one in answers] == [404] * 4
        assert okta.get(path) == resource
    assert entra.patch(f"/Groups/{group['id']}", op("add", "members", [{"value": "x"}])).status_code == 404
    assert [one["id"] for one in entra.find("Users", f'userName eq "{name}"')["Resources"]] == [theirs["id"]]
    assert entra.find("Users", f'id eq "{ours["id"]}"')["totalResults"] == 0


def test_writes_are_told_to_the_audit(okta: Idp, entra: Idp, world: Pushed) -> None:
    """Each write leaves one record with who, what and which resource, and without a value; reads and searches leave none."""
    user = okta.user("audited@example.com", title="Hush")
    okta.patch(f"/Users/{user['id']}", op("replace", "title", "Hush"))
    entra.send("DELETE", f"/Users/{user['id']}")
    okta.send("POST", "/Users/.search", {"schemas": ["urn:ietf:params:scim:api:messages:2.0:SearchRequest"]})
    records = [one for one in world.records() if one["kind"] == "write" and user["id"] in str(one)]
    assert [(one["action"], one["status"], one["target"]["id"]) for one in records] == [
        ("POST /scim/v2/{source}/Users", 201, user["id"]),
        ("PATCH /scim/v2/{source}/Users/{id}", 200, user["id"]),
        ("DELETE /scim/v2/{source}/Users/{id}", 404, user["id"]),
    ]
    assert {(one["role"], len(one["caller"]), len(one["event_id"])) for one in records} == {("scim", 36, 32)}
    okta.send("POST", "/hunter2/hunter3", {})
    assert world.records()[-1]["action"] == "POST /scim/v2/{source}/{endpoint}/{id}"
    assert "hunter" not in str(world.records())
    assert "Hush" not in str(world.records())
    assert "audited@" not in str(world.records())
    assert ".search" not in str(world.records())


def test_a_long_commit_is_waited_for_and_no_longer(okta: Idp, world: Pushed, monkeypatch: pytest.MonkeyPatch) -> None:
    """While somebody else writes, reads go on and a write waits; when it takes too long, it is a 503 that says when to come again."""
    user = okta.user()
    monkeypatch.setattr("api.scim.mount.PATIENCE_MS", 300)
    locked, done = threading.Event(), threading.Event()

    def hold() -> None:
        with world.store.write():
            locked.set()
            done.wait(30)

    thread = threading.Thread(target=hold)
    thread.start()
    try:
        assert locked.wait(10)
        assert okta.send("GET", f"/Users/{user['id']}").status_code == 200
        answer = okta.patch(f"/Users/{user['id']}", op("replace", "title", "x"))
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    finally:
        done.set()
        thread.join()
    assert okta.patch(f"/Users/{user['id']}", op("replace", "title", "x")).status_code == 200


def test_a_write_waits_for_its_turn_no_longer(okta: Idp, world: Pushed, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many pushes wait before it, one is a 503 in the time that docs/scim-protocol.md says, not in that of all of them."""
    user = okta.user()
    monkeypatch.setattr("api.scim.mount.PATIENCE_MS", 1_000)
    waits: list[int] = []
    monkeypatch.setattr("api.scim.storage.PushStorage.__init__", _noting(PushStorage.__init__, waits))

    def change(number: int) -> tuple[int, str | None]:
        answer = okta.patch(f"/Users/{user['id']}", op("replace", "title", str(number)))
        return answer.status_code, answer.headers.get("retry-after")

    with world.store.write(), ThreadPoolExecutor(6) as pool:
        assert list(pool.map(change, range(6))) == [(503, "5")] * 6
    assert len(waits) < 6, "who had no turn in time never asked the store"
    assert max(waits) <= 1_000
    assert change(7) == (200, None)


def _noting(make: Any, waits: list[int]) -> Any:
    def made(self: PushStorage, *args: Any, **facts: Any) -> None:
        waits.append(facts["patience_ms"])
        make(self, *args, **facts)

    return made


def test_guessing_is_slowed_down(world: Pushed, okta: Idp) -> None:
    """28: after twenty failures a client waits, for a whole number of seconds; a good token from the same address does not."""
    for _ in range(30):
        answer = world.ask("GET", "/scim/v2/okta/Users", "nonsense", peer="192.0.2.7")
        if answer.status_code == 429:
            break
    assert (answer.status_code, answer.json()["status"], answer.headers["content-type"]) == (429, "429", "application/scim+json")
    assert int(answer.headers["retry-after"]) > 0
    assert world.ask("GET", "/scim/v2/okta/Users?count=0", okta.token, peer="192.0.2.7").status_code == 200


def test_a_source_taken_out_of_the_configuration(world: Pushed, okta: Idp) -> None:
    """Its token is still known, but there is nothing to push to: 404."""
    world.configure(pushed=("entra",))
    try:
        answer = world.ask("GET", "/scim/v2/okta/Users", okta.token)
    finally:
        world.build(SETTINGS)
    assert (answer.status_code, answer.json()["schemas"]) == (404, [ERROR])


def test_nobody_who_is_not_pushed_to_pays_for_it() -> None:
    """The libraries of SCIM, thirty megabytes, are loaded when the first provider comes, not when the daemon starts."""
    said = "import sys, daemon.serve; print(sorted({name.split('.')[0] for name in sys.modules} & {'scim2_models', 'scim2_server', 'pydantic'}))"
    loaded = subprocess.run([sys.executable, "-c", said], capture_output=True, text=True, check=True, cwd=ROOT).stdout.strip()
    assert "scim2_models" not in loaded
    assert "scim2_server" not in loaded
