"""What is said of the routes beyond their signatures, as data: errors, parameters, groups. Adding a route? Its line in OPERATIONS is here."""

from __future__ import annotations

from typing import Any, NamedTuple

from api.shapes import ADDRESS

ABOUT = (
    "rosterd makes the virtual keys of an AI gateway follow the company directory. Every answer has `X-Request-Id`; every error has the one shape"
    " `ErrorBody`, with a stable `error.code`. A path that does not exist is a 404 (`route_not_found`), a method that a path does not know a 405"
    " (`method_not_allowed`) with `Allow`. Writes need `Content-Type: application/json` and no foreign `Origin`. Query parameters"
    " that a route does not know are ignored, members of a body refused. Members that do not apply are left out, never null;"
    " times are RFC 3339 in UTC; creations answer 200, as the gateway does, and requests for runs 202."
)

TAGS = {
    "lookup": "The question asked all day: whose keys does an address lead to?",
    "runs": "Runs: requested, listed, watched, decided on. For operators and administrators.",
    "sources": "The directories that are read. For operators and administrators.",
    "users": "Who is known, without key values. For operators and administrators.",
    "addresses": "Contested addresses, and why an address does or does not answer.",
    "tokens": "Bearers of rosterd's own issuer. For administrators.",
    "virtual keys": "Virtual keys by hand; a value is shown once, when it is made. For administrators.",
    "health": "For load balancers and monitoring. No token.",
    "description": "What you are reading.",
}

SCHEMES: dict[str, dict[str, str]] = {
    "bearer": {
        "type": "http",
        "scheme": "bearer",
        "description": "A token that `rosterd token issue` or `POST /api/tokens` made; for the lookup also a virtual key.",
    },
    **{
        name: {"type": "apiKey", "in": "header", "name": name, "description": "A virtual key, as at the gateway. Sees its own user only."}
        for name in ("x-bf-vk", "x-api-key", "x-goog-api-key")
    },
}


class Parameter(NamedTuple):
    """What a parameter is, an example, and what its schema says beyond its type."""

    description: str
    example: Any
    schema: dict[str, Any] = {}  # noqa: RUF012 — never changed


_WHO = {"type": "string", "anyOf": [ADDRESS, {"pattern": "^[^@]*$"}]}

PARAMETERS = {
    "email": Parameter("An e-mail address; in a path percent-encoded as one segment.", "ada.okafor@example.com", ADDRESS),
    "run_id": Parameter("The id of a run, or a unique beginning of six characters or more.", "019ab3f2c1d4e7b0"),
    "user_id": Parameter("The id of a user.", "019ab3f2-c1d4-7e7b-8a05-3c1f9d2b7e64"),
    "key_id": Parameter("The id of a virtual key.", "019ab3f2-c1d5-7012-9f3e-6a7b8c9d0e1f"),
    "jti": Parameter("The id of a token.", "3b9f6c1e-8d24-4c55-9a1e-52d7f6a0b8c3"),
    "name": Parameter("The name of a source, as in the configuration.", "corp"),
    "source": Parameter("Only those of this source.", "corp"),
    "state": Parameter("Only those in this state.", None),
    "kind": Parameter("Only changes of this kind: one of a run's counts in the singular.", "added"),
    "limit": Parameter("How many at most.", 20),
    "cursor": Parameter("Where to go on: the `cursor` of the page before, unchanged.", None, {"pattern": "^([2-7][0-9a-f]){1,100}$"}),
    "page": Parameter("Which page, from 1.", 1),
    "offset": Parameter("How many to leave out first.", 0),
    "search": Parameter("A piece of a name, an id or an address, in any case.", "okafor"),
    "user": Parameter("Only those of this user: an id, or an address that they hold.", None, _WHO),
    "role": Parameter("Only those of this role.", "device"),
    "active": Parameter("Only those that stand; with false only those that do not.", True),
    "dry_run": Parameter("Only say what would change.", True),
    "strict": Parameter("Let a stale source make this a 503.", False),
    "If-None-Match": Parameter("The `ETag` of the answer you have: 304 while it would be the same.", None),
    "If-Match": Parameter("The `ETag` of the key as you saw it: 409 when it has changed since. `*` or nothing: whatever it is.", None),
}

