"""Keys that are JWTs: what is in them, who can check them, and that a value is never worth more than its row in the store."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jwt
import pytest

from api.app import build
from api.auth.minting import make_mint, public_keys, read_signing_keys
from api.context import ApiContext
from api.settings import MintSettings
from sync.errors import ConfigError, InvalidRequest
from sync.ids import now_ms
from sync.settings import Secret
from tests.api.world import SECRET, SETTINGS, Company
from tests.servers.pem import ED25519, P256, P256_WITH_PARAMETERS, RSA, make_pem

ME = "/api/users/me/virtual-keys"
KEYS = "/api/governance/virtual-keys"
NEW, OLD = make_pem(*ED25519), make_pem(*P256)


def minting(*pems: str) -> MintSettings:
    return MintSettings("rosterd", "rosterd", Secret("".join(pems)), as_jwt=True)


class Mint(Company):
    """A company whose keys are JWTs."""

    def build(self, settings: Any, how: MintSettings | None = None) -> Any:
        """Return the app, minting so."""
        self.settings, how = settings, how or minting(NEW, OLD)
        context = ApiContext(
            self.store, self.vault, settings, self.audit, self._wake, self.stopping, "0.1.0",
            mint=make_mint(how, self.store.now), jwks=public_keys(how),
        )  # fmt: skip
        self.app = build(context)
        return self.app

    def issue(self, user: str, name: str = "laptop", **body: Any) -> Any:
        """Mint a key over HTTP; return the answer."""
        return self.ask("POST", f"/api/governance/users/{user}/virtual-keys", self.token(), body={"name": name, **body})


@pytest.fixture
def mint(tmp_path: Path) -> Iterator[Mint]:
    """A company whose keys are JWTs."""
    company = Mint(tmp_path, SETTINGS)
    yield company
    company.close()


def soon(**delta: float) -> str:
    return (datetime.now(UTC) + timedelta(**delta)).strftime("%Y-%m-%dT%H:%M:%SZ")


def check(value: str, jwks: dict[str, Any]) -> dict[str, Any]:
    """Return the claims, checked as a gateway would that knows nothing but our JWKS."""
    key = jwt.PyJWKSet.from_dict(jwks)[jwt.get_unverified_header(value)["kid"]]
    return jwt.decode(value, key, algorithms=[key.algorithm_name], audience="rosterd", issuer="rosterd", options={"require": ["exp", "iat", "vk"]})


@pytest.mark.parametrize(("how", "algorithm"), [(ED25519, "EdDSA"), (P256, "ES256"), (P256_WITH_PARAMETERS, "ES256"), (RSA, "RS256")])
def test_every_kind_of_key_signs_values_that_our_jwks_checks(how: tuple[str, ...], algorithm: str) -> None:
    """The algorithm follows the kind of key; the value fits what a key value may be; its header says that it is a virtual key."""
    settings, until = minting(make_pem(*how)), now_ms() + 3_600_000
    value = make_mint(settings, now_ms)("user", "key", until)
    header, claims = jwt.get_unverified_header(value), check(value, json.loads(public_keys(settings)))
    assert (header["alg"], header["typ"]) == (algorithm, "vk+jwt")
    assert {name: claims[name] for name in ("iss", "aud", "sub", "vk", "exp")} == {
        "iss": "rosterd", "aud": "rosterd", "sub": "user", "vk": "key", "exp": until // 1000,
    }  # fmt: skip
    assert abs(claims["iat"] - time.time()) < 60
    assert re.fullmatch(r"[A-Za-z0-9._~+/=-]{16,4096}", value)


@pytest.mark.parametrize("how", [ED25519, P256, RSA])
def test_the_jwks_holds_no_private_number(how: tuple[str, ...]) -> None:
    """Each key has its public members, kid, use and alg, and nothing else; the kid is the RFC 7638 thumbprint."""
    (key,) = json.loads(public_keys(minting(make_pem(*how))))["keys"]
    public = {name: value for name, value in key.items() if name not in ("kid", "use", "alg")}
    assert set(public) in ({"kty", "crv", "x"}, {"kty", "crv", "x", "y"}, {"kty", "n", "e"})
    digest = hashlib.sha256(json.dumps(public, sort_keys=True, separators=(",", ":")).encode()).digest()
    assert (key["kid"], key["use"]) == (base64.urlsafe_b64encode(digest).decode().rstrip("="), "sig")


def test_the_thumbprint_is_that_of_rfc_8037() -> None:
    """The key of RFC 8037 appendix A has the kid of its appendix A.3."""
    pem = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n-----END PRIVATE KEY-----\n"
    (key,) = json.loads(public_keys(minting(pem)))["keys"]
    assert (key["x"], key["kid"]) == ("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo", "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k")


@pytest.mark.parametrize(
    ("pem", "said"),
    [
        ("nothing of the kind", r"holds no private key \(PEM\); `openssl genpkey -algorithm ed25519`"),
        (make_pem(*ED25519, "-aes256", "-pass", "pass:hunter2"), "key 1 is encrypted with a pass phrase"),
        (NEW + make_pem("genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:1024"), "key 2 is an RSA key of 1024 bits"),
        (make_pem("ecparam", "-name", "secp384r1", "-genkey"), "key 1 is no Ed25519, P-256 or RSA key"),
        (make_pem("genpkey", "-algorithm", "ed448"), "key 1 is no Ed25519, P-256 or RSA key"),
        ("-----BEGIN PRIVATE KEY-----\nhunter2\n-----END PRIVATE KEY-----\n", "key 1 is no Ed25519, P-256 or RSA key"),
    ],
    ids=["no PEM", "encrypted", "short RSA", "P-384", "Ed448", "broken"],
)
def test_a_key_that_cannot_sign_is_named_without_a_line_of_it(pem: str, said: str) -> None:
    """The mistake says which key and what makes a good one."""
    with pytest.raises(ConfigError, match=said) as caught:
        read_signing_keys(minting(pem))
    assert "hunter2" not in str(caught.value)


def test_no_two_values_are_the_same() -> None:
    """Ed25519 signs the same thing the same way; a rotation within a second must still give another value."""
    make, until = make_mint(minting(NEW), now_ms), now_ms() + 60_000
    assert len({make("user", "key", until) for _ in range(100)}) == 100


def test_without_an_expiry_nothing_is_minted() -> None:
    """A JWT without an end is refused before anything is stored."""
    with pytest.raises(InvalidRequest) as caught:
        make_mint(minting(NEW), now_ms)("user", "key", None)
    assert (caught.value.code, caught.value.param) == ("expiry_required", "expires_at")


def test_a_minted_jwt_works_as_a_bearer_does_in_every_header(mint: Mint) -> None:
    """Authorization, x-bf-vk, x-api-key and x-goog-api-key lead to its user, and our JWKS, which needs no token, checks it."""
    user = mint.add_user("ann@example.com", keys=())
    made = mint.issue(user, expires_at=soon(days=90)).json()["virtual_key"]
    served = mint.ask("GET", "/.well-known/jwks.json")
    assert (served.status_code, served.headers["content-type"]) == (200, "application/jwk-set+json")
    assert served.headers["cache-control"] == "public, max-age=300"
    claims = check(made["value"], served.json())
    assert (claims["sub"], claims["vk"]) == (user, made["id"])
    assert datetime.fromtimestamp(claims["exp"], UTC).strftime("%Y-%m-%dT%H:%M:%SZ") == made["expires_at"]
    for how in ({"authorization": f"Bearer {made['value']}"}, *({name: made["value"]} for name in ("x_bf_vk", "x_api_key", "x_goog_api_key"))):
        answer = mint.ask("GET", ME, **how).json()
        assert [(key["value"], key["is_active"]) for key in answer["virtual_keys"]] == [(made["value"], True)]


def test_every_key_of_the_file_is_published_and_the_first_signs(mint: Mint) -> None:
    """What the older key signed is verifiable as long as that key stands in the file."""
    user = mint.add_user("ann@example.com", keys=())
    mint.build(mint.settings, minting(OLD))
    before = mint.issue(user, "before", expires_at=soon(days=1)).json()["virtual_key"]["value"]
    mint.build(mint.settings, minting(NEW, OLD))
    after = mint.issue(user, "after", expires_at=soon(days=1)).json()["virtual_key"]["value"]
    jwks = mint.ask("GET", "/.well-known/jwks.json").json()
    assert [jwt.get_unverified_header(value)["kid"] for value in (after, before)] == [key["kid"] for key in jwks["keys"]]
    assert check(before, jwks)["vk"] != check(after, jwks)["vk"]


def test_both_formats_live_side_by_side(mint: Mint) -> None:
    """Keys from before the format changed go on working, and the JWTs go on after it changed back; only the JWKS stays."""
    user = mint.add_user("ann@example.com", keys=("default",))
    new = mint.issue(user, expires_at=soon(days=1)).json()["virtual_key"]["value"]
    mint.build(mint.settings, MintSettings("rosterd", "rosterd", Secret(NEW), as_jwt=False))
    third = mint.issue(user, "third").json()["virtual_key"]["value"]
    values = [key["value"] for key in mint.ask("GET", ME, new).json()["virtual_keys"]]
    assert [value[:6] == "sk-bf-" for value in values] == [True, False, True] and values[1:] == [new, third]
    assert all(mint.ask("GET", ME, x_bf_vk=value).status_code == 200 for value in values)
    assert len(mint.ask("GET", "/.well-known/jwks.json").json()["keys"]) == 1


def test_without_a_key_file_the_set_is_empty(company: Company) -> None:
    """Whoever is pointed at the JWKS too early finds a set that verifies nothing, not an error."""
    answer = company.ask("GET", "/.well-known/jwks.json")
    assert (answer.status_code, answer.json()) == (200, {"keys": []})


def test_a_rotated_away_jwt_is_dead(mint: Mint) -> None:
    """Its signature and its exp are still good, and it authenticates nobody; nor can it be imported again."""
    user = mint.add_user("ann@example.com", keys=())
    made = mint.issue(user, expires_at=soon(days=90)).json()["virtual_key"]
    new = mint.ask("POST", f"{KEYS}/{made['id']}/rotate", mint.token()).json()["virtual_key"]
    assert check(made["value"], mint.ask("GET", "/.well-known/jwks.json").json())["vk"] == made["id"]
    assert mint.ask("GET", ME, made["value"]).status_code == 401
    assert mint.ask("GET", ME, new["value"]).status_code == 200 and new["expires_at"] == made["expires_at"]
    assert mint.issue(user, "again", value=made["value"], expires_at=soon(days=1)).status_code == 409


def test_a_jwt_that_was_never_stored_is_nobody(mint: Mint) -> None:
    """Whoever steals the signing key, but not the store, mints values that the lookup does not know."""
    user = mint.add_user("ann@example.com", keys=())
    key = mint.issue(user, expires_at=soon(days=90)).json()["virtual_key"]["id"]
    forged = make_mint(minting(NEW), now_ms)(user, key, now_ms() + 3_600_000)
    assert mint.ask("GET", ME, forged).status_code == 401


def test_a_key_is_no_pass(mint: Mint) -> None:
    """A minted value opens no route of administration; nor does one that names a role, whoever signed it and whatever its typ."""
    mint.add_user("ann@example.com")
    user = mint.add_user("bob@example.com", keys=())
    made = mint.issue(user, expires_at=soon(days=90)).json()["virtual_key"]["value"]
    assert mint.ask("GET", "/api/tokens", made).status_code == 403
    admin = jwt.decode(mint.token(), SECRET.reveal(), algorithms=["HS256"], audience="rosterd")
    signing = read_signing_keys(minting(NEW))[0]
    for typ in ("vk+jwt", "VK+JWT", "application/vk+jwt", "JWT", None):
        for secret, algorithm, kid in ((signing.private, "EdDSA", signing.kid), (SECRET.reveal(), "HS256", None)):
            header = {name: value for name, value in (("typ", typ), ("kid", kid)) if value}
            forged = jwt.encode(admin, secret, algorithm=algorithm, headers=header)
            expected = 200 if algorithm == "HS256" and typ in ("JWT", None) else 401
            assert mint.ask("GET", "/api/tokens", forged).status_code == expected, (typ, algorithm)
            assert mint.look_up("ann@example.com", forged).status_code == expected, (typ, algorithm)


def test_minting_by_hand_needs_an_expiry(mint: Mint) -> None:
    """400 with the parameter at fault, and nothing is stored; the rotation of a key without an expiry needs one too, and takes it."""
    user = mint.add_user("ann@example.com", keys=("default",))
    refused = mint.issue(user)
    assert (refused.status_code, refused.json()["error"]["code"], refused.json()["error"]["param"]) == (400, "expiry_required", "expires_at")
    (key,) = mint.ask("GET", KEYS, mint.token()).json()["virtual_keys"]
    path = f"{KEYS}/{key['id']}/rotate"
    assert mint.ask("POST", path, mint.token()).json()["error"]["code"] == "expiry_required"
    rotated = mint.ask("POST", path, mint.token(), body={"expires_at": (until := soon(days=30))}).json()["virtual_key"]
    assert (rotated["expires_at"], rotated["value"].count(".")) == (until, 2)


def test_no_key_outlives_the_jwt_that_is_its_value(mint: Mint) -> None:
    """An expiry can come earlier, and go back to what the value says; later than that only a rotation brings it."""
    user = mint.add_user("ann@example.com", keys=())
    made = mint.issue(user, expires_at=(end := soon(days=30))).json()["virtual_key"]
    path, admin = f"{KEYS}/{made['id']}", mint.token()
    for later in (soon(days=31), None):
        refused = mint.ask("PUT", path, admin, body={"expires_at": later})
        assert (refused.status_code, refused.json()["error"]["code"]) == (409, "value_ends_first")
    assert mint.ask("PUT", path, admin, body={"expires_at": soon(days=5)}).status_code == 200
    assert mint.ask("PUT", path, admin, body={"expires_at": end}).json()["virtual_key"]["expires_at"] == end
    until = soon(days=90)
    rotated = mint.ask("POST", f"{path}/rotate", admin, body={"expires_at": until, "overlap": "1h"}).json()["virtual_key"]
    assert (rotated["expires_at"], jwt.decode(rotated["value"], options={"verify_signature": False})["exp"]) == (
        until, datetime.fromisoformat(until).timestamp(),
    )  # fmt: skip


def test_an_earlier_expiry_in_the_store_ends_a_value_before_its_exp(mint: Mint) -> None:
    """Both must hold: a key that the store calls expired authenticates nobody, though its JWT is good for a month."""
    user = mint.add_user("ann@example.com", keys=())
    made = mint.issue(user, expires_at=soon(days=30)).json()["virtual_key"]
    mint.change("virtual_key", made["id"], expires_at=now_ms() - 1)
    assert mint.ask("GET", ME, made["value"]).status_code == 401


def test_an_old_value_does_not_outlive_its_own_expiry_in_the_overlap(mint: Mint) -> None:
    """A rotation that gives a later expiry does not lend it to the old value."""
    user = mint.add_user("ann@example.com", keys=())
    made = mint.issue(user, expires_at=(end := soon(days=1))).json()["virtual_key"]
    rotated = mint.ask("POST", f"{KEYS}/{made['id']}/rotate", mint.token(), body={"expires_at": soon(days=90), "overlap": "7d"})
    assert rotated.json()["virtual_key"]["overlap_until"] == end
