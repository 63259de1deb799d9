"""Who may read whose keys: the caller is identified and the store asked in one query."""

from __future__ import annotations

import msgspec

from api.auth.bearers import Credential
from api.auth.keyvalues import is_or_was_key
from api.auth.own import NotOurs
from api.auth.passes import Pass
from api.auth.proxied import asserted_user
from api.desk import Desk
from api.errors import Refusal, not_permitted, unauthenticated
from sync.address import MalformedAddress, normalise
from sync.store import lookup, tokens
from sync.store.lookup import Found

ANY_USER = frozenset({"admin", "lookup"})


class Trail(msgspec.Struct):
    """What is known of a lookup so far: the audit record of it, however it ends.

    `caller` is a jti, the id of a key, an issuer and its subject, or the user whom a proxy asserts; `key_id` the key that the caller stands for.
    """

    client: str
    role: str | None = None
    caller: str | None = None
    matched: str | None = None
    user_id: str | None = None
    key_id: str | None = None


class Asking:
    """One lookup: `address` as decoded from the path, None on /me."""

    def __init__(self, desk: Desk, address: str | None, trail: Trail) -> None:
        self._desk = desk
        self._store = desk.context.store
        self._trail = trail
        self._malformed = ""
        if address is not None:
            try:
                trail.matched = normalise(address)
            except MalformedAddress as error:
                self._malformed = str(error)

    def find(self, credential: Credential) -> Found:
        """Return the user that the caller may see and asked for. Raises Refusal for everything else."""
        found = self._identify(credential)
        self._trail.user_id = found.user_id or None
        if found.outcome != "found":
            raise _not_found(found.outcome, self._trail.matched is not None)
        if not found.email:
            raise Refusal(404, "user_not_found", "This user holds no address now.")
        return found

    def _identify(self, credential: Credential) -> Found:
        if credential.is_asserted:
            return self._by_assertion(credential.text)
        if credential.is_key:
            return self._by_key(credential.text)
        try:
            said = self._desk.own.read(credential.text)
        except NotOurs:
            return self._by_key(credential.text, or_foreign=True)
        if said is None:
            raise unauthenticated()
        return self._by_pass(said)

    def _by_pass(self, said: Pass) -> Found:
        self._trail.role, self._trail.caller = said.role, said.caller
        if said.key_id is not None:
            return self._by_key_id(said)
        found = self._by_device(said) if said.role == "device" else self._by_token(said)
        if said.jti is not None:
            self._desk.uses.add(said.jti)
        return found

    def _by_token(self, said: Pass) -> Found:
        """Answer a token that may ask for anybody, within its bounds; any other stands only to be told no."""
        matched = self._trail.matched
        if matched is None or said.role not in ANY_USER:
            self._check_stands(said)
            self._check_address()
            if said.role not in ANY_USER:
                raise not_permitted()
            raise Refusal(403, "bearer_has_no_user", "This bearer stands for no user; ask by address.")
        found = lookup.by_address(self._store, matched, token=said.shown)
        if said.jti is not None and not found.token_ok:
            raise unauthenticated()
        if not said.reaches(matched, self._trail.client):
            raise Refusal(403, "outside_bounds", "This token was not issued for this address, or not for this network.")
        if found.outcome == "found":
            self._desk.context.fanout.admit(said, found.user_id, self._trail.client, self._store.now())
        return found

    def _by_device(self, said: Pass) -> Found:
        found = lookup.by_user(self._store, said.user_id or "", asked=self._trail.matched, token=said.shown)
        if not found.token_ok:
            raise unauthenticated()
        return self._own(found)

    def _by_key(self, value: str, *, or_foreign: bool = False) -> Found:
        """Answer whoever shows a key's value. A value that is also a token of another issuer is a key first, and dead for good once rotated away."""
        digests = self._desk.context.vault.digests(value)
        found = lookup.by_key(self._store, digests, asked=self._trail.matched)
        if found is None:
            said = self._desk.foreign.read(value) if or_foreign else None
            if said is None or is_or_was_key(self._desk, value):
                raise unauthenticated()
            return self._by_pass(said)
        self._trail.role, self._trail.caller = "key", found.key_id
        return self._of_key(found)

    def _by_key_id(self, said: Pass) -> Found:
        return self._of_key(lookup.by_key_id(self._store, said.key_id or "", issued_at=said.issued_at, asked=self._trail.matched))

    def _by_assertion(self, name: str) -> Found:
        """Answer whom a trusted proxy names: exactly one user, or nobody."""
        self._trail.role = "proxy"
        found = asserted_user(self._desk, name, self._trail.matched)
        if found is None:
            raise unauthenticated()
        self._trail.caller = found.user_id
        return self._own(found)

    def _of_key(self, found: Found | None) -> Found:
        """Let an active key see its user."""
        if found is None or not found.key_active:
            raise unauthenticated()
        self._trail.key_id = found.key_id
        return self._own(found)

    def _own(self, found: Found) -> Found:
        """Let a bearer that stands for one user see that user: any other address is compared, never looked up."""
        self._check_address()
        if self._trail.matched is not None and not found.holds_asked:
            raise Refusal(403, "other_user", "This bearer may ask for its own user only.")
        return found

    def _check_stands(self, said: Pass) -> None:
        if said.jti is not None and tokens.usable(self._store, said.jti) is None:
            raise unauthenticated()

    def _check_address(self) -> None:
        if self._malformed:
            raise Refusal(400, "invalid_email", f"The address {self._malformed}.", param="email")


_MISSING = {
    "user_not_found": "No user holds this address.",
    "user_removed": "The user was removed: the directory has not shown them for longer than the grace.",
    "address_contested": "Several entries list this address and none holds it; an admin can settle it.",
}


def _not_found(outcome: str, by_address: bool) -> Refusal:
    return Refusal(404, outcome, _MISSING[outcome], param="email" if by_address else "")
