"""Values in bodies and queries that are more than their JSON type: durations, addresses."""

from __future__ import annotations

import re

from sync.address import MalformedAddress, normalise
from sync.errors import InvalidRequest

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_DURATION = re.compile(r"([0-9]{1,9})([smhd])")


def parse_duration(text: str, param: str) -> int:
    """Return the seconds of a duration written as in the configuration. Raises InvalidRequest naming `param`."""
    match = _DURATION.fullmatch(text)
    if match is None:
        raise InvalidRequest("invalid_duration", 'A duration is a number and a unit: "90s", "5m", "24h", "90d".', param=param)
    return int(match.group(1)) * _SECONDS[match.group(2)]


def parse_email(text: str, param: str) -> str:
    """Return the compared form of an address. Raises InvalidRequest naming `param`."""
    try:
        return normalise(text)
    except MalformedAddress as error:
        raise InvalidRequest("invalid_email", f"The address {error}.", param=param) from None
