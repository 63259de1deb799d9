"""The sockets to serve on: systemd's, or our own; and the certificate for those that speak TLS."""

from __future__ import annotations

import errno
import socket
import ssl
import stat
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from daemon import systemd
from daemon.config import HttpSettings
from sync.errors import CannotListen, ConfigError

BACKLOG = 1024
"""Connections that may wait until they are accepted."""
UNREAD_MS = 60_000
"""How long a client may leave an answer unread or unacknowledged; then the kernel ends the connection (tcp(7), TCP_USER_TIMEOUT)."""
_NOT_HERE = {errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT}
_SOCKET_MODE = 0o660
"""A Unix socket is for its owner and group: put the proxy's user into the group."""


@dataclass(frozen=True, slots=True)
class Listener:
    """A listening socket. `path` is to be taken away at the end."""

    socket: socket.socket
    tls: bool = False
    path: Path | None = None

    @property
    def name(self) -> str:
        """Where it listens, as a URL or a path."""
        if self.socket.family == socket.AF_UNIX:
            return f"unix:{self.socket.getsockname()}"
        host, port = self.socket.getsockname()[:2]
        return f"{'https' if self.tls else 'http'}://{f'[{host}]' if ':' in host else host}:{port}"

    def close(self) -> None:
        """Listen no more."""
        if self.path is not None:
            with suppress(OSError):
                self.path.unlink()
        self.socket.close()


def listen(http: HttpSettings) -> list[Listener]:
    """Return the sockets that systemd holds for us, else those that `[http]` names. Raises CannotListen."""
    secure = http.tls_cert_file is not None
    inherited = systemd.listen_sockets()
    if inherited:
        for line in inherited:
            _limit(line)
        return [Listener(line, tls=secure and line.family != socket.AF_UNIX) for line in inherited]
    listeners: list[Listener] = []
    try:
        listeners += [Listener(line, tls=secure) for line in _tcp(http.host, http.port)]
        if http.unix_socket is not None:
            listeners.append(Listener(_unix(http.unix_socket), path=http.unix_socket))
    except BaseException:
        for listener in listeners:
            listener.close()
        raise
    return listeners


def make_tls(http: HttpSettings) -> ssl.SSLContext | None:
    """Return the server's side of TLS, None where it speaks none. Raises ConfigError."""
    if http.tls_cert_file is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.set_alpn_protocols(["http/1.1"])
    load_certificate(context, http)
    return context


def load_certificate(context: ssl.SSLContext, http: HttpSettings) -> None:
    """Show the certificate that the files hold now, from the next connection on. Raises ConfigError and leaves the old one."""
    if http.tls_cert_file is None:
        return
    try:
        # A context of its own first: a key that does not fit would leave the new certificate without one.
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(http.tls_cert_file, http.tls_key_file, password=_no_password)
        context.load_cert_chain(http.tls_cert_file, http.tls_key_file, password=_no_password)
    except (OSError, ValueError) as error:
        why = getattr(error, "reason", None) or getattr(error, "strerror", None) or str(error)
        raise ConfigError([f"[http] tls_cert_file: {http.tls_cert_file} and tls_key_file cannot be used together: {why}"]) from error


def _no_password() -> str:
    raise ValueError("the key has a password; rosterd needs one without")


def _tcp(host: str, port: int) -> list[socket.socket]:
    """Bind every address of `host`; with port 0 all of them to the same free port."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        raise CannotListen(
            "cannot_listen", f"The host {host} cannot be resolved: {error.strerror}.", "Correct [http] host, or write an address."
        ) from error
    sockets: list[socket.socket] = []
    missing: OSError | None = None
    try:
        for family, _, _, _, address in dict.fromkeys(found):
            at = (address[0], port or (sockets[0].getsockname()[1] if sockets else 0), *address[2:])
            try:
                sockets.append(_bind_tcp(family, at))
            except OSError as error:
                if error.errno not in _NOT_HERE:
                    raise
                missing = error  # localhost is ::1 too, even where there is no IPv6
        if missing is not None and not sockets:
            raise missing
    except OSError as error:
        for line in sockets:
            line.close()
        raise _refused(f"{host}:{port}", error, "Stop whoever listens there (`ss -ltnp`), or set another [http] port.") from error
    return sockets


def _bind_tcp(family: int, address: tuple[object, ...]) -> socket.socket:
    line = socket.socket(family, socket.SOCK_STREAM)
    try:
        line.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Connections inherit it; without it a body waits 40 ms for the client's acknowledgement of its headers.
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if family == socket.AF_INET6:
            line.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(address[0] != "::"))
        _limit(line)
        line.bind(address)
        line.listen(BACKLOG)
    except BaseException:
        line.close()
        raise
    return line


def _limit(line: socket.socket) -> None:
    """Let no connection of this listener stay for ever because nobody reads (Linux only)."""
    if line.family != socket.AF_UNIX and hasattr(socket, "TCP_USER_TIMEOUT"):
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNREAD_MS)


def _unix(path: Path) -> socket.socket:
    """Bind a Unix socket; a file that a dead process left is taken away, a living one is not."""
    line = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        if _is_left_over(path):
            path.unlink()
        line.bind(str(path))
        path.chmod(_SOCKET_MODE)
        line.listen(BACKLOG)
    except OSError as error:
        line.close()
        raise _refused(str(path), error, "Stop whoever listens there, or correct [http] unix_socket.") from error
    return line


def _is_left_over(path: Path) -> bool:
    with suppress(FileNotFoundError):
        if stat.S_ISSOCK(path.stat().st_mode):
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
                return probe.connect_ex(str(path)) == errno.ECONNREFUSED
    return False


def _refused(where: str, error: OSError, remedy: str) -> CannotListen:
    if error.errno == errno.EACCES:
        remedy = "Choose a port above 1023, let systemd hold the socket (rosterd.socket), or correct the directory's owner."
    elif error.errno == errno.EADDRNOTAVAIL:
        remedy = "Set [http] host to an address of this machine."
    return CannotListen("cannot_listen", f"rosterd cannot listen on {where}: {error.strerror}.", remedy)
