"""A run mints with whatever it is handed: keys that are JWTs from their issue through their renewal, beside keys that are not."""

from __future__ import annotations

from typing import Any

import jwt

from api.auth.minting import make_mint
from api.settings import MintSettings
from sync.settings import Policy, Secret
from tests.servers.pem import ED25519, make_pem
from tests.sync.test_keys import expiring, key_id, value_of, works
from tests.sync.world import DAY, START, World


def as_jwt(world: World) -> None:
    """Let syncs mint JWTs from now on; every policy must say then when its keys expire."""
    world.mint = make_mint(MintSettings("rosterd", "rosterd", Secret(make_pem(*ED25519)), as_jwt=True), world.clock)


def claims_of(value: str) -> dict[str, Any]:
    return jwt.decode(value, options={"verify_signature": False})


def test_a_policy_key_is_minted_and_renewed_as_a_jwt_of_its_user_and_key(world: World) -> None:
    """`sub`, `vk` and `exp` are those of the row, and after the renewal those of the row as it is then; both values work until the first ends."""
    as_jwt(world)
    expiring(world)
    world.directory.add("ann", "ann@corp.example")
    world.sync()
    first, key, user = value_of(world), key_id(world), world.lookup("ann@corp.example").user_id
    assert {name: claims_of(first)[name] for name in ("sub", "vk", "iat", "exp")} == {
        "sub": user, "vk": key, "iat": START // 1000, "exp": (START + 90 * DAY) // 1000,
    }  # fmt: skip
    world.clock.forward(days=61)
    world.sync()
    second = value_of(world)
    assert (claims_of(second)["vk"], claims_of(second)["exp"]) == (key, (START + 151 * DAY) // 1000)
    assert works(world, first) and works(world, second)
    world.clock.forward(days=30)
    assert not works(world, first) and works(world, second)


def test_keys_from_before_the_format_changed_go_on(world: World) -> None:
    """Nobody's value changes with the format; whoever joins later, and another policy, get JWTs."""
    expiring(world)
    world.directory.add("ann", "ann@corp.example")
    world.sync()
    old = value_of(world)
    as_jwt(world)
    world.policies = (*world.policies, Policy("second", expires_after=90 * 86_400))
    world.declare()
    world.directory.add("bob", "bob@corp.example")
    world.sync()
    (kept, _), (added, _) = world.keys("ann@corp.example")
    assert kept == old and works(world, old) and claims_of(added)["sub"] == world.lookup("ann@corp.example").user_id
    assert [value.count(".") for value, _ in world.keys("bob@corp.example")] == [2, 2]


def test_a_dry_run_with_jwts_gives_nothing_out(world: World) -> None:
    """What it minted to see whether it could is nowhere."""
    as_jwt(world)
    expiring(world)
    world.directory.add("ann", "ann@corp.example")
    assert world.sync(dry_run=True).counts["keys_issued"] == 1
    assert world.lookup("ann@corp.example").outcome == "user_not_found"
