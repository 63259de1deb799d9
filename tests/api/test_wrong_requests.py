"""Requests that are wrong in every way: refused before anything happens, in the one shape, naming the parameter, repeating nothing."""

from __future__ import annotations

import asyncio

import httpx
import pytest

from tests.api.test_administration import shape_of
from tests.api.world import Company

RUNS, TOKENS, GIVE, MINT = "/api/sync/runs", "/api/tokens", "/api/addresses/give", "/api/governance/users/USER/virtual-keys"
KEY = "/api/governance/virtual-keys/KEY"


def send(company: Company, method: str, path: str, body: bytes) -> httpx.Response:
    """Send octets as a JSON body, as an administrator, about Ann and her key."""
    user = company.add_user("ann@example.com", keys=())
    company.add_key(user, "default", id="key-1", value="sk-bf-known-0123456789")
    path = path.replace("USER", user).replace("KEY", "key-1")
    token = company.token()

    async def ask() -> httpx.Response:
        async with company.client(token) as client:
            return await client.request(method, path, content=body, headers={"content-type": "application/json"})

    return asyncio.run(ask())


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code", "param"),
    [
        ("POST", RUNS, b"", 400, "malformed_request", None),
        ("POST", RUNS, b"{", 400, "malformed_request", None),
        ("POST", RUNS, b'{"source": "corp"} x', 400, "malformed_request", None),
        ("POST", RUNS, b'\xef\xbb\xbf{"source": "corp"}', 400, "malformed_request", None),
        ("POST", RUNS, b'{"source": "\xff"}', 400, "malformed_request", None),
        ("POST", RUNS, '{"source": "corp"}'.encode("utf-16"), 400, "malformed_request", None),
        ("POST", RUNS, b'{"source": "\\ud800"}', 400, "malformed_request", None),
        ("POST", RUNS, b'{"source": NaN}', 400, "malformed_request", None),
        ("POST", RUNS, b"[" * 60_000, 400, "malformed_request", None),
        ("POST", RUNS, b'{"a":' * 12_000, 400, "malformed_request", None),
        ("POST", RUNS, b"null", 400, "invalid_parameter", None),
        ("POST", RUNS, b"[]", 400, "invalid_parameter", None),
        ("POST", RUNS, b"{}", 400, "invalid_parameter", "source"),
        ("POST", RUNS, b'{"source": 7}', 400, "invalid_parameter", "source"),
        ("POST", RUNS, b'{"source": null}', 400, "invalid_parameter", "source"),
        ("POST", RUNS, b'{"source": ""}', 400, "invalid_parameter", "source"),
        ("POST", RUNS, b'{"source": "corp", "colour": 1}', 400, "invalid_parameter", "colour"),
        ("POST", RUNS, b'{"source": "corp", "mode": "sometimes"}', 400, "invalid_parameter", "mode"),
        ("POST", RUNS, b'{"source": "corp", "dry_run": "true"}', 400, "invalid_parameter", "dry_run"),
        ("POST", RUNS, b'{"source": "corp", "dry_run": 1}', 400, "invalid_parameter", "dry_run"),
        ("POST", RUNS, b'{"source": "corp", "dry_run": 1e999}', 400, "invalid_parameter", "dry_run"),
        ("POST", RUNS, b'{"source": "corp", "source": "corp"}', 400, "duplicate_member", "source"),
        ("POST", RUNS, b'{"source": "corp", "only": "nobody"}', 400, "invalid_email", "only"),
        ("POST", RUNS, b'{"source": "nosuch"}', 404, "source_not_found", None),
        ("POST", GIVE, b'{"address": "ann@example.com"}', 400, "invalid_parameter", "user_id"),
        ("POST", GIVE, b'{"address": "ann", "user_id": "x"}', 400, "invalid_email", "address"),
        ("POST", GIVE, b'{"address": "ann@example.com", "user_id": "nosuch"}', 404, "user_not_found", None),
        ("POST", TOKENS, b'{"role": "root"}', 400, "invalid_parameter", "role"),
        ("POST", TOKENS, b'{"role": "lookup", "ttl": "soon"}', 400, "invalid_duration", "ttl"),
        ("POST", TOKENS, b'{"role": "lookup", "ttl": "0s"}', 400, "invalid_ttl", "ttl"),
        ("POST", TOKENS, b'{"role": "lookup", "ttl": "999999999d"}', 400, "invalid_ttl", "ttl"),
        ("POST", TOKENS, b'{"role": "lookup", "label": "a\\u0000"}', 400, "invalid_label", "label"),
        ("POST", TOKENS, b'{"role": "lookup", "max_users": "5"}', 400, "invalid_parameter", "max_users"),
        ("POST", TOKENS, b'{"role": "lookup", "max_users": 1e999}', 400, "invalid_parameter", "max_users"),
        ("POST", TOKENS, b'{"role": "lookup", "max_users": ' + b"9" * 5000 + b"}", 400, "malformed_request", None),
        ("POST", TOKENS, b'{"role": "device"}', 400, "invalid_user", "user"),
        ("POST", TOKENS, b'{"role": "device", "user": "nosuch"}', 404, "user_not_found", None),
        ("POST", TOKENS, b'{"role": "lookup", "source": "nosuch"}', 404, "source_not_found", None),
        ("POST", MINT, b'{"name": "a", "name": "b"}', 400, "duplicate_member", "name"),
        ("POST", MINT, b'{"name": "default"}', 409, "name_taken", None),
        ("POST", MINT, b'{"name": "x", "value": "sk-bf-known-0123456789"}', 409, "value_exists", None),
        ("POST", MINT, b'{"name": "x", "expires_at": "2020-01-01T00:00:00Z"}', 400, "invalid_expiry", "expires_at"),
        ("POST", MINT, b'{"name": "x", "expires_at": "9999-12-31T23:59:59-23:59"}', 400, "invalid_expiry", "expires_at"),
        ("POST", MINT, b'{"name": "x", "expires_at": 4102444800}', 400, "invalid_parameter", "expires_at"),
        ("POST", MINT, b'{"name": "x", "expires_at": "2100-01-01T00:00:00"}', 400, "invalid_parameter", "expires_at"),
        ("PUT", KEY, b'{"is_active": "no"}', 400, "invalid_parameter", "is_active"),
        ("PUT", KEY, b'{"expires_at": "9999-12-31T23:59:59-00:01"}', 400, "invalid_expiry", "expires_at"),
        ("POST", f"{KEY}/rotate", b'{"overlap": "31d"}', 400, "invalid_overlap", "overlap"),
        ("POST", f"{KEY}/rotate", b'{"overlap": 5}', 400, "invalid_parameter", "overlap"),
    ],
)
def test_every_wrong_body_is_refused_and_named(
    company: Company, method: str, path: str, body: bytes, status: int, code: str, param: str | None
) -> None:
    """Octets that are no JSON, members missing, unknown, twice, of another type, out of reach; things that do not exist or exist already."""
    answer = send(company, method, path, body)
    assert (answer.status_code, answer.json()["error"]["code"], answer.json()["error"].get("param")) == (status, code, param), answer.text
    shape_of(answer)
    assert company.ask("GET", RUNS, company.token()).json()["runs"] == []
    assert company.ask("GET", "/api/governance/virtual-keys", company.token()).json()["total_count"] == 1


