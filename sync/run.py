"""One run from request to recorded outcome: read → plan → guard → apply → commit."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace

from sync import jump, weigh
from sync.approach import Approach
from sync.commit import Commit, Frame, settle_holds
from sync.directory import Source
from sync.errors import RosterError, SourceRefused
from sync.ids import new_ids
from sync.intake import Intake
from sync.policy import compile_rules
from sync.pulse import Pulse
from sync.sealing import Sealer
from sync.settings import Policy, SourceSettings
from sync.store import kept, restoring
from sync.store.engine import Connection, Store
from sync.store.facts import SourceFacts, count_refused_bind, keep_stamp, set_times_right, source_facts
from sync.store.keyring import check_vault
from sync.store.lease import Lease, Progress, check, fail, start, this_process
from sync.store.outcome import ChangeLog, Ending, ReadFrom, accept_read, end
from sync.store.runs import get
from sync.store.staging import Staging
from sync.store.views import RunView
from sync.store.within import Within
from sync.vault import Mint, Vault, mint_value
from sync.weigh import Comparison, Picture

LAST_BIND = 2
"""Wrong passwords before rosterd stops trying, so that it never locks its own account out (rule 11)."""


@dataclass(frozen=True, slots=True)
class RunSetting:
    """Everything a run needs: the composition root fills it in. `mint(user_id, key_id, expires_at)` makes a key value. Who comes
    back after more than `revive_within` seconds gets new keys; the old ones stay off."""

    store: Store
    vault: Vault
    source: SourceSettings
    policies: Sequence[Policy]
    open_source: Callable[[SourceSettings, Sequence[str]], Source]
    normalise_group: Callable[[str], str]
    progress: Callable[[Progress], None] = lambda progress: None
    mint: Mint = mint_value
    revive_within: int = 90 * 86_400


def perform(setting: RunSetting, run_id: str) -> RunView:
    """Run the waiting run `run_id` and return how it ended; still waiting when another process holds the lease.

    Expected failures are recorded in the run's row and returned in it; StoreUnavailable and bugs raise, a bug being recorded too.
    """
    lease = start(setting.store, run_id, this_process())
    if lease is None:
        return get(setting.store, run_id)
    pulse = Pulse(setting.store, lease, setting.progress)
    try:
        with pulse:
            if setting.source.is_pushed:
                _perform_at_once(setting, lease, pulse)
            else:
                _Attempt(setting, lease, pulse).run()
    except RosterError as error:
        fail(setting.store, lease, error, pulse.progress)
    except BaseException as cause:
        fail(setting.store, lease, _unexpected(cause), pulse.progress)
        raise
    return get(setting.store, run_id)


def _perform_at_once(setting: RunSetting, lease: Lease, pulse: Pulse) -> None:
    """Run from the first read to the commit in one write transaction: what is pushed stands in our own tables, and a push that came in between
    would be undone by a run that had read before it."""
    pulse.last_beat(Progress("read"))
    with setting.store.dedicated() as connection, setting.store.write(on=connection):
        _Attempt(replace(setting, store=Within(setting.store, connection)), lease, pulse).run()


class _RolledBack(Exception):
    """A dry run's way out of what it has written."""


