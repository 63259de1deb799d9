"""Keys that are JWTs in a running daemon: minted by its child, by commands and by the API, and checked by somebody who has only its JWKS."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jwt
import pytest

from daemon.demo.responder import Responder
from tests.daemon.installation import Installation, Running, wait_for
from tests.daemon.test_serve_keys import ADA, LOOKUP, ME, reload, rosterd
from tests.servers.pem import ED25519, RSA, make_pem


@pytest.fixture
def installation(tmp_path: Path) -> Iterator[Installation]:
    """Return a configured rosterd that reads the demo's people and issues JWTs."""
    with Responder() as responder:
        made = Installation(tmp_path, responder)
        as_jwt(made)
        made.secret("jwt.key", make_pem(*ED25519))
        yield made


def as_jwt(installation: Installation) -> None:
    installation.configure()
    text = installation.config.read_text().replace("[keys]\n", '[keys]\nformat = "jwt"\njwt_key_file = "jwt.key"\n')
    installation.config.write_text(text.replace('name = "default"\n', 'name = "default"\nexpires_after = "180d"\n', 1))


def check(daemon: Running, value: str) -> dict[str, Any]:
    """Return the claims of a key, checked with what the daemon publishes to everybody."""
    jwks = jwt.PyJWKSet.from_dict(daemon.get("/.well-known/jwks.json").json())
    key = jwks[jwt.get_unverified_header(value)["kid"]]
    return jwt.decode(value, key, algorithms=[key.algorithm_name], audience="rosterd", issuer="rosterd")


def shown(daemon: Running, bearer: dict[str, str]) -> tuple[str, list[Any]]:
    found = daemon.get(LOOKUP, bearer).json()
    return found["user_id"], found["virtual_keys"]


def test_whoever_mints_the_value_is_a_jwt_that_the_jwks_checks(installation: Installation) -> None:
    """A sync in a child, `keys issue`, the API and `keys rotate`: each value names its user and its key, and works as a bearer."""
    with installation.serve().ready() as daemon:
        installation.ended_runs(1)
        lookup, admin = installation.token("lookup"), installation.token("admin")
        user, (first,) = shown(daemon, lookup)
        issued = rosterd(installation, "keys", "issue", ADA, "--name", "by hand", "--expires", "90d")
        assert issued.returncode == 0, issued
        body = {"name": "by http", "expires_at": "2039-01-01T00:00:00Z"}
        minted = daemon.post(f"/api/governance/users/{user}/virtual-keys", admin, body).json()["virtual_key"]["value"]
        rotated = rosterd(installation, "keys", "rotate", first["id"]).stdout.strip()
        values = {key["value"] for key in shown(daemon, lookup)[1]}
        assert values == {issued.stdout.strip(), minted, rotated}
        for key in shown(daemon, lookup)[1]:
            assert (check(daemon, key["value"])["sub"], check(daemon, key["value"])["vk"]) == (user, key["id"])
            assert daemon.get(ME, {"x-goog-api-key": key["value"]}).json()["user_id"] == user
        assert check(daemon, first["value"])["vk"] == first["id"] and daemon.get(ME, {"x-bf-vk": first["value"]}).status_code == 401
        assert daemon.end() == 0
    assert not any(value.split(".")[2] in daemon.log + (installation.folder / "audit.jsonl").read_text() for value in values)


def test_what_a_command_cannot_mint_is_told_with_the_remedy(installation: Installation) -> None:
    """No expiry, no JWT: exit status 2, nothing stored; an expiry after that of the value is refused until a rotation brings it."""
    assert rosterd(installation, "sync").returncode == 0
    checked = rosterd(installation, "check", "--offline").stdout
    assert "1 key, the first, " in checked and "(EdDSA), signs new values" in checked
    refused = rosterd(installation, "keys", "issue", ADA, "--name", "endless")
    assert (refused.returncode, "--expires" in refused.stderr) == (2, True)
    value = rosterd(installation, "keys", "issue", ADA, "--name", "short", "--expires", "1d")
    key = jwt.decode(value.stdout.strip(), options={"verify_signature": False})["vk"]
    late = rosterd(installation, "keys", "expire", key, "90d")
    assert (late.returncode, "Rotate the key" in late.stderr) == (6, True)
    assert rosterd(installation, "keys", "expire", key, "1h").returncode == 0
    rotated = rosterd(installation, "keys", "rotate", key, "--expires", "90d").stdout.strip()
    claims = jwt.decode(rotated, options={"verify_signature": False})
    assert (claims["exp"] - claims["iat"]) // 86_400 in (89, 90)


def test_a_signing_key_is_rotated_under_a_running_daemon(installation: Installation) -> None:
    """With a new key on top of the file, and a reload, new values are signed by it, and the same JWKS checks the old ones."""
    with installation.serve().ready() as daemon:
        installation.ended_runs(1)
        lookup, admin = installation.token("lookup"), installation.token("admin")
        user, (first,) = shown(daemon, lookup)
        installation.secret("jwt.key", make_pem(*RSA) + (installation.folder / "jwt.key").read_text())
        reload(daemon)
        body = {"name": "second", "expires_at": "2039-01-01T00:00:00Z"}
        second = daemon.post(f"/api/governance/users/{user}/virtual-keys", admin, body).json()["virtual_key"]["value"]
        assert jwt.get_unverified_header(second)["alg"] == "RS256"
        assert [check(daemon, value)["sub"] for value in (first["value"], second)] == [user, user]
        assert daemon.get(ME, {"x-api-key": first["value"]}).status_code == 200
        installation.secret("jwt.key", "broken")
        daemon.tell(1)
        wait_for(lambda: "holds no private key" in daemon.log, "the refusal")
        assert len(daemon.get("/.well-known/jwks.json").json()["keys"]) == 2
        assert daemon.end() == 0


def test_the_day_a_token_is_stolen_keys_from_before_get_an_expiry(installation: Installation) -> None:
    """`rotate --read-by` gives JWTs; a key without an expiry is named until `--expires` gives it one, and one that has its own keeps it."""
    installation.configure()
    with installation.serve().ready() as daemon:
        installation.ended_runs(1)
        lookup = installation.token("lookup")
        assert rosterd(installation, "keys", "issue", ADA, "--name", "soon", "--expires", "5d").returncode == 0
        shown(daemon, lookup)
        jti = jwt.decode(lookup["Authorization"].removeprefix("Bearer "), options={"verify_signature": False})["jti"]
        assert daemon.end() == 0
    as_jwt(installation)
    arguments = ("keys", "rotate", "--read-by", jti, "--since", "1d")
    named = rosterd(installation, *arguments)
    assert (named.returncode, "1 key got a new value" in named.stdout, "--expires" in named.stderr) == (6, True, True), named
    done = rosterd(installation, *arguments, "--expires", "90d", "--json")
    assert done.returncode == 0, done
    with installation.serve().ready() as daemon:
        ends = sorted((claims["exp"] - claims["iat"]) // 86_400 for claims in (check(daemon, key["value"]) for key in shown(daemon, lookup)[1]))
        assert ends[0] in (4, 5) and ends[1] in (89, 90)
