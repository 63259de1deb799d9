"""Tokens of other issuers: the right ones do what their table says and no more, every wrong one is nobody's."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import jwt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from api.auth.fanout import MANY
from api.auth.keysets import KeySet, parse_jwks
from api.auth.published import Published
from api.context import ApiContext
from api.settings import IssuerSettings
from sync.store import keychanges, tokens
from sync.store.keyimports import import_new
from tests.api.world import SETTINGS, Company
from tests.servers.idp import Idp, jwks

ME = "/api/users/me/virtual-keys"
BY = keychanges.Stamp("test")
GATEWAY = Idp("https://gateway.example")
"""May stand for virtual keys."""

STAFF = Idp("https://staff.example", kid="staff")
"""May be admin, operator or lookup."""

ISSUERS = (
    IssuerSettings(GATEWAY.issuer, "rosterd", jwks=GATEWAY.jwks),
    IssuerSettings(
        STAFF.issuer, "rosterd", jwks=STAFF.jwks, may=("admin", "operator", "lookup"), role_claim="groups",
        roles=(("g-admins", "admin"), ("g-ops", "operator"), ("g-mdm", "lookup")),
    ),
)  # fmt: skip


@pytest.fixture
def company(tmp_path: Path) -> Iterator[Company]:
    made = Company(tmp_path, replace(SETTINGS, issuers=ISSUERS))
    yield made
    made.close()


@pytest.fixture
def ann(company: Company) -> str:
    """A user with the key `ann-key`, which was rotated an hour ago."""
    user = company.add_user("ann@example.com", keys=())
    company.add_key(user, "k", id="ann-key", rotated_at=int(time.time() - 3600) * 1000)
    company.add_key(user, "other")
    return user


def part(value: object) -> str:
    return base64.urlsafe_b64encode(value if isinstance(value, bytes) else json.dumps(value).encode()).decode().rstrip("=")


def status(company: Company, token: str, path: str = ME, peer: str = "127.0.0.1") -> int:
    return company.ask("GET", path, token, peer=peer).status_code


def test_a_token_for_a_key_sees_the_keys_user_and_nobody_else(company: Company, ann: str) -> None:
    """On /me and under its own address; 403 for others; with key_sees = "own" only the key itself; no other route."""
    company.add_user("bob@example.com")
    token = GATEWAY.token(vk="ann-key", jti="t-1", sub="ann-at-the-gateway")
    for path in (ME, "/api/users/email/ANN@example.com/virtual-keys"):
        answer = company.ask("GET", path, token)
        assert (answer.json()["user_id"], len(answer.json()["virtual_keys"])) == (ann, 2)
    assert company.look_up("bob@example.com", token).status_code == 403
    assert company.look_up("nobody@example.com", token).status_code == 403
    assert status(company, token, "/api/users") == 403
    record = company.records()[0]
    assert (record["role"], record["caller"], record["user_id"]) == ("virtual-key", "https://gateway.example#ann-at-the-gateway", ann)
    assert record["key_id"] == "ann-key"
    company.configure(key_sees="own")
    assert [key["id"] for key in company.ask("GET", ME, token).json()["virtual_keys"]] == ["ann-key"]


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "EdDSA"])
@pytest.mark.parametrize("kid", ["k1", None])
def test_every_kind_of_key_verifies_by_jwks_and_by_pem(company: Company, ann: str, algorithm: str, kid: str | None) -> None:
    """With and without a name for the key; a PEM key has none, so any `kid` may stand for it."""
    idp = Idp("https://idp.example", kid, algorithm)
    for place in ({"jwks": jwks(Idp(kid="zz", algorithm=algorithm), idp)}, {"pems": (STAFF.pem, idp.pem)}):
        company.configure(issuers=(IssuerSettings(idp.issuer, "rosterd", **place),))  # type: ignore[arg-type]
        assert status(company, idp.token(vk="ann-key")) == 200, place


def test_a_key_verifies_only_with_what_the_table_and_the_key_itself_name(company: Company, ann: str) -> None:
    """One RSA key can sign in four ways; the issuer uses those that are written down."""
    idp = Idp("https://idp.example", algorithm="RS256")
    company.configure(issuers=(IssuerSettings(idp.issuer, "rosterd", jwks=idp.jwks, algorithms=("RS256", "ES256")),))
    tokens_by = {one: jwt.encode(idp.claims(vk="ann-key"), idp.key, one, headers={"kid": "k1"}) for one in ("RS256", "RS384", "RS512", "PS256")}
    assert {one: status(company, token) for one, token in tokens_by.items()} == {"RS256": 200, "RS384": 401, "RS512": 401, "PS256": 401}
    company.configure(issuers=(IssuerSettings(idp.issuer, "rosterd", jwks=json.dumps({"keys": [idp.jwk | {"alg": "PS256"}]})),))
    assert {status(company, token) for token in tokens_by.values()} == {401}


def test_a_role_is_what_the_table_makes_of_the_claim(company: Company, ann: str) -> None:
    """The highest of those it leads to; an admin's deeds are recorded under issuer and token; nothing is written to the token table."""
    before = tokens.list_tokens(company.store)
    assert status(company, STAFF.token(groups=["x", "g-ops", "g-admins"]), "/api/governance/virtual-keys") == 200
    assert status(company, STAFF.token(groups="g-ops"), "/api/sync/runs") == 200
    assert status(company, STAFF.token(groups="g-ops"), "/api/governance/virtual-keys") == 403
    assert status(company, STAFF.token(groups="g-ops"), "/api/users/email/ann@example.com/virtual-keys") == 403
    lookup = STAFF.token(groups=["g-mdm"], jti="mdm-7")
    assert status(company, lookup, "/api/users/email/ann@example.com/virtual-keys") == 200
    assert status(company, lookup) == 403
    assert status(company, lookup, "/api/users") == 403
    answer = company.ask("POST", f"/api/users/{ann}/block", STAFF.token(groups="g-admins", sub="boss"), body={})
    assert answer.status_code == 200
    written = next(record for record in company.records() if record["kind"] == "write")
    assert (written["role"], written["caller"]) == ("admin", "https://staff.example#boss")
    assert tokens.list_tokens(company.store) == before


