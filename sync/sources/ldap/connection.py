"""One bound connection to one server of a directory, and the search everything else is made of."""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import urlsplit

import ldap3

from sync.errors import SourceError, SourceRefused
from sync.settings import SourceSettings
from sync.sources.ldap import translate
from sync.sources.ldap.ber import Done, Entry
from sync.sources.ldap.binding import bind, options_of
from sync.sources.ldap.wire import BIGGEST_ENTRY, Address, Wire

_START_TLS = "1.3.6.1.4.1.1466.20037"
_SCOPES = {"entry": ldap3.BASE, "subtree": ldap3.SUBTREE}


@dataclass(frozen=True, slots=True)
class Search:
    """What to ask: below `base` (or only it), who matches `filter`, and which attributes of theirs.
    `page_size` 0 = all at once; `biggest` = octets of an entry that are read; `controls` = (OID, criticality, value) to send along; `overhear` is
    told what comes beside the entries, and `recognise` asked whether an entry need not be decoded (see Wire)."""

    base: str
    filter: str
    attributes: Sequence[str]
    scope: Literal["entry", "subtree"] = "subtree"
    page_size: int = 0
    biggest: int = BIGGEST_ENTRY
    controls: Sequence[tuple[str, bool, bytes | None]] = ()
    overhear: Callable[[int, bytes], None] | None = None
    recognise: Callable[[bytes], bool] | None = None


class Line:
    """An open, bound connection. Methods raise SourceError and nothing else. `used_at` is the clock reading of the last answer."""

    def __init__(self, settings: SourceSettings, url: str) -> None:
        self.url = url
        self.settings = settings
        self.references = 0
        self.bound_as = settings.bind_dn
        """The bind account, "" when anonymous or not known: its DN, on Active Directory perhaps its principal name."""
        self.used_at = time.monotonic()
        self._address = address_of(settings, url)
        self._connection, self._wire = _connection(settings, self._address)
        try:
            with translate.translated(url):
                self._open()
        except BaseException:
            self.close()
            raise

    def _open(self) -> None:
        self._wire.open()
        if self.settings.tls == "starttls":
            self._connection.extended(_START_TLS)
            result = self._connection.result
            if result["result"]:
                raise translate.refusal(f"{self.url} refuses StartTLS", result["result"], result["message"])
            try:
                self._wire.secure(tls_context(self.settings))
            except OSError as error:
                raise translate.unreachable(self.url, error) from error
        self.bound_as = bind(self._connection, self.settings, self.url, self._address.host)

    @property
    def is_open(self) -> bool:
        """Whether the connection still stands, as far as is known."""
        return not self._connection.closed

    @property
    def certificate(self) -> dict[str, Any]:
        """The verified certificate of the server, as ssl.SSLSocket.getpeercert() has it; {} without TLS."""
        sock = self._connection.socket
        return (sock.getpeercert() or {}) if isinstance(sock, ssl.SSLSocket) else {}

    def search(self, asked: Search, take: Callable[[Entry], None], cookie: bytes | None = None) -> Done:
        """Send one search, hand each entry to `take` as it arrives, and return how it ended, whatever that is."""
        wire, paging = self._wire, {}
        wire.take, wire.overhear, wire.recognise, wire.biggest_entry = take, asked.overhear, asked.recognise, asked.biggest
        if asked.page_size:
            paging = {"paged_size": asked.page_size, "paged_criticality": True, "paged_cookie": cookie}
        with translate.translated(self.url, asked.filter):
            self._connection.search(
                asked.base,
                asked.filter,
                _SCOPES[asked.scope],
                dereference_aliases=ldap3.DEREF_NEVER,
                attributes=list(asked.attributes),
                auto_escape=False,
                controls=list(asked.controls) or None,
                **paging,
            )
        self.references += wire.references
        self.used_at = time.monotonic()
        if wire.done is None:
            raise translate.garbled(self.url, "a search ended without a result")
        return wire.done

    def fetch(self, asked: Search) -> tuple[list[Entry], Done]:
        """Send one search whose answer is known to be short; return its entries and how it ended."""
        entries: list[Entry] = []
        return entries, self.search(asked, entries.append)

    def close(self) -> None:
        """End the conversation; never raises."""
        try:
            self._connection.unbind()
        except (SourceError, OSError, ldap3.core.exceptions.LDAPExceptionError):
            self._wire.close()


def _connection(settings: SourceSettings, address: Address) -> tuple[Any, Wire]:
    """Return an ldap3 connection that is not open yet, with our wire in it."""
    server = ldap3.Server(address.host, address.port, get_info=ldap3.NONE, allowed_referral_hosts=[], connect_timeout=address.connect_timeout)
    connection = ldap3.Connection(
        server,
        auto_referrals=False,
        auto_range=False,
        check_names=False,
        raise_exceptions=False,
        return_empty_attributes=False,
        receive_timeout=address.read_timeout,
        read_only=True,
        **options_of(settings),
    )
    wire = Wire(connection, address)
    connection.strategy = wire
    connection.send, connection.open, connection.get_response = wire.send, wire.open, wire.get_response
    connection.post_send_search, connection.post_send_single_response = wire.post_send_search, wire.post_send_single_response
    return connection, wire


def address_of(settings: SourceSettings, url: str) -> Address:
    """Return where `url` points. Raises SourceError when it points nowhere."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise SourceRefused("bad_url", f"{url} is no URL of an LDAP server: {error}.", "Correct `urls`.") from error
    if parts.username is not None or parts.password is not None:
        raise SourceRefused("bad_url", f"A URL in `urls` holds a user name or a password, before {host}.", "Write them in bind_dn and password_file.")
    if parts.scheme not in ("ldap", "ldaps") or not host or parts.path.strip("/") or parts.query:
        raise SourceRefused("bad_url", f"{url} is no URL of an LDAP server.", "Write ldaps://host[:port] or ldap://host[:port].")
    secure = settings.tls == "ldaps"
    context = tls_context(settings) if secure else None
    return Address(url, host, port or (636 if secure else 389), context, settings.connect_timeout, settings.read_timeout)


def tls_context(settings: SourceSettings) -> ssl.SSLContext:
    """Return a context that verifies the certificate and the host name, against `ca_file` or the system's authorities."""
    try:
        context = ssl.create_default_context(cafile=str(settings.ca_file) if settings.ca_file else None)
        if settings.cert_file:
            context.load_cert_chain(settings.cert_file, settings.key_file)
    except OSError as error:
        files = ", ".join(str(path) for path in (settings.ca_file, settings.cert_file, settings.key_file) if path)
        raise SourceRefused("tls_files", f"The TLS files cannot be used ({files}): {error}.", "Correct ca_file, cert_file or key_file.") from error
    return context
