"""Signals under load: whoever is being answered when it ends or reads its configuration again gets the answer; what was answered is kept."""

from __future__ import annotations

import http.client
import json
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from itertools import count

import pytest

from tests.daemon.faults.ledger import Ledger, serve, synced
from tests.daemon.faults.staged_daemon import Stage
from tests.daemon.installation import Installation, Running, wait_for

ADA = "/api/users/email/ada@example.com/virtual-keys"


class Load:
    """Clients that ask one after the other until nobody takes connections any more: every other one keeps its connection. `statuses` of what
    was answered; `broken` = what had been sent whole on a connection that stood and got no whole answer."""

    def __init__(self, daemon: Running, ledger: Ledger) -> None:
        self._port, self._header = int(daemon.url.rpartition(":")[2]), ledger.header
        self.statuses: list[int] = []
        self.broken: list[str] = []
        self._stopping = threading.Event()

    @contextmanager
    def going(self, clients: int = 6) -> Iterator[Load]:
        """Ask until the daemon is gone, or the context ends."""
        threads = [threading.Thread(target=self._ask_on, args=(bool(number % 2),), daemon=True) for number in range(clients)]
        for thread in threads:
            thread.start()
        try:
            yield self
        finally:
            self._stopping.set()
            for thread in threads:
                thread.join(30)
            assert not any(thread.is_alive() for thread in threads)

    def _ask_on(self, keeps: bool) -> None:
        while not self._stopping.is_set():
            line = http.client.HTTPConnection("127.0.0.1", self._port, timeout=20)
            try:
                line.connect()
            except OSError:
                return
            try:
                while self._ask(line) and keeps and not self._stopping.is_set():
                    pass
            except (OSError, http.client.HTTPException) as error:
                self.broken.append(repr(error))
            finally:
                line.close()

    def _ask(self, line: http.client.HTTPConnection) -> bool:
        """Ask once, and tell whether the connection stays."""
        line.request("GET", ADA, headers=self._header)
        answer = line.getresponse()
        answer.read()
        self.statuses.append(answer.status)
        return not answer.will_close


def test_sigterm_under_load_breaks_no_request(installation: Installation) -> None:
    """Every request that was sent on a connection that stood is answered, none is reset; the exit status is 0, within the limit of the unit."""
    with synced(installation) as (daemon, ledger), Load(daemon, ledger).going() as load:
        wait_for(lambda: len(load.statuses) > 200)
        began = time.monotonic()
        assert daemon.end() == 0
        ended = time.monotonic() - began
        assert (load.broken, set(load.statuses)) == ([], {200})
        assert ended < 20


@pytest.mark.faults
def test_sighup_under_load_breaks_no_request(installation: Installation) -> None:
    """The configuration is read again and again, and every lookup is answered."""
    with synced(installation) as (daemon, ledger), Load(daemon, ledger).going() as load:
        for _ in range(4):
            daemon.tell(signal.SIGHUP)
            daemon.hear("RELOADING=1")
            daemon.hear("READY=1")
            so_far = len(load.statuses)
            wait_for(lambda so_far=so_far: len(load.statuses) > so_far + 20)
        assert (load.broken, set(load.statuses)) == ([], {200})


def test_what_was_answered_before_sigkill_is_kept(installation: Installation) -> None:
    """Keys that were made, and a block that was set, until the very moment: whatever got its answer is there afterwards, once and for good."""
    made: list[str] = []
    with serve(installation, Stage()) as daemon:
        daemon.ready()
        installation.ended_runs(1)
        ledger = Ledger(installation)
        ledger.assert_right(daemon)
        user = daemon.get(ADA, ledger.header).json()["user_id"]

        def make_on(maker: int) -> None:
            head = {**ledger.header, "Content-Type": "application/json"}
            line = http.client.HTTPConnection("127.0.0.1", int(daemon.url.rpartition(":")[2]), timeout=20)
            with closing(line), suppress(OSError, http.client.HTTPException):
                for number in count():
                    line.request("POST", f"/api/governance/users/{user}/virtual-keys", b'{"name": "made %d.%d"}' % (maker, number), head)
                    answer = line.getresponse()
                    body = answer.read().decode()
                    assert answer.status == 200, body
                    made.append(body)

        makers = [threading.Thread(target=make_on, args=(number,)) for number in range(4)]
        with Load(daemon, ledger).going(2):
            for maker in makers:
                maker.start()
            wait_for(lambda: len(made) > 40)
            assert daemon.post(f"/api/users/{user}/block", ledger.header, {}).status_code == 200
            daemon.tell(signal.SIGKILL)
            daemon.wait()
            for maker in makers:
                maker.join(30)
    with serve(installation, Stage()) as daemon:
        daemon.ready()
        shown = daemon.get(ADA, ledger.header).json()["virtual_keys"]
        assert {value for value in made if not any(key["value"] in value and key["id"] in value for key in shown)} == set()
        assert {key["is_active"] for key in shown} == {False}, "a block that was answered holds"
        assert daemon.post(f"/api/users/{user}/unblock", ledger.header, {}).status_code == 200
        ledger.assert_next_run_is_right(daemon)
        assert daemon.end() == 0
    told = (installation.folder / "audit.jsonl").read_text()
    assert {value for value in made if key_id_of(value) not in told} == set(), "every change is told in the audit file, if only after the restart"


def key_id_of(body: str) -> str:
    """Return the id of the key that an answer shows."""
    return str(json.loads(body)["virtual_key"]["id"])
