"""What was just pushed becomes users, in the very transaction that keeps it: the same plan, guard, addresses, keys and record as of any run."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from msgspec.structs import replace

from sync import guard, weigh
from sync.commit import Commit, Frame
from sync.directory import Proof
from sync.guard import Loss
from sync.ids import new_ids
from sync.intake import staged
from sync.policy import Rule, compile_rules
from sync.sealing import Sealer
from sync.settings import Policy, SourceSettings
from sync.sources.push.reading import PushReading
from sync.store import cursors, events, holds, issuing, kept, pushruns
from sync.store.engine import Connection, Store
from sync.store.facts import accepted_facts
from sync.store.keyring import check_vault
from sync.store.outcome import ChangeLog
from sync.store.staging import Staging
from sync.store.within import Within
from sync.vault import Mint, Vault, mint_value
from sync.weigh import Comparison, Picture


@dataclass(frozen=True, slots=True)
class Pushing:
    """Everything that taking over a push needs: the composition root fills it in, from the configuration that the daemon lives by.

    `sources` = by name; `mint` and `revive_within` as in sync.run.RunSetting.
    """

    store: Store
    vault: Vault
    sources: Mapping[str, SourceSettings]
    policies: Sequence[Policy]
    normalise_group: Callable[[str], str]
    mint: Mint = mint_value
    revive_within: int = 90 * 86_400

    def apply(self, connection: Connection, source: str, user_ids: Collection[str]) -> None:
        """Take over what was just written about these users of `source` (their SCIM ids), inside the open write transaction that wrote it.

        What the guard withholds stays as it was, and waits in the source's open hold; the push itself succeeds all the same. While the
        source is paused nothing is taken over: the run that follows its end does. Raises StoreUnavailable, and Conflict when the
        encryption key went out of use.
        """
        ids = sorted(set(user_ids))
        if not pushruns.note_push(connection, source, self.store.now()):
            cursors.look_again(connection, [(source, one) for one in ids])
        elif ids:
            _Push(self, connection, self.sources[source], ids).apply()


class _Push:
    """One push, in its transaction."""

    def __init__(self, setting: Pushing, connection: Connection, source: SourceSettings, ids: list[str]) -> None:
        self._setting, self._connection, self._source, self._ids = setting, connection, source, ids
        self._store = Within(setting.store, connection)
        self._now = self._store.now()
        self._rules: tuple[Rule, ...] = compile_rules(setting.policies, source.name, setting.normalise_group)
        self._sealer = Sealer(self._store, setting.vault, setting.mint, source.name, self._rules, setting.revive_within)
        self._looked = kept.user_ids(connection, source.name, ids)
        """Users whom this push is about; who is new is not among them, and cannot have anything withheld yet."""
        self._waiting, self._silenced = holds.waiting(connection, source.name), holds.silenced(connection, source.name)

    def apply(self) -> None:
        """Do what a run does from its plan on."""
        began = time.monotonic()
        staging = Staging(self._store, self._connection)
        picture = self._look(staging)
        self._judge(picture)
        self._sealer.seal(self._connection, staging)
        self._commit(staging, picture, began)

    def _look(self, staging: Staging) -> Picture:
        connection, source, now = self._connection, self._source, self._now
        reading = PushReading(source, sorted({group for rule in self._rules for group in rule.groups}), connection)
        people = reading.find_ids(self._ids).persons
        staging.add([staged(person, self._rules, now) for person in people])
        found = reading.groups_found()
        proof = Proof(False, reading.server, 1, len(people), "only what was pushed was looked at", found)
        # Whether anybody at all is in a policy's groups is all that is asked, and no push counts the members of a large group.
        members = {rule.name: sum(found.get(group, 0) is None for group in rule.groups) for rule in self._rules}
        picture = Picture(proof, accepted_facts(connection, source.name), seen_members=members)
        weigh.compare_all(connection, staging, Comparison(source.name, self._ids, new_ids().__next__), picture)
        weigh.find_losses(connection, staging, source, self._rules, now, picture)
        absent = kept.load_all(connection, (known.user_id for known in picture.absent))
        weigh.find_departures(reading, absent, now, picture, trusted=True)
        return picture

    def _judge(self, picture: Picture) -> None:
        """Let the guard rule as in any run, with what the open hold withholds from others added up; an approval that waits for its run gives way
        to whom it names, and stops nobody else."""
        connection, source, losses = self._connection, self._source, frozenset(picture.losses)
        if not losses:
            return
        approved = losses & _losses(holds.standing(connection, source.name, self._now) or ())
        others = _losses(item for item in self._waiting if item[0] not in self._looked)
        changed = weigh.changed_configuration(source, picture.facts)
        # A deletion is the provider's own word; what an entry lists may look different because of what we made of it.
        alarms = (changed,) if changed and any(loss.what == "last_address" for loss in losses) else ()
        ruling = guard.rule(losses - approved, replace(weigh.measure(connection, source, self._now, picture, others), alarms=alarms))
        picture.ruling = replace(ruling, allowed=ruling.allowed | approved)
        picture.told = ruling.withheld & _losses(self._waiting | self._silenced)

    def _commit(self, staging: Staging, picture: Picture, began: float) -> None:
        connection, source, now = self._connection, self._source, self._now
        check_vault(connection, self._setting.vault)
        run = pushruns.begin(connection, source.name, now)
        log = ChangeLog(run.id, dry_run=False)
        frame = Frame(source, run.id, now, self._sealer.away_before, lambda: None)
        Commit(connection, staging, frame, picture, log).apply(self._rules, complete=False, everybody=False)
        held = self._settle_holds(run, picture)
        if not held and not any(count for kind, count in log.counts.items() if kind != "unchanged"):
            pushruns.leave(connection, run)
            return
        log.flush(connection, rest=True)
        log.counts["unchanged"] += picture.unchanged
        pushruns.add(connection, run, log.counts, people=len(self._ids), held=held, seconds=time.monotonic() - began, now=now)

    def _settle_holds(self, run: pushruns.PushRun, picture: Picture) -> bool:
        """Write what the ruling means for the open hold and the limits; tell whether it withholds something that was not withheld before.

        A push says nothing of people whom it is not about: what is withheld from them stays withheld.
        """
        connection, source, now, ruling = self._connection, self._source.name, self._now, picture.ruling
        waiting, silenced = self._waiting, self._silenced
        if not picture.losses and not waiting and not silenced:
            return False
        holds.record_losses(connection, source, run.id, ruling.counted, now)
        items = frozenset(item for item in waiting | silenced if item[0] not in self._looked) | ruling.withheld
        if not ruling.held or items <= waiting:
            holds.narrow(connection, source, waiting & items, now)
            holds.narrow_silence(connection, source, silenced & items, now)
            return False
        if run.state == "held":
            holds.reopen(connection, run.id, ruling.why, items, now)
            return True
        holds.open_hold(connection, source, run.id, ruling.why, items, now)
        detail = {"source": source, "trigger": "push", "why": ruling.why, "people": len({user_id for user_id, _ in items})}
        events.record(connection, "run.held", issuing.BY, now, run_id=run.id, detail=detail)  # one alarm a minute, however the set grows
        return True


def _losses(items: Iterable[holds.Item]) -> frozenset[Loss]:
    return frozenset(Loss(*item) for item in items)
