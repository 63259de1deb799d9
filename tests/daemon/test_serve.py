"""The daemon as a real process: how it begins, answers, reloads, suffers and ends."""

from __future__ import annotations

import os
import pickle
import re
import signal
import socket
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from daemon.config import load
from daemon.demo.misbehaviour import Misbehaviour
from daemon.demo.responder import Responder
from daemon.handover import pack, with_newest_passwords
from sync.settings import Secret
from tests.daemon.installation import ROOT, Installation, Running, children_of, is_alive, wait_for

ADA = "/api/users/email/ada@example.com/virtual-keys"


def test_it_begins_answers_and_ends_in_order(installation: Installation) -> None:
    """Ready is said when it answers, though there was no store; the first sync comes by itself; SIGTERM ends with 0 and leaves no process."""
    (installation.folder / "rosterd.db").unlink(missing_ok=True)
    with installation.serve() as daemon:
        assert any(state.startswith("STATUS=Answers on http://127.0.0.1:") for state in daemon.hear("READY=1"))
        assert daemon.get("/health/ready").status_code == 200
        (run,) = installation.ended_runs(1)
        assert (run.state, run.trigger, run.counts["added"]) == ("succeeded", "startup", 30)
        answer = daemon.get(ADA, installation.token("lookup")).json()
        assert answer["email"] == "ada.okafor@example.com"
        assert answer["virtual_keys"][0]["is_active"] and answer["virtual_keys"][0]["value"].startswith("sk-bf-")
        assert daemon.end() == 0
        assert daemon.hear("STOPPING=1")
        assert "a sync succeeded" in daemon.log and "rosterd has ended" in daemon.log
        assert "sk-bf-" not in daemon.log and "Bearer" not in daemon.log
    audit = (installation.folder / "audit.jsonl").read_text()
    assert audit.count('"kind":"lookup"') == 1 and "sk-bf-" not in audit


def test_it_loads_nothing_heavy_before_it_is_needed(installation: Installation) -> None:
    """Ready within two seconds, on 120 MB: no SCIM, Pydantic, HTTP client, LDAP, migrations or terminal painting, though providers push to it."""
    pushed = "[[source]]\nname = 'okta'\nkind = 'scim-push'\n"
    installation.configure(http="port = 0\npublic_url = 'https://keys.example.com'", sources=("corp",), more=pushed)
    with installation.serve(PYTHONPROFILEIMPORTTIME="1") as daemon:
        loaded = {line.rpartition("|")[2].strip() for line in daemon.ready().log.splitlines() if line.startswith("import time:")}
        assert {"litestar.app", "sqlalchemy", "api.scim.mount"} <= loaded
        heavy = {"scim2_models", "scim2_server", "pydantic", "httpx", "ldap3", "alembic", "sqlmodel", "rich", "pygments"}
        assert not heavy & {name.partition(".")[0] for name in loaded}
        status = Path(f"/proc/{daemon.process.pid}/status").read_text()
        assert int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) < 120 * 1024  # type: ignore[index]


def test_ctrl_c_is_an_order_too(installation: Installation) -> None:
    """SIGINT ends it like SIGTERM."""
    with installation.serve() as daemon:
        daemon.ready().tell(signal.SIGINT)
        assert daemon.wait() == 0


def test_a_port_in_use_is_exit_7(installation: Installation) -> None:
    """One sentence with the address and the remedy, no traceback."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        installation.configure(http=f"port = {port}")
        with installation.serve() as daemon:
            assert daemon.wait() == 7
            assert f"127.0.0.1:{port}" in daemon.log and "[http] port" in daemon.log
            assert "Traceback" not in daemon.log


def test_mistakes_in_the_configuration_are_exit_78(installation: Installation) -> None:
    """All of them at once, to the terminal; under systemd as records, and as the unit's status."""
    installation.config.write_text(installation.config.read_text().replace("[http]", "[http]\nhsot = 1").replace('kind = "ldap"', 'kind = "ldpa"'))
    with installation.serve() as daemon:
        assert daemon.wait() == 78
        assert "hsot" in daemon.log and "ldpa" not in daemon.log.replace('"ldpa"', "") and "Traceback" not in daemon.log
    with installation.serve(INVOCATION_ID="x") as daemon:
        assert daemon.wait() == 78
        assert daemon.log.count("<2>rosterd cannot go on") == 2
        assert daemon.hear("STATUS=")


