"""What monitoring reads at /metrics: counters of this process, and the state of the store as it is when asked. The only door to prometheus_client."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from functools import cache

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector

from api.audit import AuditLog
from sync.errors import StoreUnavailable
from sync.store import census
from sync.store.census import Census
from sync.store.engine import Store

KIND = "text/plain; version=0.0.4; charset=utf-8"

_LATENCIES = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0)


class Metrics:
    """Counts what this process does. One for the life of the process, so that a reload resets nothing."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._lookups = Counter("rosterd_lookups", "Lookups answered, by outcome (docs/metrics.md).", ["outcome"], registry=self._registry)
        self._seconds = Histogram("rosterd_lookup_seconds", "Time to answer a lookup.", buckets=_LATENCIES, registry=self._registry)
        self._fanouts = Counter("rosterd_lookup_fanouts", "Tokens found to read many users (event lookup.fanout).", ["why"], registry=self._registry)
        for why in ("new_address", "new_addresses", "max_users"):
            self._fanouts.labels(why)  # there from the beginning, so that the first one is an increase
        self._answered = cache(self._lookups.labels)  # the names are few, and checking them takes longer than counting
        self._failures = Counter("rosterd_authentication_failures", "Requests without a valid bearer.", ["status"], registry=self._registry)

    def count_lookup(self, outcome: str, seconds: float) -> None:
        """Count one lookup; `outcome` as in the audit file."""
        self._answered(outcome).inc()
        self._seconds.observe(seconds)

    def count_failure(self, status: int) -> None:
        """Count one request that nobody was authenticated for: 401, or 429 after too many."""
        self._failures.labels(str(status)).inc()

    def count_fanout(self, why: str) -> None:
        """Count one token that reads many users: from a "new_address" or several "new_addresses", or more than its "max_users"."""
        self._fanouts.labels(why).inc()

    def render(self, store: Store, audit: AuditLog, version: str) -> bytes:
        """Return everything in Prometheus' text format, the store read once."""
        asked = CollectorRegistry()
        asked.register(_State(store, audit, version))
        return bytes(generate_latest(self._registry)) + bytes(generate_latest(asked))


class _State(Collector):
    """The store, the audit file and the build, as they are now."""

    def __init__(self, store: Store, audit: AuditLog, version: str) -> None:
        self._store, self._audit, self._version = store, audit, version

    def describe(self) -> Iterable[Metric]:
        return []

    def collect(self) -> Iterator[Metric]:
        yield InfoMetricFamily("rosterd_build", "Which rosterd this is.", value={"version": self._version})
        yield CounterMetricFamily("rosterd_audit_lost", "Audit records that could not be kept, since the start.", value=self._audit.lost)
        yield GaugeMetricFamily("rosterd_audit_failing", "1 while the audit file cannot be written.", value=float(self._audit.failing))
        began = time.perf_counter()
        try:
            found = census.take(self._store)
        except StoreUnavailable:
            yield GaugeMetricFamily("rosterd_store_up", "1 while the store answers.", value=0)
            return
        yield GaugeMetricFamily("rosterd_store_up", "1 while the store answers.", value=1)
        yield GaugeMetricFamily("rosterd_store_read_seconds", "How long the store took for these numbers.", value=time.perf_counter() - began)
        yield from _of_keys(found)
        for name, help_text, values in _BY_SOURCE:
            family = GaugeMetricFamily(f"rosterd_source_{name}", help_text, labels=["source"])
            for source in found.sources:
                value = values(source)
                if value is not None:
                    family.add_metric([source.name], value)
            yield family
        yield from _by_state(found)


_BY_SOURCE = (
    ("read_age_seconds", "Seconds since the last completed read.", lambda source: source.read_age),
    ("stale", "1 while the last completed read is older than stale_after.", lambda source: float(source.stale)),
    ("failing", "Failed runs in a row.", lambda source: float(source.failures)),
    ("paused", "1 while its schedule is paused.", lambda source: float(source.paused)),
    ("held_people", "People about whom an open hold waits for a decision.", lambda source: float(source.held)),
    ("unproven_people", "People whom the last read did not show, without proof that they left.", lambda source: float(source.unproven)),
    ("last_run_entries", "Entries that the last ended run read.", lambda source: source.entries),
    ("last_run_seconds", "Seconds that the last ended run took.", lambda source: source.seconds),
    ("last_run_removed", "People the last ended run found gone or removed.", lambda source: source.removed),
    ("drift_ratio", "Share of sampled people who differed although no incremental read had named them.", lambda source: source.drift),
    ("last_run_added", "People the last ended run added.", lambda source: source.added),
)


def _of_keys(found: Census) -> Iterator[Metric]:
    keys = GaugeMetricFamily(
        "rosterd_virtual_keys", "Virtual keys, by whether they are switched on (their owner may still be inactive).", labels=["enabled"]
    )
    for enabled, count in found.keys.items():
        keys.add_metric([enabled], count)
    yield keys
    yield GaugeMetricFamily("rosterd_outbox_events", "Events that some reader has not been told yet.", value=found.outbox)


def _by_state(found: Census) -> Iterator[Metric]:
    people = GaugeMetricFamily("rosterd_people", "People, by state.", labels=["source", "state"])
    runs = GaugeMetricFamily("rosterd_runs", "Runs in the history that is kept, by state.", labels=["source", "state"])
    for source in found.sources:
        for family, counts in ((people, source.people), (runs, source.runs)):
            for state, count in counts.items():
                family.add_metric([source.name, state], count)
    yield people
    yield runs
