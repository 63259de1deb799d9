"""Something that answers in rosterd's place, over plain HTTP or TLS: as told, and remembering what it was asked."""

from __future__ import annotations

import base64
import json
import socket
import ssl
import threading
import time
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

KEY, OTHER = "sk-bf-0123456789abcdef", "sk-bf-fedcba9876543210"
USER = "01a20e13-6937-7b1d-8acf-8fc93af3f5c8"
JSON = "application/json"
TOKEN = ".".join(
    base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in ({"alg": "HS256"}, {"role": "device", "sub": USER}, {})
)


def answer(key: object = KEY, user: object = USER, active: object = True) -> dict[str, Any]:
    """Return what rosterd answers about somebody with one key."""
    return {"user_id": user, "email": "ada@example.com", "virtual_keys": [{"id": "k", "name": "default", "value": key, "is_active": active}]}


def refusal(code: str, status: int = 404) -> dict[str, Any]:
    """Return what rosterd answers when it refuses."""
    fault = {"type": "not_found_error", "code": code, "message": "…", "event_id": "e"}
    return {"event_id": "e", "type": "error", "is_bifrost_error": True, "status_code": status, "error": fault, "extra_fields": {}}


class Server:
    """Answers every request the same, as told; remembers what it was asked."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.asked: list[dict[str, str]] = []
        self.delay, self.times = 0.0, 1
        self.say(answer())
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), self._make())
        if tls:
            self._http.socket = tls.wrap_socket(self._http.socket, server_side=True)
        threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True).start()
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self._http.server_address[1]}"

    def say(self, body: object, status: int = 200, kind: str = JSON, **headers: str) -> None:
        """Answer like this from now on. `body` = bytes as they are, else JSON."""
        self.body = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.status, self.headers = status, {"Content-Type": kind, **{name.replace("_", "-"): value for name, value in headers.items()}}

    def close(self) -> None:
        """Answer nobody any more."""
        self._http.shutdown()
        self._http.server_close()

    def _make(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                server.asked.append({"path": self.path, **{name.lower(): value for name, value in self.headers.items()}})
                time.sleep(server.delay)
                self.send_response(server.status)
                for name, value in server.headers.items():
                    self.send_header(name, value)
                self.end_headers()
                with suppress(OSError):
                    for _ in range(server.times):
                        self.wfile.write(server.body)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        return Handler


class Proxy:
    """A proxy that answers whatever it hears with a page of its own, status 404 and headers that are none of its business."""

    def __init__(self) -> None:
        self.heard = b""
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"

    def __enter__(self) -> Proxy:
        threading.Thread(target=self._answer, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def _answer(self) -> None:
        with suppress(OSError):
            while True:
                caller, _ = self._socket.accept()
                with caller:
                    self.heard += caller.recv(65536)
                    caller.sendall(b'HTTP/1.1 404 Not Found\r\nETag: "abc"\r\nRetry-After: 3000\r\nContent-Length: 5\r\n\r\nsorry')
