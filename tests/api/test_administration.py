"""The routes of administration: one object in its noun, lists in the plural, errors in the one shape, writes on record."""

from __future__ import annotations

import asyncio
import json
from itertools import islice
from typing import Any

import httpx
import pytest
from sqlalchemy import event, insert

from api.routes import events
from sync.store import runs
from sync.store.rows import make_cursor
from sync.store.tables import ChangeRow
from tests.api.world import Company
from tests.stores import STORES


def shape_of(answer: httpx.Response) -> None:
    """Assert that an error has the contract's shape."""
    body = answer.json()
    assert set(body) == {"event_id", "type", "is_bifrost_error", "status_code", "error", "extra_fields"}
    assert (body["type"], body["is_bifrost_error"], body["status_code"], body["extra_fields"]) == ("error", True, answer.status_code, {})
    assert body["error"]["event_id"] == body["event_id"] == answer.headers["x-request-id"]
    assert set(body["error"]) <= {"type", "code", "message", "param", "event_id"}
    assert None not in body["error"].values()


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/api/nothing", 404, "route_not_found"),
        ("GET", "/", 404, "route_not_found"),
        ("DELETE", "/api/sources", 405, "method_not_allowed"),
        ("GET", "/api/sync/runs/nosuchrun", 404, "run_not_found"),
        ("GET", "/api/users/nosuchuser", 404, "user_not_found"),
        ("POST", "/api/sources/nosuch/pause", 404, "source_not_found"),
        ("GET", "/api/sync/runs?limit=5000", 400, "invalid_parameter"),
        ("GET", "/api/sync/runs?cursor=%3F%3F", 400, "invalid_cursor"),
        ("GET", "/api/explain?email=nobody", 400, "invalid_email"),
        ("DELETE", "/api/tokens/nosuch", 404, "token_not_found"),
        ("GET", "/api/governance/virtual-keys/nosuch", 404, "virtual_key_not_found"),
    ],
)
def test_every_error_has_the_one_shape(company: Company, method: str, path: str, status: int, code: str) -> None:
    """Unknown routes, methods, things and parameters: the gateway's error body with a documented code."""
    answer = company.ask(method, path, company.token())
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    shape_of(answer)


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"source": 7}, None),
        ({}, None),
        ({"source": "corp", "surprise": 1}, None),
        ({"source": "corp", "mode": "sometimes"}, None),
        ([], None),
        ("x", None),
    ],
)
def test_a_body_that_does_not_fit_is_a_400(company: Company, body: Any, param: str | None) -> None:
    """Wrong type, missing, unknown and impossible members are refused before anything happens."""
    answer = company.ask("POST", "/api/sync/runs", company.token(), body=body)
    assert answer.status_code == 400
    shape_of(answer)
    assert runs.list_runs(company.store)[0] == []


def test_writes_need_json_and_no_foreign_origin_and_a_host_that_is_ours(company: Company) -> None:
    """A form, another site's page and a rebound name are refused; our own page and a reader are not."""
    token, path = company.token(), "/api/sources/corp/pause"

    async def send(**headers: str) -> int:
        async with company.client(token) as client:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            return (await client.post(path, content=b"{}", headers={"content-type": "application/json"} | named)).status_code

    assert asyncio.run(send(content_type="text/plain")) == 400
    assert asyncio.run(send(origin="https://evil.example")) == 403
    assert asyncio.run(send(origin="null")) == 403
    assert asyncio.run(send(host="evil.example")) == 421
    assert asyncio.run(send(origin="http://localhost:8321")) == 200


