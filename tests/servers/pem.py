"""Private keys as an operator makes them: with the openssl command."""

from __future__ import annotations

import subprocess

ED25519 = ("genpkey", "-algorithm", "ed25519")
P256 = ("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256")
P256_WITH_PARAMETERS = ("ecparam", "-name", "prime256v1", "-genkey")
RSA = ("genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048")


def make_pem(*arguments: str) -> str:
    """Return what `openssl ARGUMENTS` writes: a private key as PEM."""
    return subprocess.run(["openssl", *arguments], check=True, capture_output=True, text=True).stdout
