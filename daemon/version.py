"""Which rosterd this is."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version


def _installed() -> str:
    try:
        return version("rosterd")
    except PackageNotFoundError:
        return "0+source"


VERSION = _installed()
"""The version of the distribution; "0+source" when run from a checkout that was never installed."""