def test_no_browser_takes_an_answer_for_what_it_is_not(company: Company) -> None:
    """Every answer says so once, whatever it is: keys, text, nothing, errors, a stream, pages; and no other site's page may load it."""
    company.add_user("ann@example.com")
    company.add_user("bob@example.com", keys=())
    admin, run = company.token(), runs.request(company.store, "corp", trigger="api", requested_by="t")
    runs.cancel(company.store, run.id, "t")
    first = company.look_up("ann@example.com", admin)
    answers = [
        first,
        company.look_up("ann@example.com", admin, accept="text/plain"),
        company.look_up("ann@example.com", admin, if_none_match=first.headers["etag"]),
        company.look_up("bob@example.com", admin, accept="text/plain"),
        company.look_up("nobody@example.com", admin),
        company.look_up("ann@example.com", None),
        company.ask("GET", "/health/live", host="evil.example"),
        company.ask("GET", f"/api/sync/runs/{run.id}/events", admin),
        company.ask("POST", "/api/sync/runs", admin, body={"source": "corp"}),
        *(company.ask("GET", path, admin) for path in ("/health/live", "/metrics", "/docs", "/openapi.json", "/api/users", "/nothing")),
    ]
    assert [answer.status_code for answer in answers] == [200, 200, 304, 204, 404, 401, 421, 200, 202, 200, 200, 200, 200, 200, 404]
    for answer in answers:
        assert answer.headers.get_list("x-content-type-options") == ["nosniff"], answer.url
        assert answer.headers.get_list("cross-origin-resource-policy") == ["same-origin"], answer.url


def test_a_body_too_large_is_a_413(company: Company) -> None:
    """Nobody fills our memory: 64 KiB are enough for every route."""
    answer = company.ask("POST", "/api/sync/runs", company.token(), body={"source": "x" * 100_000})
    assert answer.status_code == 413
    shape_of(answer)


