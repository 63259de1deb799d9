"""The right to sync one source now: taken, renewed, lost, and the record of runs whose process is gone."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import msgspec
from sqlalchemy import Connection, text

from sync.errors import Conflict, LeaseLost, NotFound, RosterError, RunCancelled, StoreUnavailable
from sync.store import alarms
from sync.store.engine import Store
from sync.store.runs import get
from sync.store.views import RunView

LEASE_MS = 60_000
"""A lease not renewed for so long is anybody's, by the database's clock. A commit, which cannot renew it, may take longer all the same: who would
take the lease must write, and the commit has the writers' lock until it has ended, or its host has and the server has noticed."""

NO_REASONS: Mapping[str, str] = MappingProxyType({})


class Holder(msgspec.Struct, frozen=True):
    """A process, named so that no other can be mistaken for it, not even after a reboot or when its pid is used again."""

    host: str
    boot: str
    pid: int
    started: str


class Lease(msgspec.Struct, frozen=True):
    """The lease that a run holds; `fence` grows with every lease of the source."""

    source: str
    run_id: str
    fence: int


class Progress(msgspec.Struct, frozen=True):
    """How far a run is. `phase` is connect, read, plan, evidence, keys or apply."""

    phase: str
    pages: int = 0
    entries: int = 0
    server: str = ""
    expected: int = 0


def this_process() -> Holder:
    """Return this process as a Holder."""
    return Holder(_host(), _boot(), os.getpid(), _started(os.getpid()) or "")


def start(store: Store, run_id: str, me: Holder) -> Lease | None:
    """Take the source's lease and mark the waiting run running; None while another living process holds the lease.

    A lease whose process is gone on this host, or that has expired, is taken at once and its run recorded as killed.
    Raises Conflict when the run no longer waits, NotFound when there is no such run.
    """
    with store.write() as connection:
        run = connection.execute(text("select source, state from run where id = :id"), {"id": run_id}).one_or_none()
        if run is None:
            raise NotFound("run_not_found", f"There is no run {run_id}.")
        source, state = run
        if state != "waiting":
            raise Conflict("run_not_waiting", f"Run {run_id} is {state}; only a waiting run can be started.")
        now = store.now()
        lease = connection.execute(text(f"select {_LEASE} from source where name = :name"), {"name": source}).one()
        if lease.lease_run is not None:
            if not _gone(lease, me.host, now):
                return None
            _record_killed(connection, lease.lease_run, now)
        return _take(connection, Lease(source, run_id, lease.fence + 1), me, now)


def renew(store: Store, lease: Lease, progress: Progress) -> None:
    """Keep the lease and write the progress. Raises LeaseLost, or RunCancelled when an admin asked for it."""
    with store.write() as connection:
        check(connection, lease)
        facts = {"until": store.now() + LEASE_MS, "name": lease.source}
        connection.execute(text("update source set lease_until = :until where name = :name"), facts)
        _write(connection, lease.run_id, progress)
        by = connection.execute(text("select cancel_requested_by from run where id = :id"), {"id": lease.run_id}).scalar_one()
    if by:
        raise RunCancelled("run_cancelled", f"The run was cancelled by {by}; nothing was changed.")


def check(connection: Connection, lease: Lease) -> None:
    """Raise LeaseLost unless `lease` still stands. Inside a write transaction this is the fencing check."""
    held = connection.execute(text("select lease_run, fence from source where name = :name"), {"name": lease.source}).one_or_none()
    if held is None or held.lease_run != lease.run_id or held.fence != lease.fence:
        raise LeaseLost("lease_lost", f"Another process syncs {lease.source} now; this run changed nothing.")


def release(connection: Connection, lease: Lease) -> None:
    """Give the lease back, inside the transaction that ends the run."""
    connection.execute(text(f"update source set {_NO_LEASE} where name = :name and fence = :fence"), {"name": lease.source, "fence": lease.fence})


def fail(store: Store, lease: Lease, error: RosterError, progress: Progress) -> None:
    """Record why and how far on the run ended, and give the lease back; a run that lost its lease meanwhile is left as it is."""
    state = "cancelled" if isinstance(error, RunCancelled) else "failed"
    facts = {"code": error.code, "message": error.message, "remedy": error.remedy}
    with store.write() as connection:
        try:
            check(connection, lease)
        except LeaseLost:
            return
        _write(connection, lease.run_id, progress)
        _end(connection, lease.run_id, state, {name: value for name, value in facts.items() if value}, store.now())
        if state == "failed":
            connection.execute(
                text(
                    "update source set failures = failures + 1"
                    " where name = :name and exists (select 1 from run where id = :id and not dry_run and \"only\" = '')"
                ),
                {"name": lease.source, "id": lease.run_id},
            )
        release(connection, lease)


