"""What the tests of the API share."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from daemon.config import HttpSettings
from daemon.crowding import Crowd
from daemon.listening import listen
from daemon.web import Exchange, Web
from tests.api.world import Company


@pytest.fixture
def company(tmp_path: Path) -> Iterator[Company]:
    made = Company(tmp_path)
    yield made
    made.close()


@pytest.fixture
def port(company: Company) -> Iterator[int]:
    """Serve the company's app on a free port, as the daemon does."""
    yield from served(company)


def served(company: Company) -> Iterator[int]:
    """Serve an app with the daemon's own server, yield its port, end it."""
    listeners, started, ending = listen(HttpSettings(port=0)), threading.Event(), threading.Event()

    async def serve() -> None:
        exchange = Exchange()
        await exchange.put(company.app)
        web = Web(exchange, listeners, None, Crowd(1000))
        going = asyncio.create_task(web.serve())
        await web.ready()
        started.set()
        await asyncio.to_thread(ending.wait)
        web.stop()
        await going
        await exchange.close()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    assert started.wait(10)
    yield listeners[0].socket.getsockname()[1]
    ending.set()
    thread.join(10)
    for listener in listeners:
        listener.close()
