"""What the caller wants to read, and whether it has it already (RFC 9110 sections 12.5.1 and 13.1.2)."""

from __future__ import annotations

from api.clients import Headers


def wants_text(headers: Headers) -> bool:
    """Tell whether plain text is wanted rather than JSON: it must be named; of equals, JSON when it is named too."""
    accepted = [value for name, value in headers if name == b"accept"]
    if not any(b"text/plain" in value.lower() for value in accepted):
        return False
    weights: dict[str, float] = {}
    for one in b",".join(accepted).decode("latin-1").lower().split(","):
        kind, *params = (part.strip() for part in one.split(";"))
        weights[kind] = _weight(params)
    text = weights.get("text/plain", 0.0)
    if "application/json" in weights:
        return text > weights["application/json"]
    return text > 0 and text >= weights.get("application/*", weights.get("*/*", 0.0))


def has_already(headers: Headers, etag: bytes) -> bool:
    """Tell whether If-None-Match names this tag (weak comparison), or any."""
    for name, value in headers:
        if name == b"if-none-match":
            tags = (tag.strip().removeprefix(b"W/") for tag in value.split(b","))
            if any(tag in (etag, b"*") for tag in tags):
                return True
    return False


def expected_version(headers: Headers) -> str | None:
    """Return the version that If-Match names (RFC 9110 section 13.1.1), None where any will do."""
    for name, value in headers:
        if name == b"if-match" and value.strip() != b"*":
            return value.decode("latin-1").strip().removeprefix("W/").strip('"')
    return None


def _weight(params: list[str]) -> float:
    for param in params:
        name, _, value = param.partition("=")
        if name.strip() == "q":
            try:
                return float(value)
            except ValueError:
                return 0.0
    return 1.0