def test_reading_many_users_is_told_of_an_issuers_subject_whatever_token_it_brings(company: Company) -> None:
    """A new token every few minutes does not hide who reads everybody."""
    for number in range(MANY + 1):
        company.add_user(f"u{number}@example.com", keys=())
        token = STAFF.token(groups="g-mdm", sub="mdm", jti=str(number))
        assert status(company, token, f"/api/users/email/u{number}@example.com/virtual-keys") == 200
    (fan,) = company.app._desk.context.fanout.waiting
    assert (fan.role, fan.jti, fan.users) == ("lookup", "https://staff.example#mdm", MANY + 1)


def test_without_a_mapping_the_values_are_the_roles(company: Company) -> None:
    """But only those that `may` names, and never one of rosterd's own alone."""
    company.configure(issuers=(IssuerSettings(STAFF.issuer, "rosterd", jwks=STAFF.jwks, may=("lookup",), role_claim="role"),))
    company.add_user("ann@example.com")
    path = "/api/users/email/ann@example.com/virtual-keys"
    assert status(company, STAFF.token(role="lookup"), path) == 200
    assert [status(company, STAFF.token(role=role), path) for role in ("admin", "operator", "device", "scim", "virtual-key", "")] == [401] * 6


def test_what_the_audit_names_is_short_and_printable(company: Company, ann: str) -> None:
    """A stranger's claim writes no control characters and no kilobytes into our files."""
    assert status(company, GATEWAY.token(vk="ann-key", sub="a\nb\x1b[31m" + "x" * 3000)) == 200
    assert status(company, GATEWAY.token(vk="ann-key", sub=None)) == 200
    assert status(company, GATEWAY.token(vk="ann-key", sub=None, jti="t-1")) == 200
    first, second, third = (record["caller"] for record in company.records())
    assert third == "https://gateway.example#t-1"
    assert first.startswith("https://gateway.example#a\ufffdb\ufffd[31mxx") and len(first) == 200
    assert second == "https://gateway.example#"


