"""Users: listed, shown, blocked. No key values."""

from __future__ import annotations

from typing import Annotated

from litestar import Router, get, post
from litestar.params import FromPath, FromQuery, QueryParameter

from api.auth.admitting import admit_operator, caller_of
from api.desk import Call, context_of
from api.paths import decode_segment
from api.shapes import UserAnswer, UserState
from sync.store import people
from sync.store.views import UserPage


@get("/", sync_to_thread=True, operation_id="list_users")
def list_users(
    request: Call,
    page: Annotated[int, QueryParameter(ge=1, le=1_000_000)] = 1,
    limit: Annotated[int, QueryParameter(ge=1, le=100)] = 20,
    search: Annotated[str, QueryParameter(max_length=254)] = "",
    in_state: Annotated[UserState | None, QueryParameter(name="state")] = None,
    source: FromQuery[str | None] = None,
) -> UserPage:
    """One page of users, by username; `search` is found in username, name and addresses."""
    return people.list_users(context_of(request).store, page=page, limit=limit, search=search, state=in_state, source=source)


@get("/{user_id:str}", sync_to_thread=True, operation_id="show_user")
def show_user(request: Call, user_id: FromPath[str]) -> UserAnswer:
    """One user by id."""
    return UserAnswer(people.get_user(context_of(request).store, decode_segment(user_id, "id")))


@get("/email/{email:str}", sync_to_thread=True, operation_id="show_user_by_email")
def show_user_by_email(request: Call, email: FromPath[str]) -> UserAnswer:
    """Whoever holds the address, else whose entry lists it."""
    return UserAnswer(people.find_user(context_of(request).store, decode_segment(email, "email")))


@post("/{user_id:str}/block", sync_to_thread=True, status_code=200, operation_id="block_user")
def block_user(request: Call, user_id: FromPath[str]) -> UserAnswer:
    """Make a user's keys inactive from the next request on; waits for nothing, and no sync undoes it."""
    return UserAnswer(people.block(context_of(request).store, decode_segment(user_id, "id"), caller_of(request).name))


@post("/{user_id:str}/unblock", sync_to_thread=True, status_code=200, operation_id="unblock_user")
def unblock_user(request: Call, user_id: FromPath[str]) -> UserAnswer:
    """Take a block back."""
    return UserAnswer(people.unblock(context_of(request).store, decode_segment(user_id, "id"), caller_of(request).name))


router = Router(
    "/api/users", route_handlers=[list_users, show_user, show_user_by_email, block_user, unblock_user], guards=[admit_operator], tags=["users"]
)  # fmt: skip