def test_an_unexpected_error_tells_the_caller_nothing(company: Company, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """500 with a generic text; the traceback is in the log under the event id."""

    def burst(*_: object, **__: object) -> None:
        raise RuntimeError("a secret detail")

    monkeypatch.setattr("api.routes.sources.sources.list_sources", burst)
    answer = company.ask("GET", "/api/sources", company.token())
    assert (answer.status_code, answer.json()["error"]["code"]) == (500, "internal_error")
    assert "secret detail" not in answer.text
    shape_of(answer)
    (record,) = [record for record in caplog.records if record.exc_info]
    assert record.event_id == answer.json()["event_id"]  # type: ignore[attr-defined]


def test_requested_runs_join_the_waiting_one_and_wake_the_daemon(company: Company) -> None:
    """202 with the run; the second request is the first one's; a dry run waits beside it."""
    token = company.token("operator")
    answers = [company.ask("POST", "/api/sync/runs", token, body={"source": "corp", **more}) for more in ({}, {}, {"dry_run": True})]
    assert [answer.status_code for answer in answers] == [202] * 3
    ids = [answer.json()["run"]["id"] for answer in answers]
    assert ids[0] == ids[1] != ids[2]
    assert company.woken == 3
    listed = company.ask("GET", "/api/sync/runs?state=waiting&source=corp", token).json()
    assert {run["id"] for run in listed["runs"]} == set(ids)
    cancelled = company.ask("POST", f"/api/sync/runs/{ids[0]}/cancel", token)
    assert (cancelled.status_code, cancelled.json()["run"]["state"]) == (200, "cancelled")
    assert company.ask("POST", f"/api/sync/runs/{ids[0]}/cancel", token).status_code == 409
    assert company.ask("POST", f"/api/sync/runs/{ids[0]}/approve", token).status_code == 409


def test_a_revert_over_http(company: Company) -> None:
    """Operators revert, or look at what it would be; 409 for what cannot be reverted now."""
    token, ann = company.token("operator"), company.add_user("ann@corp.example")
    run = runs.request(company.store, "corp", trigger="api", requested_by="test")
    assert company.ask("POST", f"/api/sync/runs/{run.id}/revert", token).json()["error"]["code"] == "run_not_revertible"
    company.change("run", run.id, state="succeeded", finished_at=1)
    with company.store.write() as connection:
        connection.execute(insert(ChangeRow), {"run_id": run.id, "kind": "added", "user_id": ann, "after": {"username": "ann@corp.example"}})
    for dry_run, state in ((1, "active"), (0, "removed")):
        answer = company.ask("POST", f"/api/sync/runs/{run.id}/revert?dry_run={dry_run}", token)
        assert (answer.status_code, answer.json()["run"]["counts"]["removed"], answer.json()["run"]["trigger"]) == (200, 1, "api")
        assert company.ask("GET", f"/api/users/{ann}", token).json()["user"]["state"] == state
    assert company.ask("POST", f"/api/sync/runs/{run.id}/revert", company.token("lookup")).status_code == 403


def test_runs_are_paged_by_cursor(company: Company) -> None:
    """Every run once, newest first, whatever the page size."""
    token = company.token("operator")
    for number in range(5):
        runs.request(company.store, "corp", trigger="api", requested_by="t", only=f"p{number}@example.com")
    seen: list[str] = []
    cursor = ""
    while True:
        page = company.ask("GET", f"/api/sync/runs?limit=2{cursor}", token).json()
        seen += [run["id"] for run in page["runs"]]
        if "cursor" not in page:
            break
        cursor = f"&cursor={page['cursor']}"
    assert len(seen) == len(set(seen)) == 5


def test_a_block_by_an_operator_holds_in_the_next_lookup_and_is_on_record(company: Company) -> None:
    """block → inactive → unblock → active; the audit file says who did what to whom."""
    user = company.add_user("ann@example.com")
    token = company.token("operator")
    assert company.ask("POST", f"/api/users/{user}/block", token).json()["user"]["blocked"] is True
    lookup = company.token("lookup")
    assert company.look_up("ann@example.com", lookup).json()["virtual_keys"][0]["is_active"] is False
    assert company.ask("POST", f"/api/users/{user}/unblock", token).json()["user"]["blocked"] is False
    assert company.look_up("ann@example.com", lookup).json()["virtual_keys"][0]["is_active"] is True
    written = [record for record in company.records() if record["kind"] == "write"]
    assert [(record["role"], record["status"], record["target"]["user_id"]) for record in written] == [("operator", 200, user)] * 2


def test_users_are_paged_and_show_no_values(company: Company) -> None:
    """users, total, page, limit, total_pages, has_more; one user by id and by address; never a key value."""
    for number in range(25):
        company.add_user(f"p{number}@example.com")
    token = company.token("operator")
    page = company.ask("GET", "/api/users?page=2&limit=20", token)
    assert {name: page.json()[name] for name in ("total", "page", "limit", "total_pages", "has_more")} == {
        "total": 25, "page": 2, "limit": 20, "total_pages": 2, "has_more": False,
    }  # fmt: skip
    one = company.ask("GET", "/api/users/email/P3@example.com", token)
    assert company.ask("GET", f"/api/users/{one.json()['user']['id']}", token).json() == one.json()
    assert "sk-bf-" not in page.text + one.text
    assert company.ask("GET", "/api/users?search=p3%40", token).json()["total"] == 1


def test_a_contested_address_is_listed_settled_and_explained(company: Company) -> None:
    """conflicts names both, give decides, explain says why it answers."""
    ids = [company.add_user(f"{name}@example.com") for name in ("a", "b")]
    for user in ids:
        company.claim(user, "shared@example.com", position=1, held=False)
    token = company.token()
    (conflict,) = company.ask("GET", "/api/conflicts", token).json()["conflicts"]
    assert {claimant["user_id"] for claimant in conflict["claimants"]} == set(ids)
    given = company.ask("POST", "/api/addresses/give", token, body={"address": "SHARED@example.com", "user_id": ids[1]})
    assert given.status_code == 200
    explanation = company.ask("GET", "/api/explain?email=shared%40example.com", token).json()["explanation"]
    assert (explanation["answers"], explanation["user"]["id"]) == (True, ids[1])


NOT_PUSHED = ({"role": "scim", "source": "corp"}, {"role": "scim"})
"""A token for pushing to a source that nobody pushes to is refused: it would be good for nothing."""


def test_tokens_are_shown_once_listed_and_revoked(company: Company) -> None:
    """The MDM server issues a device token, which works until it is revoked; the list never holds the token itself."""
    company.add_user("ann@example.com")
    admin = company.token()
    made = company.ask("POST", "/api/tokens", admin, body={"role": "device", "user": "ann@example.com", "ttl": "30d", "label": "SN-1"})
    assert made.status_code == 200
    value, jti = made.json()["token"]["value"], made.json()["token"]["jti"]
    assert company.ask("GET", "/api/users/me/virtual-keys", value).status_code == 200
    listed = company.ask("GET", "/api/tokens", admin)
    assert value not in listed.text
    assert company.ask("DELETE", f"/api/tokens/{jti}", admin).json()["token"]["revoked_at"]
    assert company.ask("GET", "/api/users/me/virtual-keys", value).status_code == 401
    for body in ({"role": "device"}, {"role": "lookup", "user": "ann@example.com"}, {"role": "admin", "ttl": "soon"}, {"role": "root"}, *NOT_PUSHED):
        assert company.ask("POST", "/api/tokens", admin, body=body).status_code == 400


def test_a_fleet_of_tokens_is_paged_and_filtered(company: Company) -> None:
    """Every token once, newest first, however many are issued meanwhile; by user (an alias too), role, and whether it stands."""
    ann = company.add_user("ann@example.com", "alias@example.com")
    bob = company.add_user("bob@example.com")
    admin = company.token()
    for number in range(7):
        company.token("device", user_id=ann if number < 3 else bob, label=f"SN-{number}")
    first = company.ask("GET", "/api/tokens?limit=3", admin).json()
    found, cursor = first["tokens"], first["cursor"]
    while cursor:
        company.token("device", user_id=ann, label="meanwhile")
        page = company.ask("GET", f"/api/tokens?limit=3&cursor={cursor}", admin).json()
        assert 1 <= len(page["tokens"]) <= 3
        found, cursor = found + page["tokens"], page.get("cursor")
    older = [token for token in found if token.get("label") != "meanwhile"]
    assert len(older) == len({token["jti"] for token in older}) == 8
    assert [token["issued_at"] for token in found] == sorted((token["issued_at"] for token in found), reverse=True)
    for who in (ann, "alias%40example.com"):
        labels = {token["label"] for token in company.ask("GET", f"/api/tokens?user={who}", admin).json()["tokens"]}
        assert labels == {"SN-0", "SN-1", "SN-2", "meanwhile"}
    gone = next(token["jti"] for token in found if token.get("label") == "SN-5")
    company.ask("DELETE", f"/api/tokens/{gone}", admin)
    assert [token["jti"] for token in company.ask("GET", "/api/tokens?active=false", admin).json()["tokens"]] == [gone]
    standing = company.ask("GET", f"/api/tokens?active=true&role=device&user={bob}", admin).json()["tokens"]
    assert {token["label"] for token in standing} == {"SN-3", "SN-4", "SN-6"}
    for wrong in (
        "limit=0",
        "limit=1001",
        "cursor=x",
        "cursor=MTIz",
        f"cursor={make_cursor('9' * 30 + ' x')}",
        "role=root",
        "active=perhaps",
        "user=nobody%40",
    ):
        refused = company.ask("GET", f"/api/tokens?{wrong}", admin)
        assert (refused.status_code, refused.json()["error"]["param"]) == (400, wrong.partition("=")[0]), wrong
    assert company.ask("GET", "/api/tokens?user=nobody%40example.com", admin).json()["error"]["code"] == "user_not_found"


def test_a_key_is_minted_once_named_and_switched_off(company: Company) -> None:
    """The value is in the creation's answer and nowhere else."""
    user = company.add_user("ann@example.com", keys=())
    admin = company.token()
    made = company.ask("POST", f"/api/governance/users/{user}/virtual-keys", admin, body={"name": "laptop"}).json()["virtual_key"]
    path = f"/api/governance/virtual-keys/{made['id']}"
    assert company.ask("GET", "/api/users/me/virtual-keys", made["value"]).status_code == 200
    changed = company.ask("PUT", path, admin, body={"is_active": False, "name": "old laptop"}).json()["virtual_key"]
    assert (changed["is_active"], changed["name"], "value" in changed) == (False, "old laptop", False)
    assert company.ask("GET", "/api/users/me/virtual-keys", made["value"]).status_code == 401


def test_health_says_ready_and_names_stale_sources(company: Company) -> None:
    """Live and ready need no token; stale sources are named, and a 503 only when asked strictly."""
    assert company.ask("GET", "/health/live").json()["status"] == "live"
    assert company.ask("GET", "/health/ready").json() == {"status": "ready", "version": "0.1.0", "stale": []}
    company.change("source", "corp", read_at=1)
    assert company.ask("GET", "/health/ready").json()["stale"] == ["corp"]
    assert company.ask("GET", "/health/ready").status_code == 200
    assert company.ask("GET", "/health/ready?strict=1").status_code == 503


def test_health_counts_nobody(company: Company) -> None:
    """Whether it is ready is asked all the time, by whoever waits a second for it: no statement reads the people of a source."""
    company.add_user("ada@example.com")
    company.ask("GET", "/health/ready")
    asked: list[str] = []
    event.listen(company.store.engine, "before_cursor_execute", lambda *given: asked.append(given[2]))
    assert company.ask("GET", "/health/ready").status_code == 200
    assert any("from source" in statement for statement in asked), "stale sources are looked for"
    assert not [statement for statement in asked if "user" in statement or "count" in statement]


def test_the_description_of_the_api_is_for_this_machine_and_admins(company: Company) -> None:
    """Loopback needs no token, elsewhere an admin's; every route of the contract is in it."""
    paths = company.ask("GET", "/openapi.json").json()["paths"]
    assert "/api/users/email/{email}/virtual-keys" in paths
    assert company.ask("GET", "/openapi.json", peer="192.0.2.7").status_code == 401
    assert company.ask("GET", "/openapi.json", company.token("operator"), peer="192.0.2.7").status_code == 403
    assert company.ask("GET", "/openapi.json", company.token(), peer="192.0.2.7").status_code == 200


def test_progress_is_streamed_until_done(company: Company) -> None:
    """Server-Sent Events: what the run's row says, then `done` with the run; a daemon that stops says bye."""
    token = company.token("operator")
    run = runs.request(company.store, "corp", trigger="api", requested_by="t")

    async def watch(finish: bool) -> str:
        company.stopping = asyncio.Event()  # an event belongs to one loop
        company.configure()

        async def end() -> None:
            await asyncio.sleep(0.6)
            if finish:
                runs.cancel(company.store, run.id, "t")
            else:
                company.stopping.set()

        async with company.client(token) as client:
            ending = asyncio.create_task(end())
            answer = await client.get(f"/api/sync/runs/{run.id}/events")
            await ending
            return answer.text.replace("\r", "").strip().split("\n\n")[-1]

    bye = asyncio.run(watch(False))
    assert "event: bye" in bye
    done = asyncio.run(watch(True))
    assert "event: done" in done
    assert json.loads(done.partition("data: ")[2])["run"]["state"] == "cancelled"


def test_no_more_streams_are_open_than_may_be(company: Company) -> None:
    """However many ask in the same moment: the others are told to wait, and a stream that has ended, or that never began, leaves its place."""
    token = company.token("operator")
    run = runs.request(company.store, "corp", trigger="api", requested_by="t")

    async def watch(asking: int) -> list[int]:
        company.stopping = asyncio.Event()  # an event belongs to one loop
        company.configure(max_streams=2)
        async with company.client(token) as client:
            watching = [asyncio.create_task(client.get(f"/api/sync/runs/{run.id}/events")) for _ in range(asking)]
            refused = [await one for one in islice(asyncio.as_completed(watching, timeout=20), asking - 2)]
            assert {answer.json()["error"]["code"] for answer in refused} == {"too_many_streams"}
            assert (await client.get("/api/sync/runs/nothing/events")).status_code == 404
            company.stopping.set()
            statuses = [(await one).status_code for one in watching]
            assert (await client.get(f"/api/sync/runs/{run.id}/events")).status_code == 200
        return statuses

    assert sorted(asyncio.run(watch(12))) == [200] * 2 + [429] * 10
    desk = company.app._desk
    unread = events._events(desk, runs.get(company.store, run.id), desk.take_seat())
    assert len(desk.streams) == 1
    del unread
    assert len(desk.streams) == 0


def test_a_store_that_is_gone_is_a_503_with_retry_after(company: Company) -> None:
    """The caller is told to come back, not what broke."""
    token = company.token()
    company.store.close()
    with STORES.out_of_order(company.folder / "rosterd.db"):
        answer = company.ask("GET", "/api/sources", token)
    assert (answer.status_code, answer.json()["error"]["type"]) == (503, "api_error")
    assert int(answer.headers["retry-after"]) > 0
    shape_of(answer)