def wrong_tokens() -> dict[str, str]:
    """Return every kind of wrong token by name; each is good but for what its name says."""
    now = int(time.time())
    key, admin = GATEWAY.claims(vk="ann-key"), STAFF.claims(groups="g-admins")
    header, kid = {"alg": "ES256", "typ": "JWT", "kid": "k1"}, {"kid": "k1"}
    good = GATEWAY.token(vk="ann-key")
    head, body, signature = good.split(".")
    stranger = Idp("https://stranger.example")

    def hs256(claims: dict[str, Any], secret: bytes) -> str:
        signing = f"{part({'alg': 'HS256', 'typ': 'JWT', 'kid': 'k1'})}.{part(claims)}"
        return f"{signing}.{part(jwt.get_algorithm_by_name('HS256').sign(signing.encode(), secret))}"

    def changed(**claims: Any) -> str:
        return GATEWAY.token(**({"vk": "ann-key"} | claims))

    def text(payload: str, header_text: str = json.dumps(header)) -> str:
        return GATEWAY.sign(header_text, payload)

    return {
        "alg none": f"{part({'alg': 'none'} | kid)}.{part(key)}.",
        "alg none with its signature": f"{part({'alg': 'none'} | kid)}.{part(key)}.{signature}",
        "HS256 with the PEM": hs256(key, GATEWAY.pem.encode()),
        "HS256 with the PEM, stripped": hs256(key, GATEWAY.pem.strip().encode()),
        "HS256 with the JWK": hs256(key, json.dumps(GATEWAY.jwk).encode()),
        "an algorithm that is no text": f"{part({'alg': ['ES256']} | kid)}.{part(key)}.{signature}",
        "no algorithm": f"{part(kid)}.{part(key)}.{signature}",
        "an algorithm that does not fit the key": jwt.encode(key, Idp(algorithm="RS256").key, "RS256", headers=kid),
        "no exp": changed(exp=None),
        "expired": changed(iat=now - 700, exp=now - 5),
        "exp of the wrong type": changed(exp=str(now + 600)),
        "exp too big": text(json.dumps(key)[:-1] + ', "exp": 1e400}'),
        "no iat": changed(iat=None),
        "iat in the future": changed(iat=now + 300),
        "iat of the wrong type": changed(iat=True),
        "longer than a day": changed(iat=now, exp=now + 86_401),
        "iat before the last rotation": changed(iat=now - 3700),
        "nbf in the future": changed(nbf=now + 300),
        "no aud": changed(aud=None),
        "other aud": changed(aud="gateway"),
        "aud of the wrong type": changed(aud={"rosterd": 1}),
        "no iss": changed(iss=None),
        "iss of the wrong type": changed(iss=[GATEWAY.issuer]),
        "iss of nobody": stranger.token(vk="ann-key"),
        "iss of another issuer": changed(iss=STAFF.issuer),
        "iss of rosterd": changed(iss="rosterd", jti="x", role="admin"),
        "an issuer with a slash more": changed(iss=GATEWAY.issuer + "/"),
        "another issuer's admin": GATEWAY.token(groups="g-admins", role="admin"),
        "a role that the table does not name": STAFF.token(groups="admin"),
        "a role of nobody": STAFF.token(),
        "a key by an issuer that may not": STAFF.token(vk="ann-key"),
        "no vk": changed(vk=None),
        "vk of nobody": changed(vk="nobody"),
        "vk of the wrong type": changed(vk=["ann-key"]),
        "vk that no text holds": text(json.dumps(key).replace("ann-key", "\\ud800")),
        "another issuer's key under this one's name": jwt.encode(key, STAFF.key, "ES256", headers={"kid": "staff"}),
        "signed by nobody we know": jwt.encode(key, stranger.key, "ES256", headers=kid),
        "kid of nobody": GATEWAY.token(vk="ann-key", headers={"kid": "k2"}),
        "kid is a path": GATEWAY.token(vk="ann-key", headers={"kid": "../../../../dev/null"}),
        "kid is empty": GATEWAY.token(vk="ann-key", headers={"kid": ""}),
        "kid of the wrong type": text(json.dumps(key), '{"alg": "ES256", "kid": ["k1"]}'),
        "its key brought along": jwt.encode(key, stranger.key, "ES256", headers=kid | {"jwk": stranger.jwk, "jku": "https://stranger.example"}),
        "crit": GATEWAY.token(vk="ann-key", headers={"crit": ["b64"], "b64": True}),
        "a key's value by its typ": GATEWAY.token(vk="ann-key", headers={"typ": "vk+jwt"}),
        "the same in capitals": GATEWAY.token(vk="ann-key", headers={"typ": "VK+JWT"}),
        "the same as a media type": GATEWAY.token(vk="ann-key", headers={"typ": "application/vk+JWT"}),
        "a claim twice": text('{"vk": "nobody", ' + json.dumps(key)[1:]),
        "exp twice": text('{"exp": 1, ' + json.dumps(key)[1:]),
        "alg twice": text(json.dumps(key), '{"alg": "none", ' + json.dumps(header)[1:]),
        "a name twice inside": text('{"x": {"a": 1, "a": 2}, ' + json.dumps(key)[1:]),
        "no number": text('{"x": NaN, ' + json.dumps(key)[1:]),
        "nested deeply": text('{"x": ' + "[" * 2500 + "]" * 2500 + ", " + json.dumps(key)[1:]),
        "no object": text("[]"),
        "no JSON": text("{"),
        "flipped signature": f"{head}.{body}.{'A' if signature[0] != 'A' else 'B'}{signature[1:]}",
        "padded": f"{head}.{body}.{signature}=",
        "spelt in another way": f"{head}.{body}.{signature[:5]}~{signature[5:]}",
        "payload swapped": f"{head}.{part(admin)}.{signature}",
        "no signature": f"{head}.{body}.",
        "two parts": f"{head}.{body}",
        "four parts": f"{good}.x",
        "100 kB": GATEWAY.token(vk="ann-key", pad="x" * 100_000),
    }


