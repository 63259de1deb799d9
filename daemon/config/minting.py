"""From `[keys]` to how key values are made: their format, and the private keys of those that are JWTs."""

from __future__ import annotations

from api.settings import ApiSettings, MintSettings
from daemon.config.files import NO_SECRET, Files
from daemon.config.reader import Section
from sync.errors import ConfigError

HOW_TO_MAKE = "`openssl genpkey -algorithm ed25519 -out jwt.key` makes one (`chmod 0600 jwt.key`)"


def build_minting(keys: Section, api: ApiSettings, files: Files, problems: list[str]) -> MintSettings:
    """Return how values are made. With format = "jwt" there must be a key to sign with, and every policy must say when its keys expire."""
    as_jwt = keys["format"] == "jwt"
    if as_jwt and not keys["jwt_key_file"] and "jwt_key_file" not in keys.wrong:
        keys.problem("jwt_key_file", f'is missing, and format = "jwt" signs with it; {HOW_TO_MAKE}')
    for policy in keys.lists["issue"]:
        if as_jwt and policy["expires_after"] is None and "expires_after" not in policy.wrong:
            policy.problem("expires_after", 'is missing; with [keys] format = "jwt" every key needs an expiry')
    pem = files.whole_secret(keys, "jwt_key_file")
    settings = MintSettings(api.issuer, api.audience, pem if pem != NO_SECRET else None, as_jwt)
    if settings.pem is not None:
        from api.auth.minting import read_signing_keys  # cryptography takes its time

        try:
            read_signing_keys(settings)
        except ConfigError as error:
            problems.extend(error.problems)
    return settings