@pytest.mark.sqlite
def test_a_store_that_cannot_be_used_is_exit_5(installation: Installation) -> None:
    """A file that is no database is named, not overwritten."""
    (installation.folder / "rosterd.db").write_text("a letter, not a database\n" * 100)
    with installation.serve() as daemon:
        assert daemon.wait() == 5
        assert "rosterd.db" in daemon.log and "Traceback" not in daemon.log
    assert (installation.folder / "rosterd.db").read_text().startswith("a letter")


def test_a_bad_reload_is_refused_and_a_good_one_taken(installation: Installation) -> None:
    """Every problem is logged, the old configuration goes on; mended, the new source is synced at once."""
    with installation.serve() as daemon:
        daemon.ready()
        installation.ended_runs(1)
        good = installation.config.read_text()
        installation.config.write_text(good.replace('name = "corp"', 'name = "corp"\nbasis = 1') + "\n[nonsense]\n")
        daemon.tell(signal.SIGHUP)
        daemon.hear("RELOADING=1")
        daemon.hear("READY=1")
        assert daemon.log.count("the new configuration is refused") == 2
        assert daemon.get(ADA, installation_token(installation, good)).status_code == 200
        installation.configure(sources=("corp", "partner"))
        daemon.tell(signal.SIGHUP)
        daemon.hear("RELOADING=1")
        assert any("corp, partner" in state for state in daemon.hear("READY=1"))
        assert {run.source for run in installation.ended_runs(2)} == {"corp", "partner"}
        assert daemon.end() == 0


def installation_token(installation: Installation, good: str) -> dict[str, str]:
    """Return a token made with the configuration as it was, leaving the broken one in place."""
    broken = installation.config.read_text()
    installation.config.write_text(good)
    try:
        return installation.token("lookup")
    finally:
        installation.config.write_text(broken)


def test_a_reload_takes_new_secrets_and_names_what_it_cannot_follow(installation: Installation) -> None:
    """A secret taken out of the file no longer verifies; another port needs a restart, and the log says so."""
    with installation.serve() as daemon:
        daemon.ready()
        installation.ended_runs(1)
        old = installation.token("lookup")
        assert daemon.get(ADA, old).status_code == 200
        installation.secret("jwt.secret", "x" * 64)
        installation.configure(http="port = 1")
        daemon.tell(signal.SIGHUP)
        daemon.hear("RELOADING=1")
        daemon.hear("READY=1")
        assert daemon.get(ADA, old).status_code == 401
        assert daemon.get(ADA, installation.token("lookup")).status_code == 200
        assert "needs a restart" in daemon.log and "[http] port" in daemon.log


def test_a_vault_key_of_another_store_is_refused_at_reload(installation: Installation) -> None:
    """Nobody can make the daemon forget the key that the store was sealed with."""
    from sync.vault import generate_key_line

    with installation.serve() as daemon:
        daemon.ready()
        installation.ended_runs(1)
        installation.secret("vault.keys", generate_key_line())
        daemon.tell(signal.SIGHUP)
        daemon.hear("RELOADING=1")
        daemon.hear("READY=1")
        assert "encryption_key_file" in daemon.log
        answer = daemon.get(ADA, installation.token("lookup"))
        assert answer.json()["virtual_keys"][0]["value"].startswith("sk-bf-")


def test_the_watchdog_is_fed(installation: Installation) -> None:
    """WATCHDOG=1 comes again and again, from the event loop."""
    with installation.serve(WATCHDOG_USEC="300000") as daemon:
        for _ in range(3):
            daemon.hear("WATCHDOG=1")
        assert daemon.end() == 0


def test_a_dead_clock_starves_the_watchdog(installation: Installation) -> None:
    """A daemon whose clock has stopped says nothing more, so that systemd starts it afresh."""
    script = f"""
import sys
from pathlib import Path
from typing import Any
from daemon.clock import Clock
from daemon.logs import configure_logs
from daemon.serve import serve
Clock.is_alive = False
configure_logs()
sys.exit(serve(Path({str(installation.config)!r})))
"""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as line:
        line.bind(str(installation.folder / "notify"))
        line.settimeout(30)
        environment = os.environ | {"WATCHDOG_USEC": "100000", "NOTIFY_SOCKET": str(installation.folder / "notify")}
        with subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True) as process:
            assert process.stderr is not None
            assert any("the clock has stopped" in line for line in process.stderr)
            process.kill()
        line.setblocking(False)
        heard = []
        while True:
            try:
                heard.append(line.recv(4096))
            except BlockingIOError:
                break
        assert heard and not any(b"WATCHDOG=1" in states for states in heard)