def reap(store: Store, reasons: Mapping[str, str] = NO_REASONS, *, within_ms: int | None = None) -> list[RunView]:
    """Record as killed every running run whose process is gone from this host, or whose lease has expired; return them.

    `reasons` = {run id: why it was killed}, of those the caller killed itself. Where somebody writes for longer than `within_ms`, the rest is left
    to the next look: it may be one of these runs that commits.
    """
    me = _host()
    with store.read() as connection:
        suspects = connection.execute(text(f"select {_LEASE}, name from source where lease_run is not null")).all()
        suspects = [lease for lease in suspects if _gone(lease, me, store.now())]
    reaped = []
    for suspect in suspects:
        lease = Lease(suspect.name, suspect.lease_run, suspect.fence)
        try:
            with store.write(within_ms=within_ms) as connection:
                if _end_if_gone(connection, lease, me, store.now(), reasons):
                    reaped.append(lease.run_id)
        except StoreUnavailable:
            if within_ms is None:
                raise
            break
    return [get(store, run_id) for run_id in reaped]


def _end_if_gone(connection: Connection, lease: Lease, me: str, now: int, reasons: Mapping[str, str]) -> bool:
    try:
        check(connection, lease)
    except LeaseLost:
        return False
    if not _gone(connection.execute(text(f"select {_LEASE} from source where name = :n"), {"n": lease.source}).one(), me, now):
        return False
    _record_killed(connection, lease.run_id, now, reasons.get(lease.run_id, ""))
    release(connection, lease)
    return True


_LEASE = "fence, lease_run, lease_host, lease_boot, lease_pid, lease_started, lease_until"
_NO_LEASE = "lease_run = null, lease_host = null, lease_boot = null, lease_pid = null, lease_started = null, lease_until = null"


def _write(connection: Connection, run_id: str, progress: Progress) -> None:
    facts = {"id": run_id, "phase": progress.phase, "pages": progress.pages, "entries": progress.entries, "server": progress.server or None}
    connection.execute(text("update run set phase = :phase, pages = :pages, entries = :entries, server = :server where id = :id"), facts)


def _take(connection: Connection, lease: Lease, me: Holder, now: int) -> Lease:
    connection.execute(
        text(
            "update source set fence = :fence, lease_run = :run_id, lease_host = :host, lease_boot = :boot, lease_pid = :pid,"
            " lease_started = :started, lease_until = :until where name = :source"
        ),
        {**msgspec.structs.asdict(lease), **msgspec.structs.asdict(me), "until": now + LEASE_MS},
    )
    connection.execute(
        text("update run set state = 'running', started_at = :now, phase = 'connect', fence = :fence where id = :id"),
        {"now": now, "fence": lease.fence, "id": lease.run_id},
    )
    return lease


def _record_killed(connection: Connection, run_id: str, now: int, why: str = "") -> None:
    what = f"The process that ran this sync was killed: it {why}" if why else "The process that ran this sync is gone"
    error = {
        "code": "killed",
        "message": f"{what}; nothing of the run was committed.",
        "remedy": "The next run starts afresh; look at the system's log if it happens again.",
    }
    _end(connection, run_id, "failed", error, now)


def _end(connection: Connection, run_id: str, state: str, error: dict[str, str], now: int) -> None:
    if state == "failed":
        alarms.run_failed(connection, run_id, error, now)
    connection.execute(
        text("update run set state = :state, error = :error, finished_at = :now where id = :id and state = 'running'"),
        {"state": state, "error": msgspec.json.encode(error).decode(), "now": now, "id": run_id},
    )


def _gone(lease: object, host: str, now: int) -> bool:
    """Tell whether the process that took the lease is provably gone, or has not renewed it in time."""
    if getattr(lease, "lease_host") == host:  # noqa: B009 – rows are untyped
        boot, pid, started = (getattr(lease, f"lease_{name}") for name in ("boot", "pid", "started"))
        if _started(pid) != started:
            return True
        if boot == _boot():
            return False
        # After another boot this is a coincidence. Or none: in a container, a sandboxed unit and a terminal read different ids of the same boot.
    return bool(getattr(lease, "lease_until") < now)  # noqa: B009


def _host() -> str:
    try:
        return Path("/etc/machine-id").read_text().strip() or socket.gethostname()
    except OSError:
        return socket.gethostname()


def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def _started(pid: int) -> str | None:
    """Return the start time of a living process (clock ticks since boot, proc(5)), None for one that is gone or a zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else fields[19]
