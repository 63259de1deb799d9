"""What monitoring reads: no token on this machine, else an administrator's or that of `[http] metrics_token_file`."""

from __future__ import annotations

from anyio import to_thread
from litestar import get
from litestar.types import ASGIApp

from api.auth.admitting import admit_monitoring
from api.desk import Call, desk_of
from api.metrics import KIND
from api.reply import Reply


@get("/metrics", guards=[admit_monitoring], operation_id="show_metrics", tags=["health"])
async def show_metrics(request: Call) -> ASGIApp:
    """Everything in Prometheus' text format."""
    desk = desk_of(request)
    context = desk.context
    body = await to_thread.run_sync(context.metrics.render, context.store, context.audit, context.version, limiter=desk.looks)
    return Reply(200, [(b"cache-control", b"no-store")], body, KIND.encode())