def test_a_child_killed_in_the_middle_fails_its_run_and_the_next_works(installation: Installation, responder: Responder) -> None:
    """SIGKILL while the directory is being read: the run is `killed`, lookups go on, the next run succeeds."""
    responder.misbehave = Misbehaviour(hang_after=5)
    with installation.serve() as daemon:
        daemon.ready()
        installation.reading_run()
        (child,) = children_of(daemon.process.pid)
        os.kill(child, signal.SIGKILL)
        (failed,) = installation.ended_runs(1)
        assert failed.state == "failed" and failed.error is not None and failed.error.code == "killed"
        assert daemon.get("/health/live").status_code == 200
        responder.misbehave = Misbehaviour()
        asked = daemon.post("/api/sync/runs", installation.token("operator"), {"source": "corp"})
        assert asked.status_code == 202
        newest = installation.ended_runs(2)[0]
        assert (newest.id, newest.state, newest.trigger) == (asked.json()["run"]["id"], "succeeded", "api")
        assert daemon.end() == 0


def test_a_killed_daemon_takes_its_child_along(installation: Installation, responder: Responder) -> None:
    """SIGKILL of the daemon ends the child too; the next daemon records the run and syncs."""
    responder.misbehave = Misbehaviour(hang_after=5)
    with installation.serve() as daemon:
        daemon.ready()
        installation.reading_run()
        (child,) = children_of(daemon.process.pid)
        daemon.tell(signal.SIGKILL)
        daemon.wait()
        wait_for(lambda: not is_alive(child), "the end of the child")
    responder.misbehave = Misbehaviour()
    installation.configure(every="1s")
    with installation.serve() as daemon:
        daemon.ready()
        found = installation.ended_runs(2)
        assert found[-1].error is not None and found[-1].error.code == "killed"
        assert found[-2].state == "succeeded"


def test_ending_lets_a_child_leave_and_its_run_says_so(installation: Installation, responder: Responder) -> None:
    """SIGTERM in the middle of a read: the child unwinds, the run is recorded as interrupted, nothing is left."""
    responder.misbehave = Misbehaviour(hang_after=5)
    with installation.serve() as daemon:
        daemon.ready()
        installation.reading_run()
        (child,) = children_of(daemon.process.pid)
        assert daemon.end() == 0
        assert not is_alive(child)
    (run,) = installation.runs()
    assert run.state == "failed" and run.error is not None and run.error.code == "interrupted"


def listens(at: tuple[str, int]) -> bool:
    """Tell whether somebody takes connections there."""
    with socket.socket() as probe:
        return probe.connect_ex(at) == 0


