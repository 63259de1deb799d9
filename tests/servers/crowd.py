"""Many users, served from prepared pages by a process of its own: a provider that is quicker than whoever reads it.

Run as `python -m tests.servers.crowd COUNT`: prints its URL, serves until its standard input ends.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

PAGE = 100
LIST = "urn:ietf:params:scim:api:messages:2.0:ListResponse"


def user(number: int) -> dict[str, Any]:
    """Return a user of about 1.7 KiB, as providers send them."""
    name = f"person.{number}"
    home = {"streetAddress": "100 Universal City Plaza", "locality": "Hollywood", "region": "CA", "postalCode": "91608", "country": "USA"}
    return {
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User", "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"],
        "id": f"{number:08x}-8b1c-4d5e-9f00-5f2a6c7d8e9f",
        "externalId": f"ext-{number}",
        "userName": name,
        "name": {"formatted": f"Ms. Person {number}", "givenName": "Person", "familyName": str(number)},
        "displayName": f"Person {number}",
        "title": "Tour Guide",
        "active": True,
        "emails": [{"value": f"{name}@example.com", "type": "work", "primary": True}, {"value": f"alias.{number}@example.com", "type": "home"}],
        "phoneNumbers": [{"value": "+1-555-555-5555", "type": "work"}, {"value": "+1-555-555-4444", "type": "mobile"}],
        "addresses": [{**home, "type": kind, "formatted": "100 Universal City Plaza\nHollywood, CA 91608 USA"} for kind in ("work", "home")],
        "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User": {"employeeNumber": str(number), "department": "Tour Operations"},
        "meta": {"resourceType": "User", "created": "2026-01-01T00:00:00Z", "lastModified": "2026-05-13T04:42:34Z", "version": f'W/"{number}"'},
    }


@contextmanager
def crowd(count: int) -> Iterator[str]:
    """Run a provider of so many users; yield its URL."""
    command = [sys.executable, "-m", "tests.servers.crowd", str(count)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2]) as process:
        assert process.stdin is not None and process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.stdin.close()


def _pages(count: int) -> dict[int, bytes]:
    pages = {}
    for start in range(1, count + PAGE + 1, PAGE):
        shown = [user(number) for number in range(start, min(start + PAGE, count + 1))]
        pages[start] = json.dumps({"schemas": [LIST], "totalResults": count, "startIndex": start, "itemsPerPage": PAGE, "Resources": shown}).encode()
    return pages


def _serve(count: int) -> None:
    pages = _pages(count)

    class Answering(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = 1 << 20

        def do_GET(self) -> None:
            start = re.search(r"startIndex=(\d+)", self.path)
            body = pages[int(start[1])] if start and "filter" not in self.path else b'{"detail": "nothing of that kind"}'
            self.send_response(200 if start and "filter" not in self.path else 404)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answering)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(f"http://127.0.0.1:{server.server_address[1]}/scim/v2", flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    _serve(int(sys.argv[1]))
