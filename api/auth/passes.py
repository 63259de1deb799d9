"""What a token with a good signature says."""

from __future__ import annotations

from typing import Any

import msgspec

from api.clients import parse_address
from sync.address import domain_of
from sync.store.lookup import Shown

LONGEST_TOKEN = 8192
"""Octets; a longer credential is refused unread."""


class Pass(msgspec.Struct, frozen=True):
    """What a token says that holds good until `expires_at` (seconds); whether it still stands is the store's word, asked anew each time.

    `caller` is who the audit names. `jti` = its row in the store, None for another issuer's token, which has none. `user_id` is only of a device;
    `key_id` only of a token that stands for a virtual key, issued at `issued_at` (ms).
    """

    role: str
    caller: str
    expires_at: int
    jti: str | None = None
    user_id: str | None = None
    key_id: str | None = None
    issued_at: int = 0
    domain: str | None = None
    network: Any = None
    max_users: int | None = None

    @property
    def shown(self) -> Shown:
        """Return what the store must say of the token as well."""
        cidr = None if self.network is None else str(self.network)
        return Shown(self.jti, self.role, self.user_id, self.domain, cidr, self.max_users)

    def reaches(self, matched: str | None, client: str) -> bool:
        """Tell whether the bounds of the token let this client ask for this address (None: for no address)."""
        if self.domain is not None and (matched is None or domain_of(matched) != self.domain):
            return False
        if self.network is None:
            return True
        address, network = parse_address(client), self.network
        return address is not None and address.version == network.version and address in network
