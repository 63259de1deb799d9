"""One line to one provider: GET requests with a credential, repeated with patience, never redirected, never larger than they should be."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

import httpx

from sync.errors import SourceError, SourceRefused, SourceUnavailable
from sync.settings import SourceSettings
from sync.sources.scim.answers import detail_of
from sync.sources.scim.body import read_body
from sync.sources.scim.credentials import make_credential
from sync.sources.scim.patience import LOST, Patience
from sync.sources.scim.translate import tls_context, translated

LARGEST = 32 * 1024 * 1024
"""Octets of one answer."""
_ACCEPT = ("application/scim+json, application/json;q=0.9", "application/json")
"""What we take; the second for those who know only that (RFC 7644 section 3.1 has them know the first)."""
_AGAIN = (429, 502, 503, 504)
_TELLING = (200, 400, 404, 410, 501)
"""What whoever asks has to understand."""
OF_ONE_ANSWER = frozenset(("provider_failed", "provider_refused", "insufficient_access", "redirected", "answer_too_big", "malformed_answer"))
"""Errors that may concern the one thing asked for, where the provider still answers about others."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the provider said."""

    url: str
    status: int
    body: bytes
    content_type: str = ""


class Line:
    """Asks one provider. Close it."""

    def __init__(self, settings: SourceSettings) -> None:
        self.url = settings.urls[0].rstrip("/")
        self._read_timeout = settings.read_timeout
        timeout = httpx.Timeout(settings.read_timeout, connect=settings.connect_timeout)
        verify = tls_context(str(settings.ca_file) if settings.ca_file else None) if uses_tls(settings) else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        headers = {"Accept-Encoding": "identity", "User-Agent": "rosterd"}
        self._client = httpx.Client(verify=verify, timeout=timeout, follow_redirects=False, trust_env=False, headers=headers)
        self._credential = make_credential(settings, self._client)
        self._patience = Patience()
        self._accepts = list(_ACCEPT)
        self.certificate: dict[str, Any] = {}
        self.date = ""
        """The provider's clock when it answered last (RFC 9110 section 6.6.1), "" if it does not tell."""

    def close(self) -> None:
        """Hang up."""
        self._client.close()

    def ask(self, path: str, query: Mapping[str, str] | None = None) -> Answer:
        """Return the answer to GET `path` (its segments encoded already), with one of the statuses 200, 400, 404, 410, 501.

        Raises SourceUnavailable when the provider cannot answer now, SourceRefused for every other status.
        """
        url = f"{self.url}/{path}" + (f"?{urlencode(query, quote_via=quote)}" if query else "")
        answer = self._ask_until_told(url)
        if answer.status in (400, 406) and len(self._accepts) > 1:
            first = self._accepts.pop(0)
            second = self._ask_until_told(url)
            if second.status == 200:
                answer = second
            else:
                self._accepts = [first]
        elif answer.status == 200:
            del self._accepts[1:]
        if answer.status in _TELLING:
            return answer
        raise _refusal(answer)

    def _ask_until_told(self, url: str) -> Answer:
        renewed, attempt = False, 0
        while True:
            try:
                answer, retry_after = self._ask_once(url)
            except SourceUnavailable as error:
                if error.code != "connection_lost" or not self._patience.wait(attempt, most=LOST):
                    raise
                attempt += 1
                continue
            if answer.status == 401:
                if renewed or not self._credential.renew():
                    raise self._unauthorised(answer)
                renewed = True
            elif answer.status not in _AGAIN:
                return answer
            elif self._patience.wait(attempt, retry_after):
                attempt += 1
            else:
                raise _busy(answer, retry_after)

    def _ask_once(self, url: str) -> tuple[Answer, str]:
        headers = {"Accept": self._accepts[0]}
        if shown := self._credential.header():
            headers["Authorization"] = shown
        with translated(self.url), self._client.stream("GET", url, headers=headers) as answer:
            self._note_certificate(answer)
            body = read_body(answer, self.url, LARGEST, self._read_timeout)
        told = answer.headers
        self.date = told.get("date", "")
        return Answer(url, answer.status_code, body, told.get("content-type", "")), told.get("retry-after", "")

    def _note_certificate(self, answer: httpx.Response) -> None:
        stream = answer.extensions.get("network_stream")
        tls = stream.get_extra_info("ssl_object") if stream and not self.certificate else None
        if tls is not None:
            self.certificate = tls.getpeercert() or {}

    def _unauthorised(self, answer: Answer) -> SourceRefused:
        return SourceRefused(self._credential.code, f"{self.url} answered 401{_said(answer)}.", self._credential.remedy)


def uses_tls(settings: SourceSettings) -> bool:
    """Tell whether anything of a source is asked over TLS; reading the system's authorities takes its time."""
    return any(url.startswith("https:") for url in (*settings.urls, *([settings.oauth2.token_url] if settings.oauth2 else ())))


def _busy(answer: Answer, retry_after: str) -> SourceUnavailable:
    asked = f" and asks to wait ({retry_after[:40]})" if retry_after else ""
    why = f"{answer.url} answers {answer.status}{asked}, longer than one run waits{_said(answer)}."
    return SourceUnavailable("provider_busy", why, "The next run tries again; if it stays so, sync less often or ask for a higher rate limit.")


def _refusal(answer: Answer) -> SourceError:
    said = f"{answer.url} answered {answer.status}{_said(answer)}."
    if 300 <= answer.status < 400:
        return SourceRefused("redirected", f"{said} Redirects are never followed.", "Set `url` to where the provider itself answers.")
    if answer.status == 403:
        return SourceRefused("insufficient_access", said, "Give the credential the right to read users and groups.")
    if answer.status >= 500:
        return SourceUnavailable("provider_failed", said, "See the provider's own log.")
    return SourceRefused("provider_refused", said, "See the provider's own log.")


def _said(answer: Answer) -> str:
    detail = detail_of(answer.body)
    return f": {detail}" if detail else ""
