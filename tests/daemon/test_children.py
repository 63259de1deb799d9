"""Children are real processes on a real store: started, watched, killed, and their runs recorded."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

import pytest

import daemon.children
from daemon.children import Children
from daemon.process import Program
from sync.store import runs
from sync.store.engine import Store
from sync.store.views import RunView

BEGIN = """
import os, signal, sys, time
from daemon.child import die_with_parent, _leave
die_with_parent()
signal.signal(signal.SIGTERM, _leave)
from sync.errors import RosterError, RunCancelled
from sync.settings import StoreSettings
from sync.store import lease
from sync.store.engine import open_store
from sync.store.lease import Progress
store = open_store(StoreSettings(sys.argv[1]))
held = lease.start(store, sys.argv[2], lease.this_process())
def beat(pages=1):
    lease.renew(store, held, Progress("read", pages, 10 * pages))
def fail(code="no_such_thing"):
    lease.fail(store, held, RosterError(code, "It went wrong.", "Mend it."), Progress("read", 1, 10))
"""


@pytest.fixture(autouse=True)
def logs(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """Return what the daemon logs."""
    caplog.set_level(logging.DEBUG, "daemon")
    return caplog


def events(logs: pytest.LogCaptureFixture) -> list[str]:
    """Return the events logged so far."""
    return [record.event for record in logs.records if hasattr(record, "event")]


def request(store: Store, source: str = "corp", **more: bool) -> RunView:
    """Ask for a run as the API does."""
    return runs.request(store, source, trigger="api", requested_by="tests", **more)  # type: ignore[arg-type]


async def until(condition: Callable[[], bool]) -> None:
    """Wait until something is so."""
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.02)


def with_children(
    store: Store, url: str, script: str, test: Callable[[Children], Awaitable[None]], *, patience: float = 600.0, begin: str = BEGIN
) -> None:
    """Run `test` while Children dispatches runs to processes that execute `script`."""

    async def scenario() -> None:
        children = Children(store, lambda run_id: Program([sys.executable, "-c", begin + script, url, run_id]), lambda source: patience)
        dispatching = asyncio.create_task(children.run())
        try:
            await test(children)
        finally:
            await children.stop(within=5)
            await dispatching

    asyncio.run(scenario())


def ended(store: Store, run: RunView, state: str = "failed") -> Callable[[], bool]:
    """Return a question: has this run ended so?"""
    return lambda: runs.get(store, run.id).state == state


def test_a_waiting_run_gets_a_child_and_its_end_is_logged(store: Store, store_url: str, logs: pytest.LogCaptureFixture) -> None:
    """Whoever requests a run need not tell the daemon: it looks, starts a child, and says how the run ended."""

    async def test(children: Children) -> None:
        run = request(store)
        await until(ended(store, run))
        await until(lambda: "run.failed" in events(logs))
        record = next(record for record in logs.records if getattr(record, "event", "") == "run.failed")
        assert (record.run, record.source, record.code, record.remedy) == (run.id, "corp", "no_such_thing", "Mend it.")  # type: ignore[attr-defined]

    with_children(store, store_url, "fail()", test)


def test_what_a_child_says_is_logged_under_its_run(store: Store, store_url: str, logs: pytest.LogCaptureFixture) -> None:
    """Both streams are taken, with the level a line begins with, and whatever bytes they hold, as a field."""

    async def test(children: Children) -> None:
        run = request(store)
        await until(lambda: events(logs).count("child.said") == 3)
        said = [(r.levelname, r.said, r.run) for r in logs.records if getattr(r, "event", "") == "child.said"]  # type: ignore[attr-defined]
        assert set(said) == {("WARNING", "careful", run.id), ("INFO", "hello \\xff", run.id), ("INFO", "no newline", run.id)}

    script = "os.write(1, b'hello \\xff\\n'); os.write(2, b'<4>careful\\n\\nno newline'); fail()"
    with_children(store, store_url, script, test)


def test_one_child_a_source_and_sources_beside_each_other(store: Store, store_url: str) -> None:
    """A real and a dry run of one source follow each other; another source does not wait for them."""

    async def test(children: Children) -> None:
        first, dry, other = request(store), request(store, dry_run=True), request(store, "partner")
        children.wake()
        await until(lambda: runs.get(store, first.id).state == "running" and runs.get(store, other.id).state == "running")
        assert runs.get(store, dry.id).state == "waiting"
        runs.cancel(store, first.id, "tests")
        await until(ended(store, first, "cancelled"))
        await until(lambda: runs.get(store, dry.id).state == "running")

    script = """
