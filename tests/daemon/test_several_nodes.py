"""Three daemons on one PostgreSQL, and the one that syncs is killed again and again."""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import text

from daemon.demo.misbehaviour import Misbehaviour
from daemon.demo.people import PEOPLE, add_people
from daemon.demo.responder import Responder
from daemon.demo.tree import Tree
from sync.store import runs
from sync.store.engine import Store
from tests.daemon.installation import Installation, is_alive
from tests.servers.postgres import Postgres

ADA = "/api/users/email/ada@example.com/virtual-keys"
KILLS = int(os.environ.get("ROSTERD_NODE_KILLS", "20"))
PERIOD = 2.0
PATIENCE = 30.0
"""Seconds in which a killed run must be found out and the next one begun, on a machine that starts nine processes at once."""


def until(condition: Callable[[], Any], what: str) -> Any:
    """Return the first true answer of `condition`. Patient, for nine processes share the machine."""
    end = time.monotonic() + 120
    while time.monotonic() < end:
        if answer := condition():
            return answer
        time.sleep(0.03)
    raise AssertionError(f"waited two minutes for {what}")


class Node:
    """One daemon, its configuration, and somebody who asks it all the time."""

    def __init__(self, installation: Installation) -> None:
        self.installation = installation
        self.answered = self.wrong = 0
        self.up = threading.Event()
        self._ending = threading.Event()
        self._asker = threading.Thread(target=self._ask)
        self.begin()

    def begin(self) -> None:
        """Start the daemon. It counts as up when it says so."""
        self.daemon = self.installation.serve()

    def rise(self, header: dict[str, str]) -> None:
        """Wait until the daemon is ready; from now on every lookup must be answered."""
        self.daemon.ready()
        self._url, self._header = self.daemon.url + ADA, header
        self.up.set()
        if not self._asker.is_alive():
            self._asker.start()

    def kill(self) -> None:
        """Kill the daemon."""
        self.up.clear()
        self.daemon.__exit__()

    def end(self) -> None:
        """End everything."""
        self._ending.set()
        self.up.clear()
        if self._asker.is_alive():
            self._asker.join()
        self.daemon.__exit__()

    def _ask(self) -> None:
        while not self._ending.is_set():
            if not self.up.wait(0.1):
                continue
            url = self._url
            try:
                good = httpx.get(url, headers=self._header, timeout=10).status_code == 200
            except httpx.TransportError:
                good = False
            if good:
                self.answered += 1
            elif self.up.is_set() and url == self._url:  # not one that was killed meanwhile
                self.wrong += 1
            time.sleep(0.05)


@pytest.fixture
def nodes(tmp_path: Path) -> Iterator[list[Node]]:
    """Return three daemons on one database that read one slow directory every two seconds."""
    with ExitStack() as stack:
        responder = stack.enter_context(Responder(_a_few))
        server = stack.enter_context(Postgres().prepare().start())
        store = f'[store]\nurl = "{server.url(server.create())}"\n[audit]\nfile = "audit.jsonl"\n'
        made = []
        for name in "abc":
            folder = tmp_path / name
            folder.mkdir()
            installation = Installation(folder, responder, store)
            for secret in ("vault.keys", "jwt.secret") if made else ():
                shutil.copy(made[0].installation.folder / secret, folder / secret)
            installation.configure(every=f"{PERIOD:g}s")
            node = Node(installation)
            stack.callback(node.end)
            made.append(node)
        with closing(installation.open()) as opened:
            until(lambda: any(run.state == "succeeded" for run in runs.list_runs(opened)[0]), "the first run")
        responder.misbehave = Misbehaviour(drip=0.0001)  # from now on a run takes a while, so that it can be met
        yield made


def _a_few(tree: Tree) -> None:
    """Plant five of the demo's people."""
    add_people(tree)
    tree.delete(*(entry.dn for entry in tree.under(PEOPLE) if entry.dn.startswith("uid=") and not entry.dn.startswith(("uid=a", "uid=b"))))


@pytest.mark.faults
def test_the_one_that_syncs_is_killed_twenty_times(nodes: list[Node]) -> None:
    """One run at a time, each due run happens, whoever lives answers every lookup, and no key ever changes."""
    header = nodes[0].installation.token("lookup")
    for node in nodes:
        node.rise(header)
    store = nodes[0].installation.open()
    before = _keys(store)
    killed: list[Node] = []
    while len(killed) < KILLS:
        node = until(lambda: _who_syncs(store, nodes), f"somebody to sync (kill {len(killed) + 1})")
        node.kill()
        killed.append(node)
        node.begin()
        node.rise(header)
    after = runs.request(store, "corp", trigger="api", requested_by="tests")
    assert until(lambda: (run := runs.get(store, after.id)).finished_at and run, "the last run").state == "succeeded"
    for node in nodes:
        node.up.clear()
    _check_runs(store, len(killed))
    assert _keys(store) == before
    assert [node.wrong for node in nodes] == [0, 0, 0] and all(node.answered > 5 * KILLS for node in nodes), [node.answered for node in nodes]
    for node in nodes:
        assert "Traceback" not in node.daemon.log and "bug" not in node.daemon.log
    store.close()


def _check_runs(store: Store, kills: int) -> None:
    """No two runs overlap, each ended well or was killed by us, and none was due and did not come."""
    with store.read() as connection:
        query = text("select state, error, requested_at, started_at, finished_at from run where started_at is not null order by started_at")
        found = connection.execute(query).all()
    ended = [run for run in found if run.finished_at is not None]
    assert len(found) - len(ended) <= 1
    assert all(one.finished_at <= other.started_at for one, other in pairwise(ended))
    failed = [run for run in ended if run.state != "succeeded"]
    assert len(failed) == kills and all('"killed"' in run.error for run in failed), failed
    # The next is due a period after the one before was, and is asked for then, however that one ended; a run that goes on may not be the last.
    late = [(other.started_at - max(one.finished_at, one.requested_at + 1100 * PERIOD)) / 1000 for one, other in pairwise(ended)]
    assert max(late) < PATIENCE, late


def _who_syncs(store: Store, nodes: list[Node]) -> Node | None:
    """Return the node whose child holds the lease."""
    with store.read() as connection:
        pid = connection.execute(text("select lease_pid from source where lease_run is not null")).scalar_one_or_none()
    if pid is None or not is_alive(pid):
        return None
    parent = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    return next((node for node in nodes if node.daemon.process.pid == parent and node.up.is_set()), None)


def _keys(store: Store) -> list[object]:
    with store.read() as connection:
        return list(connection.execute(text("select id, user_id, enabled, digest from virtual_key order by id")).all())
