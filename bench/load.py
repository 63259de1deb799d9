"""Asking one HTTP server as often as it answers, over a few connections that stay open; loopback only, bounded in number and time."""

from __future__ import annotations

import asyncio
import math
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from bench.measure import Failed

LONGEST = 600.0
"""Seconds after which it ends, whatever was asked for."""


@dataclass(frozen=True, slots=True)
class Load:
    """What came of it: answers a second; after how many milliseconds half, 99 % and all of them were there; how many fell into each bucket."""

    rate: float
    p50: float
    p99: float
    longest: float
    buckets: Counter[int] = field(repr=False)

    @classmethod
    def of(cls, took: Iterable[float], passed: float) -> Load:
        """Return what these seconds of single answers amount to, all given within `passed` seconds."""
        ordered = sorted(took)
        p50, p99, longest = (ordered[place] * 1000 for place in (len(ordered) // 2, len(ordered) * 99 // 100, -1))
        return cls(len(ordered) / passed, p50, p99, longest, Counter(map(bucket, ordered)))


def bucket(seconds: float) -> int:
    """Return the bucket a time belongs to: number n ends at `end_of(n)`, four of them make a doubling."""
    return math.ceil(4 * math.log2(max(seconds, 1e-6) * 1e6))


def end_of(place: int) -> float:
    """Return the milliseconds at which a bucket ends."""
    return float(2 ** (place / 4) / 1000)


def ask(
    port: int, request: Callable[[int], bytes], expected: bytes, *, count: int, connections: int = 8, stop: Callable[[], bool] = lambda: False,
    pace: float = 0,
) -> Load:  # fmt: skip
    """Send `request(0)` … `request(count - 1)`, for ten minutes at most or until `stop()`, and return how it went; `pace` = at most so many a second.

    Every answer must be a 200 that holds `expected`. Raises Failed.
    """
    return asyncio.run(_ask(port, request, expected, _paced(count, pace), connections, stop))


async def _ask(
    port: int, request: Callable[[int], bytes], expected: bytes, numbers: Iterator[tuple[int, float]], connections: int, stop: Callable[[], bool]
) -> Load:
    took = list[float]()
    began = time.perf_counter()
    until = began + LONGEST
    await asyncio.gather(
        *(_connection(port, request, expected, numbers, took, lambda: stop() or time.perf_counter() > until) for _ in range(connections))
    )
    return Load.of(took, time.perf_counter() - began)


def _paced(count: int, pace: float) -> Iterator[tuple[int, float]]:
    """Yield the number of each request, and the moment (perf_counter) before which it is not to be sent."""
    began = time.perf_counter()
    for number in range(count):
        yield number, began + number / pace if pace else 0.0


async def _connection(
    port: int, request: Callable[[int], bytes], expected: bytes, numbers: Iterator[tuple[int, float]], took: list[float], over: Callable[[], bool]
) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        for number, not_before in numbers:
            if (early := not_before - time.perf_counter()) > 0:
                await asyncio.sleep(early)
            began = time.perf_counter() if early > 0 or not not_before else not_before  # who had to wait for their turn waited for us
            writer.write(request(number))
            head = await reader.readuntil(b"\r\n\r\n")
            body = await reader.readexactly(_length(head))
            ended = time.perf_counter()
            took.append(ended - began)
            if not head.startswith(b"HTTP/1.1 200") or expected not in body:
                raise Failed(f"request {number} was answered with {head.splitlines()[0]!r} {body[:200]!r}")
            if over():
                break
    finally:
        writer.close()


def _length(head: bytes) -> int:
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    raise Failed("an answer without Content-Length")
