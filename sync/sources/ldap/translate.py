"""What goes wrong between us and an LDAP server, in the words of sync.errors: the only file that knows ldap3's exceptions."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ldap3.core.exceptions import LDAPExceptionError, LDAPInvalidDnError, LDAPInvalidFilterError
from ldap3.core.results import RESULT_CODES

from sync.errors import SourceError, SourceIncomplete, SourceRefused, SourceUnavailable

LONGEST_TEXT = 300
"""So much of what a server says is repeated."""

_LIMITS = {3: ("time_limit", "time"), 4: ("size_limit", "size"), 11: ("admin_limit", "administrative")}
_BUSY = {51, 52}
_REFUSALS = {
    8: ("stronger_auth_required", "Use tls = \"ldaps\" or \"starttls\": the directory accepts passwords only over TLS."),
    10: ("referral", "Name in `urls` a server that holds the base itself; referrals are never followed."),
    12: ("paging_not_supported", "Let the bind account use the simple paged results control (1.2.840.113556.1.4.319)."),
    13: ("stronger_auth_required", "Use tls = \"ldaps\" or \"starttls\": the directory accepts passwords only over TLS."),
    34: ("invalid_dn", "Correct the DN in the configuration."),
    48: ("stronger_auth_required", "Set bind_dn and password_file: the directory does not answer without."),
    49: ("invalid_credentials", "Correct bind_dn or password_file, or whatever `sasl` binds by."),
    50: ("insufficient_access", "Give the bind account the right to search and read there, and check that its password needs no change."),
}  # fmt: skip


def result_name(code: int) -> str:
    """Return a result code as people know it: `noSuchObject (32)`."""
    return f"{RESULT_CODES.get(code, 'unknown result')} ({code})"


def cut(text: str) -> str:
    """Return what a server said, not too much of it."""
    return text if len(text) <= LONGEST_TEXT else f"{text[:LONGEST_TEXT]}…"


def refusal(asked: str, code: int, text: str) -> SourceError:
    """Return the error for a result that is neither success nor a limit. `asked` begins the sentence: who was asked what."""
    said = f"{asked}: {result_name(code)}{f', “{cut(text)}”' if text else ''}."
    if code in _BUSY:
        return SourceUnavailable("directory_busy", said, "Try again later.")
    name, remedy = _REFUSALS.get(code, ("directory_refused", "See the directory's own log for the reason."))
    return SourceRefused(name, said, remedy)


def base_not_found(server: str, base: str, matched: str) -> SourceRefused:
    """Return the error for a search base that is not there, or that the bind account may not see."""
    known = f" The nearest entry that exists is {matched}." if matched else ""
    return SourceRefused(
        "base_not_found",
        f"{server} does not know the base {base}.{known}",
        "Correct `base`, or let the bind account see it: a directory may hide what an account has no right to.",
    )


def limit_hit(server: str, code: int, received: int, bind_dn: str, lifted: Callable[[str], str]) -> SourceIncomplete | None:
    """Return the error for a read that the server cut off at a limit; None for other results. `lifted` says how an account's are lifted."""
    if code not in _LIMITS:
        return None
    name, kind = _LIMITS[code]
    return SourceIncomplete(
        name,
        f"{server} stopped at its {kind} limit after {received} entries for {bind_dn or 'an anonymous bind'}: {result_name(code)}."
        " Half a directory is not believed; nothing was changed.",
        lifted(bind_dn),
    )


def unreachable(server: str, error: OSError) -> SourceUnavailable:
    """Return the error for a server that could not be connected to."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return SourceUnavailable(
            "tls_not_verified",
            f"{server} shows a certificate that cannot be trusted: {error.verify_message or error}.",
            "Set ca_file to the authority that signed it, and use the host name that the certificate names.",
        )
    if isinstance(error, ssl.SSLError):
        return SourceUnavailable("tls_failed", f"{server} does not complete a TLS handshake: {_reason(error)}.", "Check the port and `tls`.")
    if isinstance(error, socket.gaierror):
        return SourceUnavailable("unknown_host", f"{server}: the host name cannot be resolved ({_reason(error)}).", "Check `urls` and DNS.")
    if isinstance(error, TimeoutError):
        return SourceUnavailable("connect_timeout", f"{server} does not answer within connect_timeout.", "Check the network and the server.")
    return SourceUnavailable("unreachable", f"{server} cannot be reached: {_reason(error)}.", "Check `urls`, the network and the server.")


def broken_off(server: str, error: OSError | None, patience: float) -> SourceUnavailable:
    """Return the error for a connection that ended or fell silent (`error` None = the server closed it)."""
    if isinstance(error, TimeoutError):
        return SourceUnavailable("read_timeout", f"{server} fell silent for {patience:g} s.", "Check the server, or raise read_timeout.")
    how = _reason(error) if error else "it closed the connection"
    return SourceUnavailable("connection_lost", f"{server} broke off: {how}.", "Try again; see the directory's own log.")


def too_slow(server: str, seconds: float) -> SourceUnavailable:
    """Return the error for an answer that trickles in without ever ending."""
    return SourceUnavailable("read_timeout", f"{server} had not finished one answer after {seconds:g} s.", "Check the server, or raise read_timeout.")


def garbled(server: str, why: str) -> SourceUnavailable:
    """Return the error for bytes that are no LDAP."""
    return SourceUnavailable(
        "protocol_error", f"{server} does not speak LDAP: {why}.", "Check that `urls` names an LDAP port and that `tls` fits it."
    )


@contextmanager
def translated(server: str, filter_text: str = "") -> Iterator[None]:
    """Turn what ldap3 raises into SourceErrors; what is already one passes through."""
    try:
        yield
    except SourceError:
        raise
    except LDAPInvalidFilterError as error:
        raise SourceRefused(
            "bad_filter", f"The filter {cut(filter_text)} is malformed: {error}.", "Correct `filter` (RFC 4515), its brackets first."
        ) from error
    except LDAPInvalidDnError as error:
        raise SourceRefused("invalid_dn", f"A DN is malformed: {error}.", "Correct `base` and `bind_dn`.") from error
    except LDAPExceptionError as error:
        raise SourceUnavailable("ldap_failed", f"{server}: {type(error).__name__}.", "Try again; see the directory's own log.") from error


def _reason(error: OSError) -> str:
    return str(error.strerror or error or type(error).__name__).rstrip(".")
