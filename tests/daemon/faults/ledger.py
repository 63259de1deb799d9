"""What must be true whatever goes wrong: the store says what the directory says, and no key ever changes hands."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx

from daemon.demo.people import LOCKED
from daemon.demo.tree import PEOPLE, Entry
from tests.daemon.faults.staged_daemon import Stage
from tests.daemon.installation import PATIENCE, Installation, Running, children_of, wait_for

IN_THE_CLEAR = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""Spares a client that speaks no TLS the reading of all authorities that this host trusts."""
_ORDINARY = Stage()


class Ledger:
    """A directory that changes, and everything a daemon has ever answered about its people."""

    def __init__(self, installation: Installation) -> None:
        self.installation, self.responder = installation, installation.responder
        self.header = installation.token("admin", ttl=90 * 86_400)  # made before anything goes wrong: it is written to the store
        self._owners: dict[str, str] = {}
        self._ids: dict[str, str] = {}
        self._turn = 0

    def change_directory(self) -> None:
        """Let somebody join, somebody be locked, whoever was locked before return, and somebody be renamed and moved."""
        self._turn += 1
        tree, turn = self.responder.tree, self._turn
        tree.add_person(f"joiner{turn}")
        tree.modify(f"uid=kiran.nair,{PEOPLE}", pwdAccountLockedTime=LOCKED if turn % 2 else None)
        tree.modify(f"uid=hana.novakova,{PEOPLE}", pwdAccountLockedTime=None if turn % 2 else LOCKED)
        tree.modify(f"uid=ada.okafor,{PEOPLE}", displayName=f"Ada the {turn}.")

    def answers(self, daemon: Running) -> dict[str, tuple[str, tuple[tuple[str, bool], ...]]]:
        """Return what the daemon answers about every address that it knows of those the directory lists or did: user id, keys and whether they work.
        No answer may be an error, and no key that ever was somebody's may be another's."""
        found = {}
        with httpx.Client(base_url=daemon.url, headers=self.header, timeout=PATIENCE, verify=IN_THE_CLEAR) as line:
            for address in sorted(self._listed() | self._ids.keys()):
                answer = line.get(f"/api/users/email/{quote(address, safe='')}/virtual-keys")
                assert answer.status_code in (200, 404), answer.text
                if answer.status_code == 404:
                    continue
                body = answer.json()
                assert self._ids.setdefault(address, body["user_id"]) == body["user_id"], address
                for key in body["virtual_keys"]:
                    assert self._owners.setdefault(key["value"], body["user_id"]) == body["user_id"], address
                found[address] = (body["user_id"], tuple((key["value"], key["is_active"]) for key in body["virtual_keys"]))
        assert set(self._ids) <= set(found), "somebody who was known is not any more"
        return found

    def assert_right(self, daemon: Running) -> None:
        """Every address of the directory answers, with working keys for whoever is not locked, and none for whoever is or has left."""
        answers = self.answers(daemon)
        for entry in self._people():
            locked = "pwdAccountLockedTime" in entry.attributes
            for address in entry.attributes["mail"]:
                states = {is_active for _, is_active in answers[address][1]}
                assert states <= {False} if locked else states == {True}, (address, states)
        for address in answers.keys() - self._listed():
            assert not any(is_active for _, is_active in answers[address][1]), f"{address} has left"

    def run(self, daemon: Running, **asked: Any) -> str:
        """Ask for a run and return its id."""
        answer = daemon.post("/api/sync/runs", self.header, {"source": "corp", **asked})
        assert answer.status_code == 202, answer.text
        return str(answer.json()["run"]["id"])

    def end_of(self, daemon: Running, run: str) -> dict[str, Any]:
        """Return a run once it has ended."""

        with httpx.Client(base_url=daemon.url, headers=self.header, timeout=PATIENCE, verify=IN_THE_CLEAR) as line:

            def ended() -> Any:
                answer = line.get(f"/api/sync/runs/{run}")
                return answer.status_code == 200 and "finished_at" in answer.json()["run"] and answer.json()["run"]

            return wait_for(ended, f"the end of run {run}")  # type: ignore[no-any-return]

    def assert_returns(self, daemon: Running) -> None:
        """The next run succeeds, all answers are right after it, and a full one would change nothing more."""
        self.assert_next_run_is_right(daemon)
        again = self.end_of(daemon, self.run(daemon, mode="full", dry_run=True))
        assert {name for name, count in again["counts"].items() if count} == {"unchanged"}, again

    def assert_next_run_is_right(self, daemon: Running) -> None:
        """The next run succeeds, and all answers are right after it."""
        ended = self.end_of(daemon, self.run(daemon))
        assert ended["state"] == "succeeded", ended
        self.assert_right(daemon)

    def looked_up(self, daemon: Running) -> int:
        """Return how many lookups the daemon has answered, by its metrics."""
        text = daemon.get("/metrics", self.header).text
        return sum(int(float(line.rpartition(" ")[2])) for line in text.splitlines() if line.startswith("rosterd_lookups_total"))

    def audited(self) -> int:
        """Return how many lookups the audit file tells of."""
        return (self.installation.folder / "audit.jsonl").read_text().count('"kind":"lookup"')

    def _people(self) -> list[Entry]:
        return [entry for entry in self.responder.tree.under(PEOPLE) if "uid" in entry.attributes]

    def _listed(self) -> set[str]:
        return {address for entry in self._people() for address in entry.attributes["mail"]}


def serve(installation: Installation, stage: Stage, **environment: str) -> Running:
    """Start a daemon of this stage; it may not be ready yet."""
    return installation.serve(module="tests.daemon.faults.staged_daemon", **stage.as_environment(), **environment)


@contextmanager
def synced(installation: Installation, stage: Stage = _ORDINARY, **environment: str) -> Iterator[tuple[Running, Ledger]]:
    """Yield a daemon of this stage that has synced once, and its ledger. Whatever a test does to it, it ends in order and has met no bug."""
    with serve(installation, stage, **environment) as daemon:
        daemon.ready()
        installation.ended_runs(1)
        ledger = Ledger(installation)
        ledger.assert_right(daemon)
        yield daemon, ledger
        if daemon.process.poll() is None:
            wait_for(lambda: not children_of(daemon.process.pid), "the end of its children")
        assert daemon.end() == 0
        assert "Traceback" not in daemon.log, daemon.log


def stopped_child(daemon: Running) -> int:
    """Return the process id of the daemon's child that has stopped itself, once it has."""

    def stopped() -> int:
        return next((pid for pid in children_of(daemon.process.pid) if _state(pid) == "T"), 0)

    return int(wait_for(stopped, "a child that has stopped at its seam"))


def _state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return ""
