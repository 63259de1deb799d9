"""Minting and sealing the keys that policies owe to whom was staged; the commit gives them out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from sync.ids import new_ids
from sync.policy import Rule
from sync.store import kept
from sync.store.engine import Connection, Store
from sync.store.staging import BEFORE_ALL, StagedKey, Staging
from sync.vault import Mint, Vault


class _Owed(NamedTuple):
    """A key, or its next value, that somebody is owed by a rule."""

    external_id: str
    user_id: str
    rule: Rule
    key_id: str


@dataclass(frozen=True, slots=True)
class Sealer:
    """Makes the keys of one source. `mint(user_id, key_id, expires_at)` makes a value; who has been away for more than `revive_within`
    seconds does not get their old keys back."""

    store: Store
    vault: Vault
    mint: Mint
    source: str
    rules: Sequence[Rule]
    revive_within: int

    @property
    def away_before(self) -> int:
        """Who has been away since before this moment (ms) is owed new keys."""
        return self.store.now() - self.revive_within * 1000

    def seal(self, connection: Connection, staging: Staging) -> None:
        """Stage a sealed key for everybody whom a policy owes one, and the next value of each key that expires soon."""
        with self.store.read(on=connection):
            renewals = {rule: self._renewable(connection, staging, rule) for rule in self.rules if rule.expires_after is not None}
        rules, new_id = {rule.name: rule for rule in self.rules}, new_ids()
        for batch in kept.batches(self._entitled(connection, staging)):
            self._stage(staging, [_Owed(external_id, user_id, rules[policy], next(new_id)) for external_id, user_id, policy in batch])
        for rule, due in renewals.items():
            for expiring in kept.batches(due):
                self._stage(staging, [_Owed(external_id, user_id, rule, key_id) for external_id, user_id, key_id in expiring], renew=True)

    def _entitled(self, connection: Connection, staging: Staging) -> Iterator[tuple[str, str, str]]:
        """Yield whoever is owed a first key: of a million newcomers that is everybody, so never all of them are in memory."""
        after = BEFORE_ALL
        while True:
            with self.store.read(on=connection):
                page = staging.entitled(connection, self.source, self.away_before, after)
            if not page:
                return
            yield from page
            after = page[-1][0], page[-1][2]

    def _renewable(self, connection: Connection, staging: Staging, rule: Rule) -> list[tuple[str, str, str]]:
        return list(staging.renewable(connection, self.source, rule.name, self.store.now() + rule.renew_before * 1000))

    def _stage(self, staging: Staging, owed: Sequence[_Owed], *, renew: bool = False) -> None:
        now = self.store.now()
        ends = {rule.name: None if rule.expires_after is None else now + rule.expires_after * 1000 for rule in self.rules}
        values = [self.mint(user_id, key_id, ends[rule.name]) for _, user_id, rule, key_id in owed]
        sealed = self.vault.seal_all((value, one.key_id, one.user_id) for value, one in zip(values, owed, strict=True))
        staging.add_keys([
            StagedKey(key_id, external_id, rule.name, box, self.vault.digest(value), ends[rule.name], renew)
            for (external_id, _, rule, key_id), value, box in zip(owed, values, sealed, strict=True)
        ])  # fmt: skip