def test_an_integer_may_be_written_as_a_decimal(company: Company) -> None:
    """5.0 is 5, as JSON Schema has it."""
    answer = send(company, "POST", TOKENS, b'{"role": "lookup", "max_users": 5.0}')
    assert (answer.status_code, answer.json()["token"]["max_users"]) == (200, 5)


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ("/api/users?limit=0", "limit"), ("/api/users?limit=101", "limit"), ("/api/users?limit=", "limit"), ("/api/users?limit=ten", "limit"),
        ("/api/users?limit=%201", "limit"), ("/api/users?limit=%2B1", "limit"), ("/api/users?limit=1_0", "limit"), ("/api/users?limit=null", "limit"),
        ("/api/users?page=0", "page"), ("/api/users?page=99999999999999999999999", "page"), ("/api/users?limit=1&limit=2", "limit"),
        ("/api/users?state=nope", "state"), ("/api/users?state=null", "state"), ("/api/sync/runs?state=waiting&state=held", "state"),
        ("/api/sync/runs?cursor=zz", "cursor"), ("/api/sync/runs?cursor=", "cursor"), ("/api/explain", "email"), ("/api/explain?email=", "email"),
        ("/health/ready?strict=2", "strict"), ("/health/ready?strict=", "strict"), ("/api/users/%ff", "id"), ("/api/users/%ED%A0%80", "id"),
    ],
)  # fmt: skip
def test_every_wrong_parameter_is_refused_and_named(company: Company, query: str, param: str) -> None:
    """Out of range, no number, twice, missing, null, broken octets: 400 and the name."""
    answer = company.ask("GET", query, company.token())
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param), answer.text
    shape_of(answer)


def test_a_cursor_of_a_number_beyond_all_is_no_bug(company: Company) -> None:
    """A forged cursor is refused, or leads to an empty page."""
    run = company.ask("POST", RUNS, company.token(), body={"source": "corp"}).json()["run"]["id"]
    for place in ("9" * 18, "9" * 30, "-1", "x"):
        answer = company.ask("GET", f"{RUNS}/{run}/changes?cursor={place.encode().hex()}", company.token())
        assert answer.status_code in (200, 400), answer.text


def test_no_error_repeats_what_it_was_asked(company: Company) -> None:
    """A secret in a wrong place is not spread by the error: in path, query or body, as a value or as a name."""
    token, secret = company.token(), "sk-bf-not-for-any-log-0123456789"
    asked = [company.ask("GET", path.format(secret), token) for path in ("/api/users/{}", "/api/sync/runs/{}", "/api/users?state={}", "/{}")]
    bodies = ({"source": secret}, {"source": "corp", secret: 1}, {"source": "corp", "mode": secret})
    asked += [company.ask("POST", RUNS, token, body=body) for body in bodies]
    asked += [company.ask("POST", f"/api/users/{secret}/block", token), company.ask("DELETE", f"/api/tokens/{secret}", token)]
    assert [answer.status_code for answer in asked if answer.status_code not in (400, 404) or secret in answer.text] == []
    assert secret not in str(company.records())