NARROWER: dict[tuple[str, str], dict[str, Any]] = {
    ("list_changes", "cursor"): {"pattern": "^(3[0-9]){1,18}$"},
    ("list_tokens", "cursor"): {"pattern": "^(3[0-9]){1,15}20([2-7][0-9a-f]){1,80}$"},
}
"""What the schema of one route's parameter says beyond that of all routes."""

_NONE = {"type": "null"}
RULES: dict[str, dict[str, Any]] = {
    "TokenRequest": {
        "oneOf": [
            {"properties": {"role": {"enum": ["admin", "operator"]}, "user": _NONE, "domain": _NONE, "cidr": _NONE, "max_users": _NONE}},
            {"properties": {"role": {"const": "device"}, "user": _WHO, "domain": _NONE, "cidr": _NONE, "max_users": _NONE}, "required": ["user"]},
            {"properties": {"role": {"const": "lookup"}, "user": _NONE}},
        ],
        "properties": {"source": _NONE},
    },
}
"""What the members of a shape have to do with one another."""

HEADERS: dict[str, dict[str, Any]] = {
    "X-Request-Id": {"description": "The id of this request, also in the audit file and in an error's `event_id`.", "pattern": "^[0-9a-f]{32}$"},
    "Cache-Control": {"description": "Nothing may be kept by anybody in between.", "const": "no-store"},
    "ETag": {"description": "Stands for what was answered; see `If-None-Match` and `If-Match`.", "pattern": '^"[0-9a-f]{32}"$'},
    "X-Roster-Synced-At": {"description": "When the user's source was last read, in full or for what has changed.", "format": "date-time"},
    "Retry-After": {"description": "Seconds to wait.", "pattern": "^[0-9]+$"},
    "WWW-Authenticate": {"description": "What kind of credential is missing (RFC 6750).", "const": "Bearer"},
}

STATUSES = {
    400: "The request is not what this route takes; `error.param` names what is at fault.",
    401: "No credential, or one that is malformed, unknown, expired, revoked or forged. Never says which.",
    403: "The bearer is valid, and does not reach this.",
    404: "There is no such thing.",
    409: "Refused in the present state.",
    413: "The body is larger than 64 KiB.",
    421: "The `Host` of the request is not one that rosterd answers to.",
    429: "Too many failed authentications from this address; valid bearers from there are still answered.",
    500: "A bug; the log has the traceback under the event id.",
    503: "The store cannot answer now.",
}

WITH_STATUS: dict[int, tuple[str, ...]] = {401: ("WWW-Authenticate",), 429: ("Retry-After",), 503: ("Retry-After",)}
"""The headers that come with a status."""

