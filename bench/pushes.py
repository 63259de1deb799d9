"""An identity provider that pushes, in a process of its own: seven kinds of requests in turn, at a fixed rate or without pause.

`python -m bench.pushes PORT SECONDS RATE < facts` prints JSON. RATE requests a second begin at their own moments, whether earlier ones were
answered or not, and what one takes is counted from the moment it was due; RATE 0 = eight clients that never pause. The facts are the token, the
source, the ids of users and group, and the turn to begin with: each turn makes and deletes users of its own.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any, NamedTuple

USER = "urn:ietf:params:scim:schemas:core:2.0:User"
PATCH = "urn:ietf:params:scim:api:messages:2.0:PatchOp"
CLIENTS = 8


class Asked(NamedTuple):
    """One request, and what is right about its answer."""

    kind: str
    method: str
    path: str
    status: int
    body: Any = None
    right: Callable[[Any], bool] = lambda said: said is None


class Mix:
    """Seven kinds in turn. The first half of the users keeps an active key; of the other half, an eighth of all is meant for each kind."""

    def __init__(self, facts: dict[str, Any]) -> None:
        self._ids, self._group, self._turn = facts["users"], facts["group"], facts.get("turn", 0)
        half, eighth = len(self._ids) // 2, len(self._ids) // 8
        self._stay, self._switched, self._replaced = self._ids[:half], self._ids[half : half + eighth], self._ids[half + eighth : half + 2 * eighth]
        self._joining, self._deleted = self._ids[half + 2 * eighth : half + 3 * eighth], self._ids[half + 3 * eighth :]

    def request(self, number: int) -> Asked:
        """Return the request of this number; what it asks for does not depend on whether the one before it was answered."""
        turn = self._turn + number // 7
        return (self._post, self._switch, self._replace, self._filter, self._list, self._membership, self._delete)[number % 7](turn)

    def place_of_deleted(self, turn: int) -> int:
        """Return the place among all users of whom this turn deletes."""
        return len(self._ids) - len(self._deleted) + turn

    def _post(self, turn: int) -> Asked:
        name = f"new{turn}@example.com"
        body = {"schemas": [USER], "userName": name, "externalId": f"x{turn}", "emails": [{"value": name, "type": "work"}], "active": True}
        return Asked("POST", "POST", "/Users", 201, body, lambda said: said["userName"] == name and bool(said["id"]))

    def _switch(self, turn: int) -> Asked:
        """Everybody is deactivated once, and activated the next time round."""
        who, active = self._switched[turn // 2 % len(self._switched)], turn % 2 == 1
        body = {"schemas": [PATCH], "Operations": [{"op": "Replace", "path": "active", "value": str(active)}]}
        return Asked("PATCH active", "PATCH", f"/Users/{who}", 200, body, lambda said: said["active"] is active and said["id"] == who)

    def _replace(self, turn: int) -> Asked:
        who, title = self._replaced[turn % len(self._replaced)], f"Replaced {turn}"
        name = f"p{self._ids.index(who)}@example.com"
        body = {"schemas": [USER], "id": who, "userName": name, "displayName": title, "emails": [{"value": name, "type": "work"}], "active": True}
        return Asked("PUT", "PUT", f"/Users/{who}", 200, body, lambda said: said["displayName"] == title and said["id"] == who)

    def _filter(self, turn: int) -> Asked:
        place = turn * 7919 % len(self._stay)
        path = f"/Users?filter=userName%20eq%20%22P{place}@EXAMPLE.com%22&startIndex=1&count=100"
        return Asked("GET filter", "GET", path, 200, None, lambda said: [one["id"] for one in said["Resources"]] == [self._stay[place]])

    def _list(self, turn: int) -> Asked:
        start = turn * 100 % len(self._stay) + 1
        path = f"/Users?startIndex={start}&count=100"
        return Asked("GET list of 100", "GET", path, 200, None, lambda said: (said["startIndex"], len(said["Resources"])) == (start, 100))

    def _membership(self, turn: int) -> Asked:
        """Somebody joins the group, or one of its people leaves it."""
        if turn % 2 == 0:
            operation = {"op": "Add", "path": "members", "value": [{"value": self._joining[turn // 2 % len(self._joining)]}]}
        else:
            operation = {"op": "Remove", "path": f'members[value eq "{self._stay[turn // 2 % len(self._stay)]}"]'}
        return Asked("PATCH member", "PATCH", f"/Groups/{self._group}", 204, {"schemas": [PATCH], "Operations": [operation]})

    def _delete(self, turn: int) -> Asked:
        return Asked("DELETE", "DELETE", f"/Users/{self._deleted[turn]}", 204)


class Pusher:
    """Sends, counts, and compares every answer with what it must be."""

    def __init__(self, port: int, token: str, source: str) -> None:
        self._port, self._head = port, f"Host: localhost\r\nAuthorization: Bearer {token}\r\nContent-Type: application/scim+json\r\n"
        self._source = source
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
        self.took: defaultdict[str, list[float]] = defaultdict(list)
        self.statuses: defaultdict[str, int] = defaultdict(int)
        self.wrong: list[str] = []

    async def send(self, asked: Asked, due: float) -> None:
        """Send one request; `due` = when it was to begin (perf_counter)."""
        reader, writer = self._idle.pop() if self._idle else await asyncio.open_connection("127.0.0.1", self._port, limit=1 << 20)
        body = b"" if asked.body is None else json.dumps(asked.body).encode()
        first = f"{asked.method} /scim/v2/{self._source}{asked.path} HTTP/1.1\r\n{self._head}Content-Length: {len(body)}\r\n\r\n"
        writer.write(first.encode() + body)
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        length = head.partition(b"\r\ncontent-length: ")[2].partition(b"\r\n")[0]
        said = await reader.readexactly(int(length or 0))
        self.took[asked.kind].append(time.perf_counter() - due)
        self._idle.append((reader, writer))
        status = int(head.split()[1])
        self.statuses[str(status)] += 1
        if status != asked.status or not asked.right(json.loads(said) if said else None):
            self.wrong.append(f"{asked.kind} {asked.path}: {status} {said[:200]!r}")

    async def at_rate(self, mix: Mix, seconds: float, rate: float) -> None:
        """Begin one request every 1/rate seconds."""
        began = time.perf_counter()
        async with asyncio.TaskGroup() as going:
            for number in range(int(seconds * rate)):
                due = began + number / rate
                await asyncio.sleep(max(0.0, due - time.perf_counter()))
                going.create_task(self.send(mix.request(number), due))

    async def without_pause(self, mix: Mix, seconds: float) -> None:
        """Let every client send its next request as soon as it has an answer."""
        until, numbers = time.perf_counter() + seconds, iter(range(10_000_000))

        async def client() -> None:
            while time.perf_counter() < until:
                await self.send(mix.request(next(numbers)), time.perf_counter())

        await asyncio.gather(*(client() for _ in range(CLIENTS)))


def main() -> None:
    """Push, and print what came of it: seconds of each by kind, statuses, the first wrong answers."""
    port, seconds, rate = int(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3])
    facts = json.load(sys.stdin)
    mix, pusher = Mix(facts), Pusher(port, facts["token"], facts["source"])
    began = time.perf_counter()
    asyncio.run(pusher.at_rate(mix, seconds, rate) if rate else pusher.without_pause(mix, seconds))
    passed = time.perf_counter() - began
    said = {"kinds": pusher.took, "statuses": pusher.statuses, "wrong": pusher.wrong[:5], "seconds": passed}
    json.dump(said, sys.stdout)


if __name__ == "__main__":
    main()
