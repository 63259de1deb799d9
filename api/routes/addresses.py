"""Addresses: contested ones, settling one, and why an address does or does not answer."""

from __future__ import annotations

from typing import Annotated

from litestar import Router, get, post
from litestar.params import JSONBody, QueryParameter

from api.auth.admitting import admit_admin, admit_operator, caller_of
from api.desk import Call, context_of
from api.shapes import ConflictsAnswer, ExplainAnswer, GiveRequest, UserAnswer
from api.values import parse_email
from sync.store import addresses


@get("/conflicts", sync_to_thread=True, guards=[admit_operator], operation_id="list_conflicts")
def list_conflicts(request: Call) -> ConflictsAnswer:
    """Every contested address, with both entries named and a proposal."""
    return ConflictsAnswer(addresses.conflicts(context_of(request).store))


@post("/addresses/give", sync_to_thread=True, status_code=200, guards=[admit_admin], operation_id="give_address")
def give_address(request: Call, data: JSONBody[GiveRequest]) -> UserAnswer:
    """Make a user the holder of an address that their entry lists."""
    context = context_of(request)
    asked = context.vault.tag("asked", parse_email(data.address, "address").encode())
    request.scope["state"]["target"] = {"asked": asked, "user_id": data.user_id}
    return UserAnswer(addresses.give(context.store, data.address, data.user_id, caller_of(request).name))


@get("/explain", sync_to_thread=True, guards=[admit_operator], operation_id="explain_address")
def explain_address(request: Call, email: Annotated[str, QueryParameter(max_length=1024)]) -> ExplainAnswer:
    """Why an address does or does not answer. A query turns `+` into a space, and no address holds one: it is turned back."""
    return ExplainAnswer(addresses.explain(context_of(request).store, email.replace(" ", "+")))


router = Router("/api", route_handlers=[list_conflicts, give_address, explain_address], tags=["addresses"])
