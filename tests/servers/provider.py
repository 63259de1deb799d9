"""A SCIM provider on loopback that plays the quirks of all of them, on command (RFC 7643, RFC 7644, RFC 9865)."""

from __future__ import annotations

import base64
import json
import ssl
import threading
import time
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from tests.servers.scim_filter import matches

LIST = "urn:ietf:params:scim:api:messages:2.0:ListResponse"
ERROR = "urn:ietf:params:scim:api:messages:2.0:Error"
Reply = tuple[int, dict[str, str], bytes]


def stamp(seconds: float) -> str:
    """Return a moment as SCIM writes it."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class Provider:
    """`users` and `groups` by id, in the order of the list. Everything below is a quirk; the defaults are a good provider."""

    def __init__(self, chain: Path | None = None) -> None:
        self.users: dict[str, Any] = {}
        self.groups: dict[str, dict[str, Any]] | None = {}
        self.spc: Any = {"filter": {"supported": True, "maxResults": 200}, "patch": {"supported": True}}
        self.largest: int | None = None
        """Pages are clamped to so many."""
        self.refuses_over: int | None = None
        """A larger `count` is answered 400."""
        self.total: Callable[[int], int | None] = lambda true: true
        """What it counts, given the truth; None = it does not say."""
        self.overlap = 0
        """Rows of the page before that each page begins with."""
        self.repeats = False
        """Every page is the first one."""
        self.unpaged = False
        """It shows all of them, whatever is asked for."""
        self.cursors = False
        self.cursor_stays = False
        self.word = "Resources"
        self.filters: tuple[str, ...] | None = None
        """Attributes it filters by, None = any; others are answered 400."""
        self.ignores_filters = False
        self.unlisted: set[str] = set()
        """Ids that no list shows, and GET does."""
        self.answers: deque[Reply] = deque()
        """What the next questions for a list of users are answered with instead."""
        self.always: dict[str, Reply] = {}
        """Paths (without the first segments) and what they are answered with instead; "*" = everything."""
        self.before_page: Callable[[int], None] = lambda number: None
        """Called before each list of users, with how many were asked for since the last `forget()`."""
        self.bearers: set[str] | None = None
        self.basic: tuple[str, str] | None = None
        self.client: tuple[str, str] | None = None
        """The id and secret for which /token grants a token."""
        self.granted: list[str] = []
        self.accepts: str | None = None
        self.asked: list[tuple[str, dict[str, str]]] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _make(self))
        self._server.daemon_threads = True
        self._scheme = "http"
        if chain:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(chain)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
            self._scheme = "https"

    @property
    def url(self) -> str:
        """What stands before /Users."""
        return f"{self._scheme}://127.0.0.1:{self._server.server_address[1]}/scim/v2"

    @property
    def token_url(self) -> str:
        """Where tokens are granted."""
        return f"{self._scheme}://127.0.0.1:{self._server.server_address[1]}/scim/v2/token"

    def __enter__(self) -> Provider:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def add(self, name: str, /, *addresses: str, **facts: Any) -> str:
        """Add or replace a user; return the id. Without addresses it gets one of its name; a fact that is None is left out."""
        external_id = str(facts.pop("id", f"id-{name}"))
        emails = [{"value": address, "type": "work", "primary": not number} for number, address in enumerate(addresses or (f"{name}@example.com",))]
        told = {"id": external_id, "userName": name, "displayName": name.title(), "active": True, "emails": emails}
        told |= {"schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "meta": {"resourceType": "User", "lastModified": stamp(time.time())}}
        self.users[external_id] = {key: value for key, value in (told | facts).items() if value is not None}
        return external_id

    def people(self, count: int, first: int = 0) -> None:
        """Add many users."""
        for number in range(first, first + count):
            self.add(f"p{number}")

    def group(self, name: str, *members: str, inside: tuple[str, ...] = ()) -> str:
        """Add or replace a group of users, and of groups `inside` it; return its id."""
        listed = [{"value": one, "type": "User"} for one in members] + [{"value": one, "type": "Group"} for one in inside]
        assert self.groups is not None
        self.groups[f"g-{name}"] = {"id": f"g-{name}", "displayName": name, "members": listed}
        return f"g-{name}"

    def forget(self) -> None:
        """Forget what was asked."""
        self.asked.clear()

    def asked_for(self, path: str) -> list[dict[str, str]]:
        """Return the queries that a path was asked with."""
        return [query for asked, query in self.asked if asked == path]

    def reply(self, path: str, query: dict[str, str], headers: dict[str, str]) -> Reply:
        """Answer one GET; `path` without /scim/v2/."""
        self.asked.append((path, query))
        if path == "Users" and query.get("count") != "1":
            self.before_page(len([one for one in self.asked_for("Users") if one.get("count") != "1"]))
        if not self._is_known(headers):
            return error(401, "who are you?")
        if self.accepts and headers.get("accept") != self.accepts:
            return error(400, "unknown Accept")
        if path == "Users" and self.answers:
            return self.answers.popleft()
        for chosen in (path, path.partition("/")[0] + "/*" if "/" in path else path, "*"):
            if chosen in self.always:
                return self.always[chosen]
        return self._answer(path, query)

    def _answer(self, path: str, query: dict[str, str]) -> Reply:
        kind, _, external_id = path.partition("/")
        if path == "ServiceProviderConfig":
            return error(404, "no such thing") if self.spc is None else found(self.spc)
        shown = {"Users": self.users, "Groups": self.groups}.get(kind)
        if shown is None:
            return error(404, "no such endpoint")
        if external_id:
            resource = shown.get(unquote(external_id))
            return error(404, f"Resource {unquote(external_id)} not found") if resource is None else found(resource)
        return self._list(kind, list(shown.values()), query)

    def _list(self, kind: str, shown: list[Any], query: dict[str, str]) -> Reply:
        if self.unlisted:
            shown = [one for one in shown if not (isinstance(one, dict) and str(one.get("id")) in self.unlisted)]
        if (wanted := query.get("filter")) and not self.ignores_filters:
            if self.filters is not None and not any(attribute in wanted for attribute in self.filters):
                return error(400, "unknown attribute", "invalidFilter")
            shown = [one for one in shown if isinstance(one, dict) and matches(one, wanted)]
        count = int(query.get("count", "100"))
        if self.refuses_over is not None and count > self.refuses_over:
            return error(400, "count is too large", "invalidValue")
        count = len(shown) + 1 if self.unpaged else min(count, self.largest or count)
        if kind == "Users" and self.cursors:
            return self._cursor_page(shown, count, query)
        start = 1 if self.repeats or self.unpaged else max(1, int(query.get("startIndex", "1")))
        begin = max(0, start - 1 - (self.overlap if start > 1 else 0))
        told = {"startIndex": start, "itemsPerPage": count}
        return self._page(shown[begin : begin + count], len(shown), told, query)

    def _cursor_page(self, shown: list[Any], count: int, query: dict[str, str]) -> Reply:
        begin = int(query.get("cursor") or "0")
        after = begin if self.cursor_stays and begin else begin + count
        return self._page(shown[begin : begin + count], len(shown), {"nextCursor": str(after)} if after < len(shown) else {}, query)

    def _page(self, resources: list[Any], true: int, told: dict[str, Any], query: dict[str, str]) -> Reply:
        total = self.total(true) if "filter" not in query else true
        if "members" in query.get("excludedAttributes", ""):
            resources = [{key: value for key, value in one.items() if key != "members"} for one in resources]
        counted = {} if total is None else {"totalResults": total}
        return found({"schemas": [LIST], **counted, **told, self.word: resources})

    def grant(self, form: dict[str, str], headers: dict[str, str]) -> Reply:
        """Answer a request for a token."""
        shown = "Basic " + base64.b64encode(":".join(self.client or ("", "")).encode()).decode()
        if headers.get("authorization") != shown or form.get("grant_type") != "client_credentials":
            return 401, {}, json.dumps({"error": "invalid_client"}).encode()
        self.granted.append(f"granted-{len(self.granted) + 1}")
        self.bearers = {self.granted[-1]}
        return 200, {"content-type": "application/json"}, json.dumps({"access_token": self.granted[-1], "expires_in": 3600}).encode()

    def _is_known(self, headers: dict[str, str]) -> bool:
        shown = headers.get("authorization", "")
        if self.basic:
            return shown == "Basic " + base64.b64encode(":".join(self.basic).encode()).decode()
        return self.bearers is None or shown.removeprefix("Bearer ") in self.bearers


def found(value: Any) -> Reply:
    """Return an answer with status 200."""
    return 200, {"content-type": "application/scim+json"}, value if isinstance(value, bytes) else json.dumps(value).encode()


def error(status: int, detail: str, kind: str = "") -> Reply:
    """Return an error as RFC 7644 section 3.12 has it."""
    told = {"schemas": [ERROR], "status": str(status), "detail": detail} | ({"scimType": kind} if kind else {})
    return status, {"content-type": "application/scim+json"}, json.dumps(told).encode()


def http_date(seconds: float) -> str:
    """Return a moment so many seconds from now as HTTP writes it."""
    return formatdate(time.time() + seconds, usegmt=True)


def _make(provider: Provider) -> type[BaseHTTPRequestHandler]:
    class Answering(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = 1 << 16  # head and body in one segment: two would wait for each other

        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            query = {name: values[0] for name, values in parse_qs(parts.query, keep_blank_values=True).items()}
            self._send(provider.reply(parts.path.removeprefix("/scim/v2/"), query, self._told()))

        def do_POST(self) -> None:
            form = parse_qs(self.rfile.read(int(self.headers["content-length"])).decode())
            self._send(provider.grant({name: values[0] for name, values in form.items()}, self._told()))

        def _told(self) -> dict[str, str]:
            return {name.lower(): value for name, value in self.headers.items()}

        def _send(self, reply: Reply) -> None:
            status, headers, body = reply
            self.send_response_only(status)
            for name, value in ({"content-length": str(len(body)), "date": http_date(0)} | headers).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)
            self.close_connection = "content-length" in headers  # it lied about the length

        def handle(self) -> None:
            try:
                super().handle()
            except OSError:
                self.close_connection = True  # the client did not like what it saw

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    return Answering