try:
    while True:
        beat()
        time.sleep(0.1)
except RunCancelled as error:
    lease.fail(store, held, error, Progress("read"))
"""
    with_children(store, store_url, script, test)


def test_a_child_that_is_killed_leaves_a_failed_run_and_the_next_one_works(store: Store, store_url: str, logs: pytest.LogCaptureFixture) -> None:
    """SIGKILL from anywhere: the run is recorded as killed at once, and nothing blocks the next."""

    async def test(children: Children) -> None:
        for _ in range(2):
            run = request(store)
            children.wake()
            await until(ended(store, run, "running"))
            os.kill([r.pid for r in logs.records if getattr(r, "event", "") == "run.started"][-1], signal.SIGKILL)  # type: ignore[attr-defined]
            await until(ended(store, run))
            error = runs.get(store, run.id).error
            assert error is not None and error.code == "killed"
            await until(lambda: not children._children)

    with_children(store, store_url, "time.sleep(600)", test)


def test_a_child_without_progress_is_killed(store: Store, store_url: str, logs: pytest.LogCaptureFixture) -> None:
    """A run that renews its lease but gets nowhere is hung, and ended."""

    async def test(children: Children) -> None:
        run = request(store)
        await until(ended(store, run))
        assert [r.why for r in logs.records if getattr(r, "event", "") == "child.killed"] == ["made no progress"]  # type: ignore[attr-defined]
        error = runs.get(store, run.id).error
        assert error is not None
        assert "it made no progress" in error.message

    script = "\nwhile True:\n    beat()\n    time.sleep(0.1)"
    with_children(store, store_url, script, test, patience=1.5)


def test_a_child_that_gets_on_is_left_alone(store: Store, store_url: str, logs: pytest.LogCaptureFixture) -> None:
    """Pages keep a slow run alive far beyond the patience for one."""

    async def test(children: Children) -> None:
        run = request(store)
        await until(ended(store, run))
        assert "child.killed" not in events(logs)

    script = "\nfor page in range(40):\n    beat(page)\n    time.sleep(0.1)\nfail()"
    with_children(store, store_url, script, test, patience=2.0)


def test_a_child_that_falls_silent_is_killed(store: Store, store_url: str, logs: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stopped process renews nothing; it does not block its source for ever."""
    monkeypatch.setattr(daemon.children, "SILENT_FOR", 1.5)

    async def test(children: Children) -> None:
        run = request(store)
        await until(ended(store, run))
        assert [r.why for r in logs.records if getattr(r, "event", "") == "child.killed"] == ["did not renew its lease"]  # type: ignore[attr-defined]

    with_children(store, store_url, "os.kill(os.getpid(), signal.SIGSTOP)", test)


@pytest.mark.parametrize("ignored", ["pass", "signal.signal(signal.SIGTERM, signal.SIG_IGN)"])
def test_a_cancelled_run_ends_even_if_its_child_does_not_listen(store: Store, store_url: str, monkeypatch: pytest.MonkeyPatch, ignored: str) -> None:
    """A child that does not see the cancellation is asked with SIGTERM, then killed."""
    monkeypatch.setattr(daemon.children, "OBEY_WITHIN", 0.5)

    async def test(children: Children) -> None:
        run = request(store)
        await until(ended(store, run, "running"))
        runs.cancel(store, run.id, "tests")
        await until(ended(store, run))

    with_children(store, store_url, f"{ignored}\ntime.sleep(600)", test)


def test_a_child_that_cannot_begin_is_tried_again_less_and_less_often(store: Store, store_url: str, logs: pytest.LogCaptureFixture) -> None:
    """The run stays waiting, nothing spins, and a new configuration is tried at once."""

    async def test(children: Children) -> None:
        run = request(store)
        await until(lambda: events(logs).count("child.failed") == 2)
        waits = [r.again_in for r in logs.records if getattr(r, "event", "") == "child.failed"]  # type: ignore[attr-defined]
        assert waits == ["1s", "2s"]
        assert runs.get(store, run.id).state == "waiting"
        children.forgive()
        await until(lambda: events(logs).count("child.failed") == 3)

    with_children(store, store_url, "", test, begin="raise SystemExit(78)")


