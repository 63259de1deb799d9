"""The public keys with which anybody can check keys that are JWTs. No token: there is nothing secret in them."""

from __future__ import annotations

from litestar import Response, get

from api.desk import Call, context_of

KIND = "application/jwk-set+json"
"""RFC 7517 section 8.5.2."""

FRESH_SECONDS = 300
"""How long a verifier may go on with what it has."""


@get("/.well-known/jwks.json", operation_id="show_jwks", tags=["virtual keys"], security=[{}], sync_to_thread=False)
def show_jwks(request: Call) -> Response[bytes]:
    """The public halves of the keys in `jwt_key_file`, newest first (RFC 7517 section 5); none while there is no such file."""
    headers = {"Cache-Control": f"public, max-age={FRESH_SECONDS}"}
    return Response(context_of(request).jwks, media_type=KIND, headers=headers)
