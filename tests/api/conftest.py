"""What the tests of the API share."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvicorn

from tests.api.world import Company


@pytest.fixture
def company(tmp_path: Path) -> Iterator[Company]:
    made = Company(tmp_path)
    yield made
    made.close()


@pytest.fixture
def port(company: Company) -> Iterator[int]:
    """Serve the company's app on a free port."""
    with socket.socket() as line:
        line.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(company.app, log_config=None, access_log=False))
        thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets=[line])))
        thread.start()
        while not server.started:
            time.sleep(0.01)
        yield line.getsockname()[1]
        server.should_exit = True
        thread.join(10)
