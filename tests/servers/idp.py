"""An issuer of tokens that is not rosterd: it signs, publishes its keys over TLS, and misbehaves on command."""

from __future__ import annotations

import datetime
import ipaddress
import json
import ssl
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import jwt
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from cryptography.x509.oid import NameOID
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

_MAKERS: dict[str, Any] = {
    "RS256": (lambda: rsa.generate_private_key(65537, 2048), RSAAlgorithm),
    "ES256": (lambda: ec.generate_private_key(ec.SECP256R1()), ECAlgorithm),
    "EdDSA": (ed25519.Ed25519PrivateKey.generate, OKPAlgorithm),
}


class Idp:
    """One issuer with one key."""

    def __init__(self, issuer: str = "https://idp.example", kid: str | None = "k1", algorithm: str = "ES256") -> None:
        self.issuer, self.kid, self.algorithm = issuer, kid, algorithm
        make, self._reader = _MAKERS[algorithm]
        self.key = make()

    @property
    def jwk(self) -> dict[str, Any]:
        """Its public key, as it publishes it."""
        found = dict(self._reader.to_jwk(self.key.public_key(), as_dict=True))
        return found | {"use": "sig"} | ({"kid": self.kid} if self.kid else {})

    @property
    def jwks(self) -> str:
        """Its key set."""
        return jwks(self)

    @property
    def pem(self) -> str:
        """Its public key as PEM."""
        return str(self.key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode())

    @property
    def private_pem(self) -> str:
        """What it shows nobody."""
        return str(self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode())

    def claims(self, **changed: Any) -> dict[str, Any]:
        """Return the claims of a good token; None takes one away."""
        now = int(time.time())
        good = {"iss": self.issuer, "aud": "rosterd", "iat": now, "exp": now + 600, "sub": "somebody"}
        return {name: value for name, value in (good | changed).items() if value is not None}

    def token(self, *, headers: dict[str, Any] | None = None, **changed: Any) -> str:
        """Return a signed token."""
        kid = {"kid": self.kid} if self.kid else {}
        header = {"alg": self.algorithm, "typ": "JWT", **kid, **(headers or {})}
        return self.sign(json.dumps(header), json.dumps(self.claims(**changed)))

    def sign(self, header: str, payload: str) -> str:
        """Sign whatever text, also what is no sound JSON."""
        signing = ".".join(_base64(text.encode()) for text in (header, payload))
        algorithm = jwt.get_algorithm_by_name(self.algorithm)
        return f"{signing}.{_base64(algorithm.sign(signing.encode(), self.key))}"


def jwks(*idps: Idp, more: tuple[dict[str, Any], ...] = ()) -> str:
    """Return the key set of several keys."""
    return json.dumps({"keys": [*(idp.jwk for idp in idps), *more]})


def _base64(octets: bytes) -> str:
    return jwt.utils.base64url_encode(octets).decode()


class KeyServer:
    """Serves `body` over TLS at `url`, signed by the authority in `ca_file`. `hangs` = it accepts and never answers; `drips` = it never ends."""

    def __init__(self, folder: Path, body: str = "") -> None:
        self.body = body.encode()
        self.status = 200
        self.headers: dict[str, str] = {}
        self.hangs = False
        self.drips = False
        self.asked = 0
        self._ended = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._make())
        self._server.daemon_threads = True
        self.ca_file, chain = make_certificate(folder)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(chain)
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)

    @property
    def url(self) -> str:
        """Where its keys are."""
        return f"https://127.0.0.1:{self._server.server_address[1]}/jwks"

    def __enter__(self) -> KeyServer:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._server.shutdown()
        self._server.server_close()

    def _make(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Answering(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                server.asked += 1
                if server.hangs:
                    server._ended.wait()
                    return
                if server.drips:
                    self.wfile.write(b"HTTP/1.0 200 OK\r\nX: ")
                    while not server._ended.wait(0.05):
                        self.wfile.write(b"x")
                    return
                self.send_response(server.status)
                for name, value in {"content-length": str(len(server.body)), **server.headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(server.body)

            def handle(self) -> None:
                try:
                    super().handle()
                except OSError:
                    self.close_connection = True  # the client did not like what it saw

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        return Answering


def make_certificate(folder: Path) -> tuple[Path, Path]:
    """Return a new authority's certificate, and a chain with key for 127.0.0.1 that it signed."""
    now = datetime.datetime.now(datetime.UTC)
    ca_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())

    def build(subject: str, public: Any, *extensions: Any) -> x509.Certificate:
        named = [x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]) for name in (subject, "Test authority")]
        builder = x509.CertificateBuilder().subject_name(named[0]).issuer_name(named[1]).public_key(public).serial_number(x509.random_serial_number())
        builder = builder.not_valid_before(now - datetime.timedelta(hours=1)).not_valid_after(now + datetime.timedelta(days=1))
        for extension in extensions:
            builder = builder.add_extension(extension, critical=isinstance(extension, x509.BasicConstraints))
        return builder.sign(ca_key, hashes.SHA256())

    authority = build("Test authority", ca_key.public_key(), x509.BasicConstraints(ca=True, path_length=None))
    leaf = build("127.0.0.1", key.public_key(), x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]))
    ca_file, chain = folder / "authority.pem", folder / "server.pem"
    ca_file.write_bytes(authority.public_bytes(Encoding.PEM))
    chain.write_bytes(leaf.public_bytes(Encoding.PEM) + key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return ca_file, chain
