"""A receiver of webhooks on loopback: it keeps what it was sent, checks signatures as docs/webhooks.md says, and fails on command."""

from __future__ import annotations

import hashlib
import hmac
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Receiver:
    """`status` is what it answers; `taken` the deliveries it answered with 2xx, `seen` all of them, as (headers, body)."""

    def __init__(self, secret: str) -> None:
        self.secret = secret
        self.status = 200
        self.headers: dict[str, str] = {}
        self.seen: list[tuple[dict[str, str], dict[str, Any]]] = []
        self.taken: list[dict[str, Any]] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._make())
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    @property
    def url(self) -> str:
        """Where it listens; the path is a secret as many receivers have."""
        return f"http://127.0.0.1:{self._server.server_address[1]}/hook/T0P-S3CR3T"

    @property
    def kinds(self) -> list[str]:
        """The kinds of all events that were taken."""
        return [event["kind"] for delivery in self.taken for event in delivery["events"]]

    def __enter__(self) -> Receiver:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _take(self, headers: dict[str, str], body: bytes) -> int:
        expected = hmac.digest(self.secret.encode(), headers["x-roster-timestamp"].encode() + b"." + body, hashlib.sha256).hex()
        if headers["x-roster-signature"] != f"v1={expected}":
            return 401
        self.seen.append((headers, json.loads(body)))
        if self.status < 300:
            self.taken.append(json.loads(body))
        return self.status

    def _make(self) -> type[BaseHTTPRequestHandler]:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                status = receiver._take({name.lower(): value for name, value in self.headers.items()}, body)
                self.send_response(status)
                for name, value in receiver.headers.items():
                    self.send_header(name, value)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        return Handler
