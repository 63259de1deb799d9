"""A real browser without a window: opens one page and tells what it asked for and what a reader sees. DevTools over a pipe, no driver."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

OPTIONS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", "--remote-debugging-pipe",
)  # fmt: skip


class Browser:
    """One chromium with an empty profile in `folder`. Its context ends it."""

    def __init__(self, folder: Path) -> None:
        take, self._write = os.pipe()
        self._read, give = os.pipe()
        self._heard, self._number = b"", 0
        self.said: list[dict[str, Any]] = []
        """Every event so far."""
        words = ["chromium", *OPTIONS, f"--user-data-dir={folder}"]
        command = ["bash", "-c", f'exec "$@" 3<&{take} 4>&{give}', "chromium", *words]
        self.process = subprocess.Popen(
            command, pass_fds=(take, give), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )
        os.close(take)
        os.close(give)
        target = self._ask("Target.createTarget", url="about:blank")["targetId"]
        self._session = self._ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Network", "Log", "Page", "Runtime"):
            self._ask(f"{domain}.enable", session=self._session)

    def open(self, url: str) -> None:
        """Open a page and wait until it is there, with everything it asked for."""
        self._ask("Page.navigate", session=self._session, url=url)
        while not any(one["method"] == "Page.loadEventFired" for one in self.said):
            self._hear()

    def evaluate(self, expression: str) -> Any:
        """Return the value of an expression of JavaScript in the page, asked from outside."""
        return self._ask("Runtime.evaluate", session=self._session, expression=expression, returnByValue=True)["result"].get("value")

    def events(self, method: str) -> list[dict[str, Any]]:
        """Return the parameters of every event of a kind."""
        return [one["params"] for one in self.said if one["method"] == method]

    def _ask(self, method: str, *, session: str = "", **params: Any) -> dict[str, Any]:
        self._number += 1
        number = self._number
        message = {"id": number, "method": method, "params": params, **({"sessionId": session} if session else {})}
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while (answer := self._hear()).get("id") != number:
            pass
        assert "result" in answer, answer
        result: dict[str, Any] = answer["result"]
        return result

    def _hear(self) -> dict[str, Any]:
        while b"\0" not in self._heard:
            chunk = os.read(self._read, 65536)
            assert chunk, "the browser has ended"
            self._heard += chunk
        text, _, self._heard = self._heard.partition(b"\0")
        message: dict[str, Any] = json.loads(text)
        if "method" in message:
            self.said.append(message)
        return message

    def __enter__(self) -> Browser:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._write)
        os.close(self._read)
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
