"""The key sets that issuers publish at a URL, as last fetched: the daemon puts them here in the background, requests only look."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from api.auth.keysets import KeySet
from api.settings import IssuerSettings

_NONE = KeySet()


class Published:
    """One set for each issuer and URL; it outlives a reload of the configuration. Used on the event loop only."""

    def __init__(self) -> None:
        self._sets: dict[tuple[str, str], KeySet] = {}
        self.when_wanted: Callable[[IssuerSettings], None] | None = None
        """Called when a token names a key that the set of its issuer lacks; returns at once."""

    def keys_of(self, issuer: IssuerSettings) -> KeySet:
        """Return the last good set, an empty one before there is any."""
        return self._sets.get(_place(issuer), _NONE)

    def put(self, issuer: IssuerSettings, keys: KeySet) -> None:
        """Let this be the issuer's set from now on."""
        self._sets[_place(issuer)] = keys

    def withdraw(self, issuer: IssuerSettings) -> None:
        """Let the issuer have no set, until there is another."""
        self._sets.pop(_place(issuer), None)

    def keep_only(self, issuers: Iterable[IssuerSettings]) -> None:
        """Forget the sets of all others."""
        wanted = {_place(issuer) for issuer in issuers}
        self._sets = {place: keys for place, keys in self._sets.items() if place in wanted}

    def want(self, issuer: IssuerSettings) -> None:
        """Say that a token names a key which is not there."""
        if self.when_wanted is not None:
            self.when_wanted(issuer)


def _place(issuer: IssuerSettings) -> tuple[str, str]:
    return issuer.issuer, issuer.jwks_url
