"""The app: every route, and what stands in front of them."""

from __future__ import annotations

from typing import Any

from litestar import Litestar, Response, Router, get
from litestar.datastructures import State
from litestar.openapi.config import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.openapi.spec import Components, SecurityScheme
from litestar.types import ASGIApp

from api.auth.admitting import admit_local
from api.context import ApiContext
from api.desk import Call, Desk, event_id_of
from api.errors import error_body, refuse
from api.front import Front
from api.routes import addresses, health, jwks, keys, lookup, metrics, runs, sources, tokens, users


def build(context: ApiContext) -> ASGIApp:
    """Return the ASGI app. Its lifespan must run (last uses of tokens are written then, and alarms told)."""
    desk = Desk(context)
    lookups = [lookup.look_up_by_email, lookup.look_up_in_governance, lookup.look_up_me]
    routers = [runs.router, sources.router, users.router, addresses.router, tokens.router, keys.router, health.router]
    app = Litestar(
        route_handlers=[*lookups, *routers, jwks.show_jwks, show_openapi, metrics.show_metrics],
        state=State({"desk": desk}),
        exception_handlers={Exception: _answer_error},
        response_headers={"Cache-Control": "no-store"},
        request_max_body_size=context.settings.max_body,
        openapi_config=_openapi(context.version),
        lifespan=[desk.uses.kept, desk.alarm.kept],
        logging_config=None,
        debug=False,
    )
    return Front(app, desk)


def _answer_error(request: Call, error: Exception) -> Response[bytes]:
    """Answer any failure of any route in the one shape."""
    event_id = event_id_of(request.scope)
    refusal = refuse(error, event_id)
    headers = {"Cache-Control": "no-store", **dict(refusal.headers)}
    return Response(error_body(refusal, event_id), status_code=refusal.status, media_type="application/json", headers=headers)


@get("/openapi.json", guards=[admit_local], include_in_schema=False, sync_to_thread=True)
def show_openapi(request: Call) -> dict[str, Any]:
    """The description of this API, to this machine or an administrator."""
    return request.app.openapi_schema.to_schema()


def _openapi(version: str) -> OpenAPIConfig:
    scheme = SecurityScheme(type="http", scheme="bearer", description="A token of rosterd, or, for the lookup, a virtual key.")
    return OpenAPIConfig(
        title="rosterd",
        version=version,
        components=Components(security_schemes={"bearer": scheme}),
        security=[{"bearer": []}],
        render_plugins=[JsonRenderPlugin()],
        openapi_router=Router("/docs", route_handlers=[], guards=[admit_local], include_in_schema=False),
    )