class _Attempt:
    """One run under its lease."""

    def __init__(self, setting: RunSetting, lease: Lease, pulse: Pulse) -> None:
        self._setting, self._lease, self._pulse = setting, lease, pulse
        self._store, self._source = setting.store, setting.source
        self._run = get(setting.store, lease.run_id)
        self._rules = compile_rules(setting.policies, self._source.name, setting.normalise_group)
        self._intake = Intake(self._store, self._source, self._rules, pulse)
        self._approach = Approach(self._run, self._source, self._rules)
        self._sealer = Sealer(self._store, setting.vault, setting.mint, self._source.name, self._rules, setting.revive_within)
        self._seconds: defaultdict[str, float] = defaultdict(float)

    def run(self) -> None:
        """Do the seven steps of docs/architecture.md, "One run"."""
        with self._store.read() as connection:
            facts = source_facts(connection, self._source.name, self._store.now())
        secret = self._secret_mark()
        if facts.refused_binds >= LAST_BIND and facts.refused_secret == secret:
            raise _no_more_binds(self._source)
        with self._store.dedicated() as connection:
            staging = Staging(self._store, connection)
            try:
                picture = self._look(connection, staging, facts)
            except SourceRefused as error:
                if error.code == "invalid_credentials":
                    count_refused_bind(self._store, self._source.name, secret)
                raise
            with self._phase("plan", "keys"):
                self._sealer.seal(connection, staging)
            self._pulse.last_beat(self._intake.progress("apply", self._intake.entries))
            self._commit(connection, staging, picture)

    def _look(self, connection: Connection, staging: Staging, facts: SourceFacts) -> Picture:
        """Read, compare, and gather the evidence while the directory is still at hand."""
        groups = sorted({group for rule in self._rules for group in rule.groups})
        # What "auto" found once is kept: a root DSE that is hidden one day must not change how people are read.
        source = replace(self._source, vendor=facts.vendor) if self._source.vendor == "auto" and facts.vendor else self._source
        reader = self._setting.open_source(source, groups)
        self._pulse.beat(self._intake.progress("connect"))
        with reader.open() as reading:
            with self._phase("read", "read"):
                proof, only_ids = self._approach.read(self._intake, reading, connection, staging, facts, self._store.now())
            stamp = jump.take_stamp()
            picture = Picture(proof, facts, clock_jump=jump.jumped(facts.stamp, stamp), jumped_by=jump.jump_between(facts.stamp, stamp))
            with self._phase("plan", "plan"), self._store.read(on=connection):
                left_out = self._intake.leave_out(connection)
                weigh.compare_all(
                    connection, staging, Comparison(self._source.name, only_ids, new_ids().__next__, self._intake.recognised, left_out), picture
                )
                self._approach.note(connection, staging, picture, self._store.now())
                weigh.find_losses(connection, staging, self._source, self._rules, self._store.now(), picture)
                absent = kept.load_all(connection, (known.user_id for known in picture.absent))
            with self._phase("plan", "evidence"):
                trusted = only_ids is not None or proof.complete or proof.answers_by_id
                weigh.find_departures(reading, absent, self._store.now(), picture, trusted=trusted)
            with self._store.read(on=connection):
                weigh.find_vanished(connection, self._source.name, picture)
        return picture

    def _commit(self, connection: Connection, staging: Staging, picture: Picture) -> None:
        log = ChangeLog(self._lease.run_id, self._run.dry_run)
        began = time.monotonic()
        with self._store.write(on=connection):
            check(connection, self._lease)
            check_vault(connection, self._setting.vault)
            if self._run.dry_run:  # undone in the same transaction: between two somebody could take the lease
                with suppress(_RolledBack), Within(self._store, connection).write():
                    self._apply(connection, staging, picture, log)
                    raise _RolledBack
            else:
                self._apply(connection, staging, picture, log)
            self._finish(connection, picture, log, time.monotonic() - began)

    def _apply(self, connection: Connection, staging: Staging, picture: Picture, log: ChangeLog) -> None:
        now, tick = self._store.now(), self._ticker()
        if not self._run.only:
            # Inside the transaction, so that no approval or discard can come between the ruling and what follows from it.
            weigh.judge(connection, self._source, now, picture)
            if picture.jumped_by:
                set_times_right(connection, self._source.name, picture.jumped_by, now)
        ruling = picture.ruling
        frame = Frame(self._source, self._lease.run_id, now, self._sealer.away_before, tick)
        Commit(connection, staging, frame, picture, log).apply(
            self._rules, complete=picture.proof.complete, everybody=self._approach.everybody
        )  # fmt: skip
        for refused in self._intake.refused:
            log.add("refused", reason=refused.why, evidence=refused.place)
        log.counts["unchanged"] += picture.unchanged
        log.counts["refused"] = self._intake.refused_count + self._intake.dropped + picture.dropped
        if self._run.dry_run:
            return
        if not self._run.only:
            settle_holds(connection, self._source.name, self._lease.run_id, picture, now, everybody=self._approach.everybody)
            accept_read(
                connection,
                self._source,
                ReadFrom(self._intake.server, self._intake.vendor),
                now,
                complete=picture.proof.complete or not self._approach.everybody,
                configured=not ruling.held,
            )
            if not ruling.held:
                keep_stamp(connection, self._source.name, jump.take_stamp())
                self._approach.keep(connection, picture, now)
                if picture.proof.complete and self._approach.everybody:
                    restoring.confirm(connection, self._source.name)
        tick()

    def _ticker(self) -> Callable[[], None]:
        progress = self._intake.progress("apply", self._intake.entries)
        return lambda: self._setting.progress(progress)

    def _finish(self, connection: Connection, picture: Picture, log: ChangeLog, seconds: float) -> None:
        log.flush(connection, rest=True)
        self._seconds["apply"] = seconds
        state = "held" if picture.ruling.held else "succeeded"
        intake = self._intake
        ending = Ending(
            state, self._approach.mode, picture.proof.complete, intake.server, intake.pages, intake.entries, dict(log.counts),
            dict(self._seconds), self._mode_reason(picture), self._store.now(),
        )  # fmt: skip
        end(connection, self._lease, ending)

    def _mode_reason(self, picture: Picture) -> str:
        changed = weigh.changed_keys(self._source, picture.facts)
        if changed:
            return f"the configuration changed: {', '.join(changed)}"
        if picture.clock_jump:
            return picture.clock_jump
        return self._approach.reason(picture.facts)

    def _secret_mark(self) -> str:
        """Return a keyed digest of what the bind uses: a new password, account or address is worth another try."""
        source = self._source
        secret = source.password or source.keytab_mark
        who = source.bind_dn or source.username or source.principal
        return self._setting.vault.tag("bind", who.encode(), (secret.reveal() if secret else "").encode(), "\0".join(source.urls).encode())

    @contextmanager
    def _phase(self, clock: str, phase: str) -> Iterator[None]:
        """Time a phase under one of the clocks read, plan, apply, and show it."""
        self._pulse.beat(self._intake.progress(phase))
        began = time.monotonic()
        try:
            yield
        finally:
            self._seconds[clock] += time.monotonic() - began


def _unexpected(cause: BaseException) -> RosterError:
    if isinstance(cause, Exception):
        return RosterError("bug", f"rosterd met a bug: {type(cause).__name__}.", "Please report it with the traceback in the log.")
    return RosterError("interrupted", "The process was told to stop before its commit; nothing was changed.", "The next run starts afresh.")


def _no_more_binds(source: SourceSettings) -> SourceRefused:
    who = source.bind_dn or source.username or source.principal or "the client certificate"
    password = f"password_file or {'bind_dn' if source.bind_dn else 'username'}"
    keys = {"external": "cert_file", "gssapi": "keytab_file or principal"}.get(source.sasl, password)
    return SourceRefused(
        "invalid_credentials",
        f"{source.name} refused {who} {LAST_BIND} times; rosterd does not try again, so that the account is not locked.",
        f"Correct {keys}, then run `rosterd sync`.",
    )
