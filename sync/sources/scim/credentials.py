"""How a source shows a provider who it is: not at all, by a bearer token, by a password, or by OAuth 2.0 client credentials."""

from __future__ import annotations

import base64
import time
from typing import Protocol
from urllib.parse import quote_plus

import httpx
import msgspec

from sync.errors import SourceRefused, SourceUnavailable
from sync.settings import ClientCredentials, SourceSettings
from sync.sources.scim.body import read_body
from sync.sources.scim.translate import cut, translated

LARGEST_TOKEN = 64 * 1024
"""Octets of a token endpoint's answer."""
EARLY = 60.0
"""So many seconds before it expires a token is replaced (never before half of its life)."""


class Credential(Protocol):
    """What goes into the `Authorization` header of each request."""

    code: str
    remedy: str

    def header(self) -> str:
        """Return the header's value, "" for none. Raises SourceError."""

    def renew(self) -> bool:
        """Forget what the provider did not accept; return whether there will be another."""


class _Fixed:
    """A header that never changes."""

    def __init__(self, header: str, code: str, remedy: str) -> None:
        self._header, self.code, self.remedy = header, code, remedy

    def header(self) -> str:
        return self._header

    def renew(self) -> bool:
        return False


class _Granted:
    """A token that a token endpoint grants for an id and a secret (RFC 6749 section 4.4), kept until it is about to expire."""

    code = "token_refused"
    remedy = "Check [source.oauth2]: the provider refuses a token that was granted just now. Is the scope right?"

    def __init__(self, client: httpx.Client, granting: ClientCredentials) -> None:
        self._client, self._granting = client, granting
        self._token = ""
        self._until = 0.0

    def header(self) -> str:
        if not self._token or time.monotonic() >= self._until:
            self._token, lives = self._fetch()
            self._until = time.monotonic() + max(lives - EARLY, lives / 2)
        return f"Bearer {self._token}"

    def renew(self) -> bool:
        self._token = ""
        return True

    def _fetch(self) -> tuple[str, float]:
        """Return (token, seconds it lives)."""
        granting = self._granting
        form = {"grant_type": "client_credentials"} | ({"scope": granting.scope} if granting.scope else {})
        basic = _basic(quote_plus(granting.client_id), quote_plus(granting.client_secret.reveal()))  # as section 2.3.1 wants it
        headers = {"Authorization": basic, "Accept": "application/json"}
        with translated(granting.token_url), self._client.stream("POST", granting.token_url, data=form, headers=headers) as answer:
            body = read_body(answer, granting.token_url, LARGEST_TOKEN, self._client.timeout.read or 60.0)
        if answer.status_code >= 500 or answer.status_code == 429:
            raise SourceUnavailable("token_unavailable", f"{granting.token_url} answered {answer.status_code}.", "Try again later.")
        try:
            told = msgspec.json.decode(body, type=dict[str, object])
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            told = {}
        token, lives = told.get("access_token"), told.get("expires_in", 3600)
        if answer.status_code != 200 or not isinstance(token, str) or not _is_token(token):
            why = cut(f"{answer.status_code} {told.get('error', '')} {told.get('error_description', '')}")
            remedy = "Correct [source.oauth2] token_url, client_id, client_secret_file or scope."
            raise SourceRefused("token_refused", f"{granting.token_url} grants no token: {why}.", remedy)
        known = isinstance(lives, int | float | str) and not isinstance(lives, bool) and str(lives).isdigit()
        return token, min(float(str(lives)), 86_400.0) if known else 3600.0


def make_credential(settings: SourceSettings, client: httpx.Client) -> Credential:
    """Return the credential that a source is configured with."""
    if settings.oauth2:
        return _Granted(client, settings.oauth2)
    if settings.token:
        return _Fixed(f"Bearer {settings.token.reveal()}", "token_refused", "Put a new token into token_file: this one is unknown or expired.")
    if settings.username:
        password = settings.password.reveal() if settings.password else ""
        return _Fixed(_basic(settings.username, password), "invalid_credentials", "Correct username or password_file.")
    return _Fixed("", "token_refused", "Set token_file, username and password_file, or [source.oauth2]: the provider answers nobody without.")


def _basic(user: str, password: str) -> str:
    return f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"


def _is_token(text: str) -> bool:
    return bool(text) and text.isascii() and text.isprintable() and " " not in text
