"""What is wrong with an installation right now, as its store and configuration tell it: the judgement behind `rosterd status`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Literal

import msgspec

from sync.settings import SourceSettings
from sync.store.views import SourceView, TokenView

if TYPE_CHECKING:
    from sync.store.engine import Store

OVERDUE = 120
"""Seconds after which a source that is due should have been looked at by a daemon."""

FEW_DRIFTED = 3
MOST_DRIFT = 0.01
"""So many people, and so large a share of those sampled, may differ before incremental reads are said to miss changes."""
SOON = 14 * 86_400
"""Seconds: what ends within them is said."""

FEW = 3
"""So many device tokens that end soon are named one by one; more are a fleet."""


class Problem(msgspec.Struct, frozen=True):
    """One thing to mend. `critical` = lookups answer from something too old, or not as they should."""

    level: Literal["warning", "critical"]
    what: str
    remedy: str


def judge_source(source: SourceView, settings: SourceSettings | None, now: int) -> Iterator[Problem]:
    """Yield what is wrong with one source. `now` in milliseconds."""
    name, run = source.name, source.last_run
    if source.state == "unconfigured":
        if source.people.get("active"):
            what = f"{name} is not in the configuration any more; its {source.people['active']:,} active people stay as they are."
            yield Problem("warning", what, "Put its [[source]] table back.")
        return
    if source.restored_at:
        what = f"{name} is as a backup had it: lookups answer 503 until everything has been read since the restore at {source.restored_at}."
        yield Problem("critical", what, f"rosterd sync {name} --full; if that is held, approve or discard it, then once more")
    if source.paused_by:
        yield Problem("warning", f"{name} was paused by {source.paused_by} at {source.paused_at}.", f"rosterd sources resume {name}")
    is_pushed = source.kind == "scim-push"
    if source.read_at is None:
        never = "Nothing was ever pushed to {}." if is_pushed else "{} has never been read completely."
        yield Problem("warning", never.format(name), f"rosterd check {name}" if is_pushed else f"rosterd check {name}; rosterd sync {name}")
    if source.stale:
        level: Literal["warning", "critical"] = "warning" if source.paused_by else "critical"
        last = "pushed to" if is_pushed else "read"
        yield Problem(level, f"{name} is stale: it was last {last} at {source.read_at}.", f"rosterd check {name}; rosterd runs --source {name}")
    if run and run.state == "failed" and not run.dry_run and run.error:
        yield Problem("warning", f"{name}: its last run failed: {run.error.message}", run.error.remedy or f"rosterd runs show {run.id}")
    yield from _judge_decisions(source)
    yield from _judge_times(source, settings, now)


def ending_tokens(store: Store, now: int) -> list[TokenView]:
    """Return the tokens that stand and end soon, for `judge_tokens`; of a fleet that is not every token. Raises StoreUnavailable."""
    from sync.store import tokens

    return tokens.list_tokens(store, tokens.Wanted(active=True, ending_before=now + SOON * 1000))


def judge_tokens(tokens: Sequence[TokenView], now: int) -> Iterator[Problem]:
    """Yield the tokens that end soon, the first to end first."""
    standing = [token for token in tokens if token.revoked_at is None and 0 < _seconds(token.expires_at) - now / 1000 <= SOON]
    standing.sort(key=lambda token: token.expires_at)
    devices = [token for token in standing if token.role == "device"]
    if len(devices) > FEW:
        what = f"{len(devices):,} device tokens end within {SOON // 86_400} days, the first at {devices[0].expires_at}."
        yield Problem("warning", what, "rosterd token issue --role device --csv FILE makes the next ones.")
        standing = [token for token in standing if token.role != "device"]
    for token in standing:
        whose = token.email or token.label or token.jti
        what = f"The {token.role} token {token.jti} ({whose}) ends at {token.expires_at}."
        yield Problem("warning", what, f"rosterd token issue --role {token.role} … makes the next one.")


def _judge_decisions(source: SourceView) -> Iterator[Problem]:
    hold = source.open_hold
    if hold:
        what = f"{source.name}: run {hold.run} waits for a decision about {hold.people:,} people: {hold.why}"
        yield Problem("warning", what, f"rosterd runs show {hold.run}; then approve or discard it")
    drift = source.drift
    if drift and drift.drifted >= FEW_DRIFTED and drift.ratio > MOST_DRIFT:
        what = (
            f"{source.name}: {drift.drifted:,} of {drift.sampled:,} people looked at differed although the directory had not named them as changed."
        )
        yield Problem("warning", what, f"rosterd sync {source.name} --full; look at the directory's replication, or shorten full_every")
    if source.unproven:
        what = f"{source.name}: {source.unproven:,} people were not seen by the last read, and nothing proves that they are gone; they are kept."
        remedy = "Let the bind account see where they stood (its rights may have changed)."
        yield Problem("warning", what, remedy)


def _judge_times(source: SourceView, settings: SourceSettings | None, now: int) -> Iterator[Problem]:
    idle = source.last_run is None or source.last_run.state not in ("waiting", "running")
    if source.due_at and not source.paused_by and idle and now / 1000 - _seconds(source.due_at) > OVERDUE:
        what = f"{source.name} was due at {source.due_at}, and nobody has read it."
        yield Problem("critical", what, "Is the daemon running? `systemctl status rosterd`, or `rosterd serve`.")
    limit = settings.guard.fail_closed_after if settings else None
    if limit is not None and source.read_at and now / 1000 - _seconds(source.read_at) > limit:
        what = f"{source.name}: no run has succeeded for longer than fail_closed_after, so every key of its people is inactive."
        yield Problem("critical", what, f"rosterd check {source.name}; rosterd sync {source.name}")


def _seconds(time: str) -> float:
    return datetime.fromisoformat(time).timestamp()
