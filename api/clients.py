"""Which address a request comes from, and which names it may be sent to."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from functools import lru_cache
from urllib.parse import urlsplit

from api.settings import ApiSettings

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Headers = Iterable[tuple[bytes, bytes]]
_PASSED_ON = frozenset({b"x-forwarded-for", b"forwarded", b"x-forwarded-host", b"x-forwarded-proto", b"x-real-ip", b"via"})
"""Headers that only a proxy sends."""


class Clients:
    """Finds the client's address: the peer's, or what a trusted proxy says in X-Forwarded-For.

    A peer on the unix socket has no address; whoever may open the socket is trusted like a proxy.
    """

    def __init__(self, settings: ApiSettings) -> None:
        self._trusted = tuple(ipaddress.ip_network(one, strict=False) for one in settings.trusted_proxies)
        self._is_trusted = lru_cache(1024)(self._look_up)

    def address(self, peer: str, headers: Headers) -> str:
        """Return the client's address in its shortest spelling, "" for a peer on the unix socket."""
        if not self.is_proxy(peer):
            return _plain(peer)
        hops = [hop.strip() for name, value in headers if name == b"x-forwarded-for" for hop in value.decode("latin-1").split(",")]
        client = _plain(peer)
        for hop in reversed(hops):
            address = parse_address(hop)
            if address is None:
                break
            client = str(address)
            if not self._is_trusted(client):
                break
        return client

    def is_proxy(self, peer: str) -> bool:
        """Tell whether a peer is believed what it says of others: on the unix socket, or named in trusted_proxies."""
        return not peer or (bool(self._trusted) and self._is_trusted(peer))

    def is_local(self, peer: str, headers: Headers) -> bool:
        """Tell whether the request comes from this machine and was not passed on by anybody: a proxy's own loopback is not ours."""
        address = parse_address(peer)
        at_home = not peer or (address is not None and address.is_loopback)
        return at_home and not any(name in _PASSED_ON for name, _ in headers)

    def _look_up(self, text: str) -> bool:
        address = parse_address(text)
        return address is not None and any(address in network for network in self._trusted if network.version == address.version)


class HostNames:
    """The Host names that rosterd answers to; anything else may be a name bound to our address to fool a browser (DNS rebinding)."""

    def __init__(self, settings: ApiSettings) -> None:
        public = urlsplit(settings.public_url)
        names = {"localhost", settings.host, *settings.hosts, public.hostname or ""}
        self._names = {name.strip("[]").rstrip(".").lower() for name in names} - {"", "0.0.0.0", "::"}  # noqa: S104
        self._public = f"{public.scheme}://{public.netloc}".lower() if public.netloc else ""
        self.accepts = lru_cache(256)(self._accepts)
        """accepts(host header) tells whether the name before the port is one of ours, or a loopback address."""

    def is_own_origin(self, origin: bytes, host: bytes) -> bool:
        """Tell whether a write with this Origin comes from a page of ours: public_url's, or the very name that was asked."""
        text, asked = origin.decode("latin-1").lower(), host.decode("latin-1").lower()
        return text in (f"http://{asked}", f"https://{asked}") or (bool(self._public) and text == self._public)

    def _accepts(self, header: bytes) -> bool:
        name = _host_name(header.decode("latin-1").lower())
        address = parse_address(name)
        return name in self._names or (address is not None and address.is_loopback)


@lru_cache(4096)
def neighbourhood(client: str) -> str:
    """Return what stands for a client when clients are counted: its address, of an IPv6 one the /64, which one machine may own whole."""
    address = parse_address(client)
    return f"{int(address) >> 64:x}::" if address is not None and address.version == 6 else client


def parse_address(text: str) -> Address | None:
    """Return the address, an IPv4 address written as IPv6 as IPv4; None for what is no address."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


@lru_cache(4096)
def _plain(peer: str) -> str:
    address = parse_address(peer)
    return peer if address is None else str(address)


def _host_name(host: str) -> str:
    if host.startswith("["):
        name, closed, port = host[1:].partition("]")
        return name if closed and (not port or (port[0] == ":" and port[1:].isdigit())) else ""
    name, _, port = host.partition(":")
    return name.rstrip(".") if not port or port.isdigit() else ""