CODES = {
    "400 two_credentials": ("The request carries two different credentials; send one.", ""),
    "400 malformed_path": ("This part of the path is not percent-encoded UTF-8.", "id"),
    "400 invalid_email": ("The address has no @.", "email"),
    "400 invalid_parameter": ("Expected `int` <= 100", "limit"),
    "400 malformed_request": ("The request cannot be read: malformed JSON, or not the shape this route takes.", ""),
    "400 duplicate_member": ("This member is there twice.", "name"),
    "400 json_required": ("A write needs Content-Type: application/json.", "Content-Type"),
    "400 invalid_duration": ('A duration is a number and a unit: "90s", "5m", "24h", "90d".', "ttl"),
    "400 invalid_cursor": ("The cursor is not one that a list answered.", "cursor"),
    "400 invalid_expiry": ("That moment has passed already.", "expires_at"),
    "400 invalid_overlap": ("An overlap is at most 30 days.", "overlap"),
    "400 expiry_required": ("A key that is a JWT has an expiry.", "expires_at"),
    "400 invalid_user": ("A device token stands for one user, and no other token does.", "user"),
    "401 not_authenticated": ("This needs a valid bearer token.", ""),
    "403 role_not_permitted": ("This bearer's role does not permit this.", ""),
    "403 foreign_origin": ("A page of another origin may not write here.", ""),
    "403 other_user": ("This bearer may ask for its own user only.", ""),
    "403 outside_bounds": ("This token was not issued for this address, or not for this network.", ""),
    "403 too_many_users": ("This token has read as many different users within a day as it may.", ""),
    "403 bearer_has_no_user": ("This bearer stands for no user; ask by address.", ""),
    "404 user_not_found": ("No user holds this address.", "email"),
    "404 user_removed": ("The user was removed: the directory has not shown them for longer than the grace.", "email"),
    "404 address_contested": ("Several entries list this address and none holds it; an admin can settle it.", "email"),
    "404 run_not_found": ("There is no such run, or several begin so.", ""),
    "404 source_not_found": ("There is no such source.", ""),
    "404 token_not_found": ("There is no such token.", ""),
    "404 virtual_key_not_found": ("There is no such key.", ""),
    "409 run_not_held": ("Run 019ab3f2c1d4e7b0 withholds nothing that could be decided on.", ""),
    "409 hold_not_open": ("The hold of run 019ab3f2c1d4e7b0 was superseded meanwhile.", ""),
    "409 run_not_revertible": ("Run 019ab3f2c1d4e7b0 is failed: it changed nothing that could be undone.", ""),
    "409 source_busy": ("Run 019ab3f2c1d4e7b0 of corp is running. Let it end, or cancel it; then try again.", ""),
    "409 run_ended": ("Run 019ab3f2c1d4e7b0 has succeeded already. Only a waiting or running run can be cancelled.", ""),
    "409 source_unconfigured": ("The source corp is no longer in the configuration. Put its [[source]] table back to sync it.", ""),
    "409 address_contested": ("Several entries list this address and none holds it. Settle it first, or name the user's id.", ""),
    "409 address_not_claimed": ("The entry of ada does not list it@example.com. Only a claimant can hold an address.", ""),
    "409 user_removed": ("This user was removed. Only somebody whom a directory shows can have a new key.", ""),
    "409 name_taken": ("This user has a key named laptop already. Give it another name.", ""),
    "409 value_exists": ("This value is a key's already.", ""),
    "409 value_retired": ("This value was a key's before.", ""),
    "409 value_ends_first": ("The value of this key is a JWT that itself ends earlier; nothing was done. Rotate the key.", ""),
    "409 changed_meanwhile": ("The key has been changed since you saw it; nothing was done. Look at it again, then decide.", ""),
    "413 body_too_large": ("The body is larger than this route takes.", ""),
    "421 unknown_host": ("rosterd does not answer to this Host; [http] hosts lists the names it does.", ""),
    "429 too_many_failures": ("Too many failed authentications from this address.", ""),
    "429 too_many_streams": ("Too many event streams are open.", ""),
    "500 internal_error": ("Something went wrong inside rosterd; its log has the details under this event id.", ""),
    "503 store_restored": ("The store was put back from a backup, and its sources have not all been read since.", ""),
    "503 store_unavailable": ("The store cannot answer now; the log of rosterd says why.", ""),
}
"""Status and code to (a message, the parameter at fault): the examples of errors. docs/errors.md explains every code."""

EVERYWHERE = ("421 unknown_host", "500 internal_error")
AUTHENTICATED = ("400 two_credentials", "401 not_authenticated", "403 role_not_permitted", "429 too_many_failures", "503 store_unavailable")
WRITES = ("400 json_required", "403 foreign_origin", "413 body_too_large")
BODIES = ("400 malformed_request", "400 invalid_parameter", "400 duplicate_member")
LOOKUPS = (
    "400 invalid_email",
    "403 other_user",
    "403 outside_bounds",
    "403 too_many_users",
    "404 user_not_found",
    "404 user_removed",
    "404 address_contested",
    "503 store_restored",
)

