"""From `[[webhook]]` tables to their settings."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urlsplit

from daemon.config.files import NO_SECRET, Files
from daemon.config.reader import Section
from daemon.config.secretfiles import several_lines
from daemon.config.settings import WebhookSettings

LEAST_SECRET = 32
"""Octets: as many as the hash has that signs with it (RFC 2104 section 3)."""

_LOOPBACK = ("localhost", "127.0.0.1", "::1")


def build_webhooks(sections: Sequence[Section], files: Files) -> tuple[WebhookSettings, ...]:
    """Return the receivers; two of them cannot have the same URL."""
    built: list[WebhookSettings] = []
    for section in sections:
        url = files.secret(section, "url_file") or NO_SECRET
        secret = files.several(section, "secret_file", lambda path: several_lines(path, least=LEAST_SECRET))
        if url.reveal() and not _is_good(url.reveal()):
            section.problem("url_file", "must hold an https:// URL (http:// only to this machine), without a user name")
        if url.reveal() and any(url == other.url for other in built):
            section.problem("url_file", "holds the URL of another [[webhook]]; one table can name several events")
        built.append(WebhookSettings(url, secret[0] if secret else NO_SECRET, frozenset(section["events"])))
    return tuple(built)


def _is_good(url: str) -> bool:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return False
    if parts.username is not None or not parts.hostname or not url.isprintable() or " " in url:
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _LOOPBACK)