def test_who_has_only_just_connected_is_answered_at_the_end(installation: Installation) -> None:
    """A first request that arrives when the daemon has ceased to listen gets its answer, not a reset; and the connection is closed after it."""
    with installation.serve() as daemon:
        daemon.ready()
        at = ("127.0.0.1", int(daemon.url.rpartition(":")[2]))
        with socket.create_connection(at) as line, socket.create_connection(at) as silent:
            assert daemon.get("/health/live").status_code == 200  # both have been accepted before
            daemon.tell(signal.SIGTERM)
            wait_for(lambda: not listens(at), "the listener to be gone")
            line.sendall(b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n")
            line.settimeout(10)
            answer = b"".join(iter(lambda: line.recv(4096), b""))
            assert answer.startswith(b"HTTP/1.1 200 ") and b"connection: close" in answer.lower()
            assert daemon.wait() == 0
            assert silent.recv(1) == b""


def test_an_open_stream_does_not_hold_up_the_end(installation: Installation, responder: Responder) -> None:
    """Whoever follows a run by Server-Sent Events is told goodbye."""
    responder.misbehave = Misbehaviour(hang_after=5)
    with installation.serve() as daemon:
        daemon.ready()
        run = installation.reading_run()
        header, received = installation.token("operator"), list[str]()

        def follow() -> None:
            with httpx.stream("GET", f"{daemon.url}/api/sync/runs/{run.id}/events", headers=header, timeout=30) as stream:
                for line in stream.iter_lines():
                    received.append(line)

        following = threading.Thread(target=follow)
        following.start()
        wait_for(lambda: any("read" in line for line in received), "the stream's first event")
        assert daemon.end() == 0
        following.join(10)
        assert not following.is_alive()


def test_two_daemons_on_one_store_take_turns(installation: Installation, tmp_path: Path) -> None:
    """Either may start a run, never both the same turn, and neither takes the other's run for dead."""
    installation.configure(every="2s")
    with installation.serve() as one:
        one.ready()
        with installation.serve() as other:
            other.ready()
            found = installation.ended_runs(4)
            assert [run.state for run in found if run.finished_at] == ["succeeded"] * sum(bool(run.finished_at) for run in found)
            assert other.end() == 0
        assert one.end() == 0


def test_a_daemon_that_was_given_a_socket_serves_on_it(installation: Installation) -> None:
    """A Unix socket beside TCP, for a proxy on this machine; it is gone afterwards."""
    path = installation.folder / "http.sock"
    installation.configure(http=f'port = 0\nunix_socket = "{path}"')
    with installation.serve() as daemon:
        daemon.ready()
        with httpx.Client(transport=httpx.HTTPTransport(uds=str(path))) as client:
            assert client.get("http://localhost/health/live").status_code == 200
        assert daemon.end() == 0
    assert not path.exists()


def test_runs_go_on_by_the_configuration_in_force(installation: Installation) -> None:
    """What is edited into the file, bad or good, is nobody's business until a reload: runs and lookups go on as before."""
    with installation.serve() as daemon:
        daemon.ready()
        installation.ended_runs(1)
        header = installation.token("admin")
        good = installation.config.read_text()
        for number, edited in enumerate((good + "\n[nonsense]\n", good.replace("ou=people", "ou=groups")), 2):
            installation.config.write_text(edited)
            assert daemon.post("/api/sync/runs", header, {"source": "corp"}).status_code == 202
            installation.config.write_text(edited)
            newest = wait_for_run(daemon, header, number)
            assert (newest["state"], newest["counts"]["unchanged"]) == ("succeeded", 30)
        assert daemon.get(ADA, header).status_code == 200


def wait_for_run(daemon: Running, header: dict[str, str], count: int) -> Any:
    """Return the newest run, asked over HTTP, once so many have ended."""

    def ended() -> Any:
        found = daemon.get("/api/sync/runs", header).json()["runs"]
        return found[0] if len(found) >= count and "finished_at" in found[0] else None

    return wait_for(ended, f"{count} runs")


def test_a_rotated_password_needs_no_reload(installation: Installation, responder: Responder) -> None:
    """The next run binds with what the file holds then; everything else waits for SIGHUP."""
    with installation.serve() as daemon:
        daemon.ready()
        installation.ended_runs(1)
        responder.password = "another"
        installation.secret("ldap.password", "another")
        daemon.post("/api/sync/runs", installation.token("operator"), {"source": "corp"})
        assert installation.ended_runs(2)[0].state == "succeeded"


def test_a_password_never_goes_to_another_server(installation: Installation) -> None:
    """A file whose password and server both changed is not followed halfway."""
    accepted = load(installation.config)
    installation.secret("ldap.password", "for-the-new-server")
    assert with_newest_passwords(accepted).sources[0].password == Secret("for-the-new-server")
    installation.config.write_text(installation.config.read_text().replace("127.0.0.1", "localhost"))
    assert with_newest_passwords(accepted) == accepted
    assert pickle.loads(pack(accepted)) == accepted  # noqa: S301 – our own octets


@pytest.mark.sqlite
def test_a_store_that_vanishes_is_named_and_found_again(installation: Installation) -> None:
    """Lookups answer 503, the log names the trouble, and when the file is back everything goes on without a restart."""
    with installation.serve() as daemon:
        daemon.ready()
        installation.ended_runs(1)
        header = installation.token("operator")
        store = installation.folder / "rosterd.db"
        installation.open().close()
        for file in sorted(installation.folder.glob("rosterd.db*")):
            with suppress(FileNotFoundError):  # what stands beside the database goes with its last connection, which may be just now
                file.rename(file.with_name("away-" + file.name))
        store.mkdir()
        assert daemon.get(ADA, header).status_code == 503
        assert "could not be asked for waiting runs" in wait_for(lambda: "could not be asked" in daemon.log and daemon.log)
        store.rmdir()
        for file in installation.folder.glob("away-*"):
            file.rename(file.with_name(file.name.removeprefix("away-")))
        assert wait_for(lambda: daemon.post("/api/sync/runs", header, {"source": "corp"}).status_code == 202)
        assert installation.ended_runs(2)[0].state == "succeeded"