def test_a_program_that_is_not_there_is_only_a_failure_to_begin(store: Store, logs: pytest.LogCaptureFixture) -> None:
    """Even when no process can be made at all, the daemon goes on."""

    async def scenario() -> None:
        children = Children(store, lambda run_id: Program(["/nonexistent/python"]), lambda source: 60.0)
        dispatching = asyncio.create_task(children.run())
        request(store)
        await until(lambda: "child.failed" in events(logs))
        await children.stop(within=1)
        await dispatching

    asyncio.run(scenario())


def test_a_run_whose_process_died_elsewhere_is_recorded(store: Store, store_url: str, logs: pytest.LogCaptureFixture) -> None:
    """A sync in somebody's terminal that was killed does not stay `running` while a daemon looks."""
    run = request(store)
    subprocess.run([sys.executable, "-c", BEGIN + "os._exit(9)", store_url, run.id], check=False)
    assert runs.get(store, run.id).state == "running"

    async def test(children: Children) -> None:
        await until(ended(store, run))
        await until(lambda: "run.failed" in events(logs))

    with_children(store, store_url, "", test)


def test_stopping_asks_first_and_then_kills(store: Store, store_url: str) -> None:
    """A child that listens to SIGTERM records why it ended; one that does not is killed; neither stays behind."""
    polite = "\ntry:\n    time.sleep(600)\nexcept SystemExit:\n    fail('interrupted')"
    rude = "\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\ntime.sleep(600)"
    codes = []
    for script in (polite, rude):
        run = request(store)

        async def test(children: Children, run: RunView = run) -> None:
            await until(ended(store, run, "running"))
            await asyncio.sleep(0.5)  # so that the script has set up its signals
            await children.stop(within=1)

        with_children(store, store_url, script, test)
        error = runs.get(store, run.id).error
        assert error is not None
        codes.append(error.code)
    assert codes == ["interrupted", "killed"]


def test_a_child_does_not_outlive_its_daemon(store: Store, store_url: str) -> None:
    """SIGKILL of the parent takes the child with it: the kernel sees to that."""
    parent = f"""
import asyncio, sys
from daemon.process import Process, Program
async def main():
    child = await Process.start(Program([sys.executable, "-c", {BEGIN + "beat(); time.sleep(600)"!r}, {store_url!r}, {request(store).id!r}]), {{}})
    print(child.pid, flush=True)
    await asyncio.sleep(600)
asyncio.run(main())
"""
    with subprocess.Popen([sys.executable, "-c", parent], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        pid = int(process.stdout.readline())
        asyncio.run(until(lambda: bool(runs.list_runs(store, state="running")[0])))
        process.kill()
    asyncio.run(until(lambda: not alive(pid)))


def alive(pid: int) -> bool:
    """Tell whether a process runs (a zombie does not)."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    return False


def test_a_child_gives_way_to_the_daemon() -> None:
    """Where both want the processor, lookups go first: a child is nicer than whoever started it; and for want of memory the child ends first."""
    show = "print(os.nice(0), open('/proc/self/oom_score_adj').read())"
    script = f"import atexit, os; from daemon.child import main; atexit.register(lambda: {show}); main()"
    done = subprocess.run([sys.executable, "-c", script, "--version"], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.splitlines()[-2:] == [f"{min(19, os.nice(0) + 10)} 500", ""]


def test_a_child_inherits_none_of_our_secrets(store: Store, store_url: str, logs: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment is a list of what a child needs; stdin is empty."""
    for name in ("NOTIFY_SOCKET", "WATCHDOG_USEC", "LISTEN_FDS", "JOURNAL_STREAM", "INVOCATION_ID", "MY_PASSWORD", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "hidden")
    monkeypatch.setenv("LC_TIME", "C")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", "/run/credentials/x")

    async def test(children: Children) -> None:
        request(store)
        await until(lambda: "run.failed" in events(logs))
        said = " ".join(r.said for r in logs.records if getattr(r, "event", "") == "child.said")  # type: ignore[attr-defined]
        assert "CREDENTIALS_DIRECTORY" in said and "LC_TIME" in said and "PATH" in said and "stdin=''" in said
        assert not {"NOTIFY", "WATCHDOG", "LISTEN", "JOURNAL", "INVOCATION", "PASSWORD", "SECRET"} & set(said.replace("_", " ").split())

    with_children(store, store_url, "print(*os.environ, f'stdin={sys.stdin.read()!r}', flush=True); fail()", test)