OPERATIONS: dict[str, tuple[str, tuple[str, ...]]] = {
    "look_up_by_email": ("The virtual keys of whoever holds an address", LOOKUPS),
    "look_up_by_email_in_governance": ("The same, under the newer path", LOOKUPS),
    "look_up_me": ("The virtual keys of the user that the bearer stands for", ("403 bearer_has_no_user", "404 user_not_found", "404 user_removed")),
    "request_run": ("Ask for a run", ("400 invalid_email", "404 source_not_found", "409 source_unconfigured")),
    "list_runs": ("Runs, newest first", ("400 invalid_cursor",)),
    "show_run": ("One run", ("404 run_not_found",)),
    "list_changes": ("What a run changed, would have changed, or withheld", ("400 invalid_cursor", "404 run_not_found")),
    "approve_run": ("Approve what a held run withholds", ("404 run_not_found", "409 run_not_held", "409 hold_not_open", "409 source_unconfigured")),
    "discard_run": ("Say no to what a held run withholds", ("404 run_not_found", "409 run_not_held", "409 hold_not_open")),
    "revert_run": ("Undo what a run did", ("404 run_not_found", "409 run_not_revertible", "409 source_busy", "409 source_unconfigured")),
    "cancel_run": ("Cancel a run", ("404 run_not_found", "409 run_ended")),
    "watch_run": ("Watch a run", ("404 run_not_found", "429 too_many_streams")),
    "list_sources": ("Every source and how it is", ()),
    "pause_source": ("Stop the schedule of a source", ("404 source_not_found",)),
    "resume_source": ("Let the schedule of a source go on", ("404 source_not_found",)),
    "list_users": ("One page of users", ()),
    "show_user": ("One user by id", ("404 user_not_found",)),
    "show_user_by_email": ("One user by address", ("400 invalid_email", "404 user_not_found")),
    "block_user": ("Make a user's keys inactive", ("404 user_not_found",)),
    "unblock_user": ("Take a block back", ("404 user_not_found",)),
    "list_conflicts": ("Contested addresses", ()),
    "give_address": ("Settle a contested address", ("400 invalid_email", "404 user_not_found", "409 address_not_claimed")),
    "explain_address": ("Why an address does or does not answer", ("400 invalid_email",)),
    "issue_token": (
        "Issue a token",
        ("400 invalid_duration", "400 invalid_email", "400 invalid_user", "404 user_not_found", "404 source_not_found", "409 address_contested"),
    ),
    "list_tokens": (
        "Tokens' records, newest first",
        ("400 invalid_cursor", "400 invalid_email", "404 user_not_found", "409 address_contested"),
    ),
    "revoke_token": ("Revoke a token", ("404 token_not_found",)),
    "list_keys_of_user": ("One page of the keys of one user", ("404 user_not_found",)),
    "mint_key": (
        "Mint or import a key",
        (
            "400 invalid_expiry",
            "400 expiry_required",
            "404 user_not_found",
            "409 name_taken",
            "409 value_exists",
            "409 value_retired",
            "409 user_removed",
        ),
    ),
    "list_keys": ("One page of all keys", ()),
    "show_key": ("One key", ("404 virtual_key_not_found",)),
    "change_key": (
        "Name, switch or time a key",
        ("400 invalid_expiry", "404 virtual_key_not_found", "409 name_taken", "409 value_ends_first", "409 changed_meanwhile"),
    ),
    "rotate_key": (
        "Give a key a new value",
        (
            "400 invalid_duration",
            "400 invalid_overlap",
            "400 invalid_expiry",
            "400 expiry_required",
            "404 virtual_key_not_found",
            "409 changed_meanwhile",
        ),
    ),
    "delete_key": ("Delete a key", ("404 virtual_key_not_found", "409 changed_meanwhile")),
    "show_jwks": ("The public keys with which keys that are JWTs are checked", ()),
    "live": ("This process answers", ()),
    "ready": ("This process can answer lookups", ()),
    "show_metrics": ("Everything in Prometheus' text format", ()),
    "show_openapi": ("This description", ()),
    "show_docs": ("This description, for people", ()),
}
"""Operation to (summary, errors that only some routes have)."""
