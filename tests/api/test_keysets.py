"""Key sets of other issuers: what is taken from a JWKS or a PEM file, and what never is."""

from __future__ import annotations

import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from hypothesis import given, settings
from hypothesis import strategies as st
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from api.auth.keysets import LARGEST, MOST_KEYS, BadKeySet, parse_jwks, parse_pems
from tests.servers.idp import Idp, jwks

IDP = Idp()
RSA = Idp(kid="rsa", algorithm="RS256")


def small_rsa() -> Any:
    return rsa.generate_private_key(65537, 1024)  # noqa: S505 – that it is refused is the test


def with_keys(*keys: dict[str, Any]) -> str:
    return json.dumps({"keys": keys})


def test_each_key_verifies_what_fits_it() -> None:
    """By kind, curve, `alg`; found by `kid`, else among those without; nothing for an algorithm that does not fit."""
    ed, nameless = Idp(kid="ed", algorithm="EdDSA"), Idp(kid=None)
    keys = parse_jwks(jwks(IDP, RSA, ed, nameless, more=(RSA.jwk | {"kid": "ps", "alg": "PS256"},)))
    assert keys.unusable == ()
    assert {key.kid: sorted(key.algorithms) for key in keys.keys} == {
        "k1": ["ES256"], "rsa": ["PS256", "RS256", "RS384", "RS512"], "ed": ["EdDSA"], None: ["ES256"], "ps": ["PS256"],
    }  # fmt: skip
    assert [key.kid for key in keys.candidates("k1", "ES256")] == ["k1"]
    assert [key.kid for key in keys.candidates("k9", "ES256")] == [None]
    assert [key.kid for key in keys.candidates(None, "ES256")] == ["k1", None]
    assert keys.candidates("k1", "RS256") == keys.candidates("k1", "HS256") == keys.candidates(None, "none") == []
    many = parse_jwks(jwks(*(Idp(kid=f"k{number}") for number in range(40))))
    assert (len(many.keys), len(many.candidates(None, "ES256")), len(many.candidates("k39", "ES256"))) == (40, 16, 1)
    assert [keys.lacks(kid) for kid in ("k1", "k9", None)] == [False, True, False]


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ({"kty": "oct", "kid": "s", "k": "c2VjcmV0"}, "the key 's' is symmetric"),
        (json.loads(ECAlgorithm.to_jwk(IDP.key)) | {"kid": "p"}, "the key 'p' is a private key"),
        (json.loads(RSAAlgorithm.to_jwk(small_rsa().public_key())), "key number 2 has 1024 bits"),
        (IDP.jwk | {"kid": 7}, "key number 2 has a kid that is no text"),
        (IDP.jwk | {"kid": "x" * 300}, "key number 2 has a kid that is no text"),
        (IDP.jwk | {"kid": "q", "x": "AAAA"}, "the key 'q' is malformed"),
        (IDP.jwk | {"kid": "q", "x": 5}, "the key 'q' is malformed"),
        ({"kty": "RSA", "kid": "q", "n": "AQAB"}, "the key 'q' is malformed"),
    ],
)
def test_what_nobody_should_publish_is_left_out_and_named(key: dict[str, Any], said: str) -> None:
    """Symmetric, private, weak and malformed keys verify nothing; the others of the set still do. No key is repeated in words."""
    keys = parse_jwks(with_keys(RSA.jwk, key))
    assert [one.kid for one in keys.keys] == ["rsa"]
    (told,) = keys.unusable
    assert told.startswith(said)
    assert not any(str(value) in told for name, value in key.items() if name in "dnxyk")


OTHER_USES = [
    {"use": "enc"}, {"key_ops": ["sign"]}, {"key_ops": "verify"}, {"alg": "RSA-OAEP"}, {"alg": "HS256"}, {"alg": "none"},
    {"kty": "AKP"}, {"crv": "P-521"},
]  # fmt: skip


@pytest.mark.parametrize("changed", OTHER_USES)
def test_keys_for_something_else_are_passed_over(changed: dict[str, Any]) -> None:
    """An issuer may publish those too; they verify nothing here."""
    keys = parse_jwks(with_keys(RSA.jwk, IDP.jwk | changed))
    assert ([one.kid for one in keys.keys], keys.unusable) == (["rsa"], ())
    with pytest.raises(BadKeySet, match="holds no key that verifies"):
        parse_jwks(with_keys(IDP.jwk | changed))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is no JWKS"),
        ("<html>", "is no JWKS"),
        ("[]", "is no JWKS"),
        ("{}", "is no JWKS"),
        ('{"keys": {}}', "no list"),
        ('{"keys": [1]}', "no list"),
        ('{"keys": []}', "holds no key"),
        ('{"keys": [], "keys": []}', "no name twice"),
        ('{"keys": [{"kty": "RSA", "kty": "oct"}]}', "no name twice"),
        ("[" * 200_000, "is no JWKS"),
        (" " * (LARGEST + 1), "is larger than 256 KiB"),
        (with_keys(*[{"kty": "x"}] * (MOST_KEYS + 1)), "holds more than 64 keys"),
        (with_keys(IDP.jwk, RSA.jwk | {"kid": "k1"}), "holds two keys with the same kid"),
    ],
)
def test_what_is_no_key_set_is_refused_whole(text: str, said: str) -> None:
    """Garbage, too much of it, or a `kid` that means two keys."""
    with pytest.raises(BadKeySet, match=said):
        parse_jwks(text)


def test_pem_files_hold_one_public_key_each() -> None:
    """RSA, EC and Ed25519; a private key, a certificate, two keys, a weak one or something else is refused with what to do."""
    ed = Idp(algorithm="EdDSA")
    assert [sorted(key.algorithms)[0] for key in parse_pems([IDP.pem, RSA.pem, ed.pem]).keys] == ["ES256", "PS256", "EdDSA"]
    traditional = IDP.key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()).decode()
    for pem, said in (
        (IDP.private_pem, "private key"),
        (traditional, "private key"),
        (IDP.pem + IDP.private_pem, "private key"),
        ("-----BEGIN CERTIFICATE-----\n", "is a certificate"),
        (IDP.pem + RSA.pem, "is not one public key"),
        ("ssh-rsa AAAA", "is not one public key"),
        (IDP.pem.replace("M", "A", 3), "holds no RSA, EC or Ed25519 key"),
    ):
        with pytest.raises(BadKeySet, match=said) as caught:
            parse_pems([pem])
        assert IDP.private_pem.splitlines()[1] not in str(caught.value)
    weak = small_rsa().public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    assert parse_pems([weak]).unusable == ("key number 1 has 1024 bits; RSA keys have 2048 to 8192",)
    curve = ec.generate_private_key(ec.SECP521R1()).public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    with pytest.raises(BadKeySet, match="holds no key that verifies"):
        parse_pems([curve])


_VALUE = st.recursive(st.none() | st.integers() | st.text(max_size=20), lambda inner: st.lists(inner, max_size=3), max_leaves=4)


@settings(max_examples=300, deadline=None)
@given(changed=st.dictionaries(st.sampled_from(["kty", "crv", "x", "y", "n", "e", "kid", "alg", "use", "key_ops", "d", "k"]), _VALUE, max_size=4))
def test_no_key_breaks_anything(changed: dict[str, Any]) -> None:
    """Whatever an issuer publishes is a set, or refused as none."""
    for good in (IDP.jwk, RSA.jwk):
        try:
            parse_jwks(with_keys(good | changed))
        except BadKeySet:
            continue
