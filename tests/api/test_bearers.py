"""Who may ask what: every right bearer, every wrong one, and the rule that each sees only its own."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given, settings
from hypothesis import strategies as st

from sync.store import tokens
from tests.api.world import OLDER, SECRET, Company

ME = "/api/users/me/virtual-keys"


def standing(company: Company) -> str:
    """Return the jti of a token that is not revoked."""
    return next(token.jti for token in tokens.list_tokens(company.store) if token.revoked_at is None)


def forge(company: Company, *, secret: str | None = None, algorithm: str = "HS256", headers: dict[str, Any] | None = None, **claims: Any) -> str:
    """Return a token like a good one, but for what is changed; None takes a claim away."""
    good = {"iss": "rosterd", "aud": "rosterd", "exp": int(time.time()) + 600, "jti": standing(company), "role": "lookup"}
    said = {name: value for name, value in (good | claims).items() if value is not None}
    return jwt.encode(said, SECRET.reveal() if secret is None else secret, algorithm=algorithm, headers=headers)


def unsigned(header: dict[str, Any], claims: dict[str, Any], signature: bytes = b"") -> str:
    parts = [json.dumps(header).encode(), json.dumps(claims).encode(), signature]
    return ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts)


def public_pem() -> str:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def wrong_tokens(company: Company) -> dict[str, str]:
    """Return every kind of wrong token by name."""
    claims = {"iss": "rosterd", "aud": "rosterd", "exp": int(time.time()) + 600, "jti": standing(company), "role": "admin"}
    good = forge(company)
    head, body, signature = good.split(".")
    return {
        "alg none": unsigned({"alg": "none", "typ": "JWT"}, claims),
        "alg None": unsigned({"alg": "None", "typ": "JWT"}, claims),
        "alg HS512": forge(company, algorithm="HS512", secret=SECRET.reveal() * 2),
        "alg RS256 header": unsigned({"alg": "RS256", "typ": "JWT"}, claims, b"x" * 256),
        "signed with nothing": forge(company, secret="x" * 32),
        "no exp": forge(company, exp=None),
        "expired": forge(company, exp=int(time.time()) - 5),
        "exp of the wrong type": unsigned({"alg": "HS256"}, claims | {"exp": "tomorrow"}),
        "no iss": forge(company, iss=None),
        "other iss": forge(company, iss="somebody"),
        "no aud": forge(company, aud=None),
        "other aud": forge(company, aud="somebody"),
        "no jti": forge(company, jti=None),
        "unknown jti": forge(company, jti="00000000-0000-0000-0000-000000000000"),
        "jti of the wrong type": unsigned({"alg": "HS256"}, claims | {"jti": 7}),
        "nbf in the future": forge(company, nbf=int(time.time()) + 300),
        "no role": forge(company, role=None),
        "unknown role": forge(company, role="root"),
        "kid of nobody": forge(company, headers={"kid": "nobody"}),
        "kid is a path": forge(company, headers={"kid": "../../../../dev/null"}),
        "device without user": forge(company, role="device"),
        "lookup with user": forge(company, sub="somebody"),
        "flipped signature": f"{head}.{body}.{signature[:-2]}{'AA' if signature[-2:] != 'AA' else 'BB'}",
        "payload swapped": f"{head}.{forge(company, role='admin').split('.')[1]}.{signature}",
        "no signature": f"{head}.{body}.",
        "two parts": f"{head}.{body}",
        "four parts": f"{good}.x",
        "100 kB": forge(company, pad="x" * 100_000),
        "not a token": "x",
        "a key of nobody": "sk-bf-00000000-0000-0000-0000-000000000000",
    }


def test_every_wrong_token_gets_the_same_401(company: Company) -> None:
    """Missing, forged, expired, revoked, oversized, confused: one body, no detail, and a challenge."""
    company.add_user("ann@example.com")
    revoked = company.token("lookup")
    tokens.revoke(company.store, tokens.list_tokens(company.store)[0].jti, "test")
    company.token("lookup")
    answers = {"none": company.look_up("ann@example.com", None), "revoked": company.look_up("ann@example.com", revoked)}
    for number, (name, token) in enumerate(wrong_tokens(company).items()):
        answers[name] = company.ask("GET", "/api/users/email/ann@example.com/virtual-keys", token, peer=f"127.0.1.{number}")
    assert {name: answer.status_code for name, answer in answers.items() if answer.status_code != 401} == {}
    bodies = {answer.text.replace(answer.headers["x-request-id"], "") for answer in answers.values()}
    assert len(bodies) == 1
    assert all(answer.headers["www-authenticate"] == "Bearer" for answer in answers.values())


def test_a_good_forgery_of_a_good_token_is_good(company: Company) -> None:
    """The forging function of these tests makes good tokens when nothing is changed: the table above tests what it says."""
    company.add_user("ann@example.com")
    company.token("lookup")
    assert company.look_up("ann@example.com", forge(company)).status_code == 200
    assert company.look_up("ann@example.com", forge(company, secret=OLDER.reveal())).status_code == 200, "an older secret still verifies"


def test_whoever_learns_a_secret_makes_no_more_of_a_token_than_its_row_says(company: Company) -> None:
    """Another role, another user, or bounds left out: a good signature over what was never issued is worth nothing."""
    ann, bob = company.add_user("ann@example.com"), company.add_user("bob@example.com")
    company.token("device", user_id=bob)
    device = standing(company)
    assert company.ask("GET", ME, forge(company, role="device", sub=bob)).status_code == 200
    assert company.ask("GET", ME, forge(company, role="device", sub=ann)).status_code == 401
    assert [company.look_up("ann@example.com", forge(company, role=role)).status_code for role in ("lookup", "admin")] == [401, 401]
    tokens.revoke(company.store, device, "test")
    company.token("lookup", domain="example.com", cidr="127.0.0.0/8", max_users=1)
    bounds = {"domain": "example.com", "cidr": "127.0.0.0/8", "max_users": 1}
    assert company.look_up("ann@example.com", forge(company, **bounds)).status_code == 200
    for changed in ({"domain": None}, {"cidr": None}, {"max_users": None}, {"cidr": "0.0.0.0/0"}, {"max_users": 9}):
        assert company.look_up("ann@example.com", forge(company, **bounds | changed)).status_code == 401, changed


def test_hs_signed_with_a_public_key_is_refused(company: Company) -> None:
    """No asymmetric key is ever taken for a secret."""
    company.token("lookup")
    pem = public_pem()
    token = unsigned({"alg": "HS256", "typ": "JWT"}, {"iss": "rosterd", "aud": "rosterd", "exp": 9e9, "jti": "x", "role": "admin"}, pem.encode())
    assert company.look_up("ann@example.com", token).status_code == 401


def test_revoking_holds_in_the_next_request_although_the_signature_is_remembered(company: Company) -> None:
    """Only signatures are cached, never whether a token stands."""
    company.add_user("ann@example.com")
    token = company.token("lookup")
    assert company.look_up("ann@example.com", token).status_code == 200
    tokens.revoke(company.store, tokens.list_tokens(company.store)[0].jti, "test")
    assert company.look_up("ann@example.com", token).status_code == 401


def test_self_only_bearers_see_their_own_and_nobody_else(company: Company) -> None:
    """A device token and a key answer for every address of their user and on /me; the same 403 for a thousand others."""
    user = company.add_user("ann@example.com", "alias@example.com", keys=())
    value = company.add_key(user, "k")
    company.add_user("bob@example.com")
    for bearer in (company.token("device", user_id=user), value):
        for path in ("/api/users/email/ann@example.com/virtual-keys", "/api/users/email/ALIAS@example.com/virtual-keys", ME):
            assert company.ask("GET", path, bearer).json()["user_id"] == user
    device = company.token("device", user_id=user)
    others = [company.look_up(address, device) for address in ("bob@example.com", *(f"nobody{n}@example.com" for n in range(1000)))]
    assert {answer.status_code for answer in others} == {403}
    assert len({answer.text.replace(answer.headers["x-request-id"], "") for answer in others}) == 1


@pytest.mark.parametrize("header", ["authorization", "x-bf-vk", "x-api-key", "x-goog-api-key"])
def test_a_key_may_come_in_any_of_the_gateways_headers(company: Company, header: str) -> None:
    """As at the gateway: Authorization, x-bf-vk, x-api-key, x-goog-api-key; also a key that looks like a JWT."""
    user = company.add_user("ann@example.com", keys=())
    for value in (company.add_key(user, "a"), company.add_key(user, "b", value=jwt.encode({"vk": "x", "iss": "gateway"}, "k" * 32))):
        sent = {header: f"Bearer {value}" if header == "authorization" else value}
        assert company.ask("GET", ME, None, **sent).status_code == 200


def test_two_different_credentials_are_a_400_and_the_same_twice_is_not(company: Company) -> None:
    """Nobody has to guess which one counted."""
    user = company.add_user("ann@example.com", keys=())
    value = company.add_key(user, "k")
    assert company.ask("GET", ME, value, x_api_key=value).status_code == 200
    answer = company.ask("GET", ME, company.token("device", user_id=user), x_api_key=value)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "two_credentials")


@pytest.mark.parametrize("facts", [{"state": "disabled"}, {"state": "missing"}, {"blocked_at": 1}, {"expires_at": 1}])
def test_the_key_of_whoever_may_not_work_authenticates_nobody(company: Company, facts: dict[str, object]) -> None:
    """401 for the key; their device token is told the truth, that every key is inactive."""
    user = company.add_user("ann@example.com", keys=())
    value, device = company.add_key(user, "k"), company.token("device", user_id=user)
    company.change("user", user, **facts)
    assert company.ask("GET", ME, value).status_code == 401
    answer = company.ask("GET", ME, device)
    assert (answer.status_code, [key["is_active"] for key in answer.json()["virtual_keys"]]) == (200, [False])


def test_a_disabled_key_authenticates_nobody_and_its_sisters_still_do(company: Company) -> None:
    """Each key stands for itself."""
    user = company.add_user("ann@example.com", keys=())
    off, on = company.add_key(user, "off", enabled=False), company.add_key(user, "on")
    assert company.ask("GET", ME, off).status_code == 401
    assert len(company.ask("GET", ME, on).json()["virtual_keys"]) == 2
    company.configure(key_sees="own")
    assert [key["name"] for key in company.ask("GET", ME, on).json()["virtual_keys"]] == ["on"]


def test_a_lookup_token_stays_within_its_bounds(company: Company) -> None:
    """Domain and network are kept; it stands for nobody on /me and opens no other route."""
    company.add_user("ann@example.com")
    company.add_user("eve@other.example")
    token = company.token("lookup", domain="EXAMPLE.com", cidr="127.0.0.0/24")
    assert company.look_up("ann@example.com", token).status_code == 200
    assert company.look_up("eve@other.example", token).status_code == 403
    assert company.look_up("nobody@other.example", token).status_code == 403
    assert company.ask("GET", "/api/users/email/ann@example.com/virtual-keys", token, peer="127.0.9.1").status_code == 403
    assert company.ask("GET", ME, token).status_code == 403
    assert company.ask("GET", "/api/users", token).status_code == 403


@pytest.mark.parametrize(
    ("role", "allowed"),
    [
        ("admin", {"/api/users", "/api/sources", "/api/sync/runs", "/api/conflicts", "/api/tokens", "/api/governance/virtual-keys"}),
        ("operator", {"/api/users", "/api/sources", "/api/sync/runs"}),
        ("lookup", set()),
        ("device", set()),
    ],
)
def test_each_role_reaches_its_routes_and_no_other(company: Company, role: str, allowed: set[str]) -> None:
    """The table of the contract, route by route; no operator ever sees a key value or a token."""
    user = company.add_user("ann@example.com")
    token = company.token(role, **({"user_id": user} if role == "device" else {}))
    routes = ("/api/users", "/api/sources", "/api/sync/runs", "/api/conflicts", "/api/tokens", "/api/governance/virtual-keys")
    got = {path for path in routes if company.ask("GET", path, token).status_code == 200}
    assert got - {"/api/conflicts"} == allowed - {"/api/conflicts"}
    if role == "operator":
        assert company.look_up("ann@example.com", token).status_code == 403


def test_failures_are_slowed_and_valid_bearers_from_the_same_address_are_not(company: Company) -> None:
    """After many failures 429 with a whole Retry-After; the laptop behind the same NAT is answered all the same."""
    company.add_user("ann@example.com")
    good = company.token("lookup")
    answers = [company.look_up("ann@example.com", "wrong") for _ in range(40)]
    assert answers[0].status_code == 401
    last = answers[-1]
    assert (last.status_code, last.json()["error"]["type"]) == (429, "rate_limit_error")
    assert int(last.headers["retry-after"]) >= 1
    assert company.look_up("ann@example.com", good).status_code == 200


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Company]:
    """One company for all examples of a property."""
    made = Company(tmp_path_factory.mktemp("shared"))
    yield made
    made.close()


@settings(max_examples=150, deadline=None)
@given(text=st.text(alphabet=st.characters(min_codepoint=33, max_codepoint=126), max_size=300))
def test_no_bearer_string_breaks_anything(shared: Company, text: str) -> None:
    """Any text as a credential: 400, 401 or 429, never a 500 and never an answer."""
    for header in ("authorization", "x-api-key"):
        value = f"Bearer {text}" if header == "authorization" else text
        assert shared.ask("GET", ME, None, **{header: value}).status_code in (400, 401, 429)