def test_every_wrong_token_gets_the_same_401(company: Company, ann: str) -> None:
    """On the lookup and on a route of administration: one status, one body, no detail."""
    assert status(company, GATEWAY.token(vk="ann-key")) == 200, "what is changed below is good at first"
    answers = {}
    for number, (name, token) in enumerate(wrong_tokens().items()):
        for path in (ME, "/api/users/email/ann@example.com/virtual-keys", "/api/users"):
            answers[name, path] = company.ask("GET", path, token, peer=f"127.0.1.{number}")
    assert {name: answer.status_code for name, answer in answers.items() if answer.status_code != 401} == {}
    assert len({answer.text.replace(answer.headers["x-request-id"], "") for answer in answers.values()}) == 1


def test_wrong_tokens_are_slowed_down_like_any_other(company: Company) -> None:
    """Guessing at another issuer's keys costs as much as guessing at ours."""
    stranger = Idp(GATEWAY.issuer)
    assert 429 in {status(company, stranger.token(vk=str(number)), peer="127.0.5.5") for number in range(30)}


def test_an_inactive_key_or_user_authenticates_nobody(company: Company, ann: str) -> None:
    """The token's signature is remembered, the key's state never."""
    token = GATEWAY.token(vk="ann-key")
    assert status(company, token) == 200
    for table, row, off, on in (
        ("virtual_key", "ann-key", {"enabled": False}, {"enabled": True}),
        ("virtual_key", "ann-key", {"expires_at": 1}, {"expires_at": None}),
        ("user", ann, {"state": "disabled"}, {"state": "active"}),
        ("user", ann, {"blocked_at": 1}, {"blocked_at": None}),
    ):
        company.change(table, row, **off)
        assert (status(company, token), status(company, token, "/api/users")) == (401, 401)
        company.change(table, row, **on)
        assert status(company, token) == 200
    company.change("virtual_key", "ann-key", rotated_at=company.store.now() + 1000)
    assert status(company, token) == 401


