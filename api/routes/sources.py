"""Sources: how they are, paused, resumed."""

from __future__ import annotations

from litestar import Router, get, post
from litestar.params import FromPath

from api.auth.admitting import admit_operator, caller_of
from api.desk import Call, context_of
from api.paths import decode_segment
from api.shapes import SourceAnswer, SourcesAnswer
from sync.store import sources


@get("/", sync_to_thread=True, operation_id="list_sources")
def list_sources(request: Call) -> SourcesAnswer:
    """Every source: state, last and next run, staleness, open hold, unproven people."""
    return SourcesAnswer(sources.list_sources(context_of(request).store))


@post("/{name:str}/pause", sync_to_thread=True, status_code=200, operation_id="pause_source")
def pause_source(request: Call, name: FromPath[str]) -> SourceAnswer:
    """Stop the schedule of a source; lookups and runs that humans ask for go on."""
    return SourceAnswer(sources.pause(context_of(request).store, decode_segment(name, "name"), caller_of(request).name))


@post("/{name:str}/resume", sync_to_thread=True, status_code=200, operation_id="resume_source")
def resume_source(request: Call, name: FromPath[str]) -> SourceAnswer:
    """Let the schedule of a source go on."""
    context = context_of(request)
    source = sources.resume(context.store, decode_segment(name, "name"), caller_of(request).name)
    context.wake()
    return SourceAnswer(source)


router = Router("/api/sources", route_handlers=[list_sources, pause_source, resume_source], guards=[admit_operator], tags=["sources"])
