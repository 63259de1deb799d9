"""What goes wrong between us and a SCIM provider, in the words of sync.errors: the only file that knows httpx's exceptions."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager

import httpx

from sync.errors import SourceError, SourceRefused, SourceUnavailable

LONGEST_TEXT = 300
"""So much of what a provider says is repeated."""


def cut(text: str) -> str:
    """Return what a provider said on one line, not too much of it."""
    line = " ".join(text.split())
    return line if len(line) <= LONGEST_TEXT else f"{line[:LONGEST_TEXT]}…"


@contextmanager
def translated(url: str) -> Iterator[None]:
    """Turn what httpx raises while it talks to `url` into a SourceError."""
    try:
        yield
    except httpx.InvalidURL as error:
        raise SourceRefused("bad_url", f"{url} is no URL: {error}.", "Correct `url` in the configuration.") from error
    except httpx.ConnectTimeout as error:
        raise SourceUnavailable("connect_timeout", f"{url} did not answer in time.", "Check the network, or raise connect_timeout.") from error
    except httpx.ConnectError as error:
        raise _unconnected(url, error) from error
    except httpx.TimeoutException as error:
        raise _silent(url) from error
    except httpx.RequestError as error:
        raise SourceUnavailable("connection_lost", f"{url} broke off its answer: {error}.", "See the provider's own log.") from error


def _silent(url: str) -> SourceUnavailable:
    return SourceUnavailable("read_timeout", f"{url} fell silent in the middle of an answer.", "See the provider's own log, or raise read_timeout.")


def endless(url: str) -> SourceUnavailable:
    """Return the error of an answer that takes longer than any should."""
    return SourceUnavailable("read_timeout", f"{url} took ten times read_timeout for one answer.", "See the provider's own log.")


def _unconnected(url: str, error: BaseException) -> SourceError:
    causes = list(_causes(error))
    for cause in causes:
        if isinstance(cause, ssl.SSLCertVerificationError):
            why = f"The certificate of {url} is not good: {cause.verify_message}."
            return SourceUnavailable("tls_not_verified", why, "Set ca_file to the authority that signed it, and use its host name in `url`.")
        if isinstance(cause, ssl.SSLError):
            return SourceUnavailable("tls_failed", f"TLS with {url} failed: {cause.reason or cause}.", "Check that the port speaks TLS.")
        if isinstance(cause, socket.gaierror):
            return SourceUnavailable(
                "unknown_host", f"The host of {url} is not known: {cause.strerror}.", "Correct `url`, or the DNS of this machine."
            )
    return SourceUnavailable("unreachable", f"{url} cannot be connected to: {causes[-1]}.", "Check `url`, the network, and that the provider runs.")


def _causes(error: BaseException) -> Iterator[BaseException]:
    seen: BaseException | None = error
    while seen is not None:
        yield seen
        seen = seen.__cause__ or seen.__context__


def tls_context(ca_file: str | None) -> ssl.SSLContext:
    """Return how certificates are verified: by the system's authorities, or by those of one file. Raises SourceRefused."""
    try:
        return ssl.create_default_context(cafile=ca_file)
    except OSError as error:
        raise SourceRefused("tls_files", f"ca_file {ca_file} cannot be used: {error}.", "It must hold certificates in PEM.") from error