def test_an_expired_token_is_not_remembered_beyond_its_end(company: Company, ann: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was good a minute ago is looked at again."""
    token, passed = GATEWAY.token(vk="ann-key", exp=int(time.time()) + 60), [0]
    monkeypatch.setattr(company.store, "now", lambda: int(time.time() * 1000) + passed[0])
    company.build(company.settings)
    assert status(company, token) == 200
    passed[0] = 61_000
    assert status(company, token) == 401


def test_a_key_whose_value_is_a_foreign_token_works_by_its_digest_and_is_dead_once_rotated(company: Company) -> None:
    """Also long after the token has expired; and after a rotation although signature and claims are as good as ever."""
    user = company.add_user("ann@example.com", keys=())
    for number, claims in enumerate(({"vk": "nobody"}, {"iat": 1000, "exp": 2000})):
        value = GATEWAY.token(**claims)
        import_new(company.store, company.vault, user, value, name=f"old {number}", by="test")
        assert (status(company, value), status(company, value, "/api/users")) == (200, 403)
    boss = STAFF.token(groups="g-admins")
    assert status(company, boss, "/api/users") == 200
    key = import_new(company.store, company.vault, user, boss, name="boss", by="test")
    assert status(company, boss, "/api/users") == 403, "a value is a key first"
    assert status(company, boss) == 200
    keychanges.rotate(company.store, company.vault, key.id, BY)
    assert (status(company, boss), status(company, boss, "/api/users")) == (401, 401)
    value = GATEWAY.token(vk=key.id, iat=int(time.time()) + 20)
    assert status(company, value) == 200, "issued after the rotation"
    import_new(company.store, company.vault, user, value, name="again", by="test")
    rotated = next(one for one in company.ask("GET", ME, value).json()["virtual_keys"] if one["name"] == "again")
    keychanges.rotate(company.store, company.vault, rotated["id"], BY)
    assert status(company, value) == 401, "it was a key's value: dead for good"


def test_the_other_signature_that_ecdsa_allows_revives_no_value(company: Company) -> None:
    """From (r, s) anybody makes (r, -s): neither a living value nor a dead one becomes the pass that it also was."""
    order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    user, boss = company.add_user("ann@example.com", keys=()), STAFF.token(groups="g-admins")
    head, body, signature = boss.split(".")
    raw = base64.urlsafe_b64decode(signature + "==")
    twin = f"{head}.{body}.{base64.urlsafe_b64encode(raw[:32] + (order - int.from_bytes(raw[32:])).to_bytes(32)).decode().rstrip('=')}"
    assert status(company, twin, "/api/users") == 200, "as good a signature"
    key = import_new(company.store, company.vault, user, boss, name="boss", by="test")
    assert (status(company, twin), status(company, twin, "/api/users")) == (401, 401)
    keychanges.rotate(company.store, company.vault, key.id, BY)
    assert (status(company, twin), status(company, twin, "/api/users")) == (401, 401)
    assert (status(company, boss), status(company, boss, "/api/users")) == (401, 401)


def test_a_key_header_carries_no_token(company: Company, ann: str) -> None:
    """The gateway's headers are for values of keys."""
    token = GATEWAY.token(vk="ann-key")
    assert company.ask("GET", ME, None, x_api_key=token).status_code == 401


class Web:
    """A company with one issuer whose keys are published, and somebody who would fetch them."""

    def __init__(self, company: Company) -> None:
        self.issuer = IssuerSettings(GATEWAY.issuer, "rosterd", jwks_url="https://gateway.example/jwks")
        self.published = Published()
        self.wanted: list[str] = []
        self.published.when_wanted = lambda issuer: self.wanted.append(issuer.issuer)
        settings = replace(SETTINGS, issuers=(self.issuer,))
        context = ApiContext(
            company.store, company.vault, settings, company.audit, lambda: None, company.stopping, "0.1.0", published=self.published
        )  # fmt: skip
        from api.app import build

        company.app = build(context)

    def put(self, keys: KeySet) -> None:
        self.published.put(self.issuer, keys)


def test_a_published_key_set_counts_from_when_it_is_there_until_another_is(company: Company, ann: str) -> None:
    """Before it: 401 and a wish. A rotated-out key is nobody's at once, although its signatures were remembered."""
    web = Web(company)
    token = GATEWAY.token(vk="ann-key")
    assert (status(company, token), web.wanted) == (401, [GATEWAY.issuer])
    web.put(parse_jwks(GATEWAY.jwks))
    assert (status(company, token), len(web.wanted)) == (200, 1)
    successor = Idp(GATEWAY.issuer, kid="k2")
    assert (status(company, successor.token(vk="ann-key")), len(web.wanted)) == (401, 2), "an unknown kid is wished for"
    assert (status(company, Idp(GATEWAY.issuer).token(vk="ann-key")), len(web.wanted)) == (401, 2), "a known one is not"
    web.put(parse_jwks(jwks(GATEWAY, successor)))
    assert [status(company, one.token(vk="ann-key")) for one in (GATEWAY, successor)] == [200, 200]
    web.put(parse_jwks(successor.jwks))
    assert status(company, token) == 401
    web.published.keep_only([])
    assert status(company, successor.token(vk="ann-key")) == 401


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Company]:
    """One company for all examples of a property."""
    made = Company(tmp_path_factory.mktemp("shared"), replace(SETTINGS, issuers=ISSUERS))
    yield made
    made.close()


_JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=9), lambda inner: st.lists(inner, max_size=3), max_leaves=5
)
_NAMES = st.sampled_from(["iss", "aud", "exp", "iat", "nbf", "vk", "sub", "jti", "groups"])


@settings(max_examples=100, deadline=None)
@given(claims=st.dictionaries(_NAMES, _JSON, max_size=4), header=st.dictionaries(st.sampled_from(["alg", "kid", "typ", "crit"]), _JSON, max_size=2))
def test_no_claim_breaks_anything(shared: Company, claims: dict[str, Any], header: dict[str, Any]) -> None:
    """Whatever a trusted issuer signs: never a 500, and nobody in who is not named."""
    good, head = GATEWAY.claims(vk="nobody") | claims, {"alg": "ES256", "kid": "k1"} | header
    token = GATEWAY.sign(json.dumps(head), json.dumps(good))
    assert status(shared, token) in (401, 429)
    assert status(shared, token, "/api/users") in (401, 429)
