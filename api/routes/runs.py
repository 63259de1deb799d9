"""Runs: requested, listed, decided on."""

from __future__ import annotations

from typing import Annotated

from litestar import Router, get, post
from litestar.params import FromPath, FromQuery, JSONBody, QueryParameter

from api.auth.admitting import admit_operator, caller_of
from api.desk import Call, context_of
from api.paths import decode_segment
from api.routes.events import watch_run
from api.shapes import ChangesAnswer, RunAnswer, RunRequest, RunsAnswer, RunState
from api.values import parse_email
from sync.store import runs
from sync.store.reverting import Asked, revert

State = Annotated[RunState | None, QueryParameter(name="state")]
Cursor = FromQuery[str | None]
Limit = Annotated[int, QueryParameter(ge=1, le=100)]


@post("/", sync_to_thread=True, status_code=202, operation_id="request_run")
def request_run(request: Call, data: JSONBody[RunRequest]) -> RunAnswer:
    """Ask for a run; it joins the waiting one of its kind."""
    request.scope["state"]["target"] = {"source": data.source}
    if data.only:
        parse_email(data.only, "only")
    context = context_of(request)
    mode, reason = ("full", "full was asked for") if data.mode == "full" else ("incremental", "")
    run = runs.request(
        context.store, data.source, trigger="api", requested_by=caller_of(request).name, mode=mode, mode_reason=reason, dry_run=data.dry_run,
        only=data.only,
    )  # fmt: skip
    context.wake()
    return RunAnswer(run)


@get("/", sync_to_thread=True, operation_id="list_runs")
def list_runs(request: Call, source: FromQuery[str | None] = None, in_state: State = None, limit: Limit = 20, cursor: Cursor = None) -> RunsAnswer:
    """Runs, newest first."""
    return RunsAnswer(*runs.list_runs(context_of(request).store, source=source, state=in_state, limit=limit, cursor=cursor))


@get("/{run_id:str}", sync_to_thread=True, operation_id="show_run")
def show_run(request: Call, run_id: FromPath[str]) -> RunAnswer:
    """One run, by its id or a unique beginning of six characters or more."""
    return RunAnswer(runs.get(context_of(request).store, decode_segment(run_id, "id")))


@get("/{run_id:str}/changes", sync_to_thread=True, operation_id="list_changes")
def list_changes(
    request: Call, run_id: FromPath[str], kind: FromQuery[str | None] = None, limit: Limit = 100, cursor: Cursor = None
) -> ChangesAnswer:
    """What a run changed, would have changed, or withheld."""
    return ChangesAnswer(*runs.changes(context_of(request).store, decode_segment(run_id, "id"), kind=kind, limit=limit, cursor=cursor))


@post("/{run_id:str}/approve", sync_to_thread=True, status_code=202, operation_id="approve_run")
def approve_run(request: Call, run_id: FromPath[str]) -> RunAnswer:
    """Say yes to exactly what a held run withholds; answers with the full run that will carry it out."""
    context = context_of(request)
    run = runs.approve(context.store, decode_segment(run_id, "id"), caller_of(request).name)
    context.wake()
    return RunAnswer(run)


@post("/{run_id:str}/discard", sync_to_thread=True, status_code=200, operation_id="discard_run")
def discard_run(request: Call, run_id: FromPath[str]) -> RunAnswer:
    """Say no: the people stay, and exactly this set raises no alarm again."""
    return RunAnswer(runs.discard(context_of(request).store, decode_segment(run_id, "id"), caller_of(request).name))


@post("/{run_id:str}/revert", sync_to_thread=True, status_code=200, operation_id="revert_run")
def revert_run(request: Call, run_id: FromPath[str], dry_run: FromQuery[bool] = False) -> RunAnswer:
    """Undo what a run did to people, and pause its source; answers with the run that the revert is."""
    asked = Asked(caller_of(request).name, "api", dry_run)
    return RunAnswer(revert(context_of(request).store, decode_segment(run_id, "id"), asked))


@post("/{run_id:str}/cancel", sync_to_thread=True, status_code=200, operation_id="cancel_run")
def cancel_run(request: Call, run_id: FromPath[str]) -> RunAnswer:
    """Cancel a waiting run at once, ask a running one to stop before its commit."""
    return RunAnswer(runs.cancel(context_of(request).store, decode_segment(run_id, "id"), caller_of(request).name))


router = Router(
    "/api/sync/runs",
    route_handlers=[request_run, list_runs, show_run, list_changes, approve_run, discard_run, revert_run, cancel_run, watch_run],
    guards=[admit_operator],
    tags=["runs"],
)
