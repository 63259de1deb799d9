"""The app: every route, and what stands in front of them."""

from __future__ import annotations

from litestar import Litestar, Response, Router
from litestar.datastructures import State
from litestar.plugins import PluginProtocol
from litestar.plugins.core import MsgspecDIPlugin
from litestar.types import ASGIApp

from api.checking import check_request
from api.context import ApiContext
from api.desk import Call, Desk, event_id_of
from api.errors import error_body, refuse
from api.front import Front
from api.routes import addresses, description, health, jwks, keys, lookup, metrics, runs, sources, tokens, users
from api.scim.mount import ScimMount


class _Lean(Litestar):
    """Litestar without its plugins for Pydantic and attrs, which no route of ours needs: loading Pydantic is a tenth of the daemon's start."""

    @staticmethod
    def _get_default_plugins(plugins: list[PluginProtocol]) -> list[PluginProtocol]:
        return [*plugins, MsgspecDIPlugin()]


def build(context: ApiContext) -> ASGIApp:
    """Return the ASGI app. Its lifespan must run (last uses of tokens are written then, and alarms told)."""
    desk = Desk(context)
    routers = [runs.router, sources.router, users.router, addresses.router, tokens.router, keys.router, health.router]
    checked = Router("/", route_handlers=routers, before_request=check_request)
    app = _Lean(
        route_handlers=[*lookup.ROUTES, checked, jwks.show_jwks, metrics.show_metrics, description.show_openapi, description.show_docs],
        state=State({"desk": desk}),
        exception_handlers={Exception: _answer_error},
        response_headers={"Cache-Control": "no-store"},
        request_max_body_size=context.settings.max_body,
        openapi_config=None,
        lifespan=[desk.uses.kept, desk.alarm.kept],
        logging_config=None,
        debug=False,
    )
    return Front(app, desk, ScimMount(desk))


def _answer_error(request: Call, error: Exception) -> Response[bytes]:
    """Answer any failure of any route in the one shape."""
    event_id = event_id_of(request.scope)
    refusal = refuse(error, event_id)
    headers = {"Cache-Control": "no-store", **dict(refusal.headers)}
    return Response(error_body(refusal, event_id), status_code=refusal.status, media_type="application/json", headers=headers)
