"""What follows from the figures for ten million people and a hundred thousand lookups a second, as numbers for the page."""

from __future__ import annotations

import math

from bench.figures import Figures

PEOPLE, LOOKUPS = 10_000_000, 100_000
BUSY = 0.6
"""How much of a processor is planned for: above that, answers begin to queue."""
UNKNOWN = "(not measured)"


def arithmetic(sizes: list[Figures]) -> dict[str, str]:
    """Return each number that the page names, as it stands there."""
    synced = [one for one in sizes if one.has("syncs")]
    near, far = synced[-2], synced[-1]
    return {"largest": f"{far.people:,}", "smaller": f"{near.people:,}", **_growth(near, far), **_lookups(sizes)}


def exponent(near: Figures, far: Figures, name: str) -> float:
    """Return the power of the number of people with which a series grows between two sizes: 0 = not at all, 1 = in proportion."""
    return math.log(_of(far, name) / _of(near, name)) / math.log(far.people / near.people)


def _growth(near: Figures, far: Figures) -> dict[str, str]:
    said: dict[str, str] = {}
    for name in ("first", "unchanged", "incremental"):
        seconds, power = _of(far, f"{name}.seconds"), exponent(near, far, f"{name}.seconds")
        ahead = seconds * (PEOPLE / far.people) ** power
        said |= {f"{name}_seconds": f"{seconds:,.1f}", f"{name}_exponent": f"{power:.2f}", f"{name}_ahead": _duration(ahead)}
        memory = _ahead(near, far, f"{name}.peak_mb")
        said |= {f"{name}_mb": f"{_of(far, f'{name}.peak_mb'):,.0f}", f"{name}_mb_ahead": f"{memory:,.0f}"}
        said |= {f"{name}_mb_near": f"{_of(near, f'{name}.peak_mb'):,.0f}"}
    store = _of(far, "store.mb")
    floor = _of(far, "ldapsearch.seconds") * PEOPLE / far.people
    said |= {
        "store_mb": f"{store:,.0f}",
        "octets_each": f"{store * 1e6 / far.people:,.0f}",
        "store_gb_ahead": f"{store / 1000 * PEOPLE / far.people:,.1f}",
    }
    return said | {"floor_ahead": _duration(floor), "people_a_second": f"{far.people / _of(far, 'unchanged.seconds'):,.0f}"}


def _lookups(sizes: list[Figures]) -> dict[str, str]:
    asked = [one for one in sizes if one.has("lookups")][-1]
    rate, each = _of(asked, "lookup.rate"), _of(asked, "lookup.processor_us")
    fewest = next(one for one in sizes if one.has("lookups"))
    memory = _of(asked, "daemon.peak_mb") + max(_of(asked, "first.peak_mb"), _of(asked, "unchanged.peak_mb"))
    said = {
        "lookup_rate": f"{rate:,.0f}", "lookup_us": f"{each:,.0f}", "lookup_planned": f"{rate * BUSY:,.0f}", "busy": f"{100 * BUSY:.0f} %",
        "hourly_people": f"{rate * BUSY * 3600 / 1e6:,.1f}", "seconds_between": f"{PEOPLE / LOOKUPS:,.0f}", "hourly": f"{PEOPLE / 3600:,.0f}",
        "fewest": f"{fewest.people:,}", "lookup_exponent": f"{exponent(fewest, asked, 'lookup_alone.p50_ms'):.2f}",
        "node_mb": f"{memory:,.0f}", "audit_gb": f"{_of(asked, 'lookup.audit_octets') * LOOKUPS * 3600 / 1e9:,.0f}",
    }  # fmt: skip
    return said | _shared(sizes)


def _shared(sizes: list[Figures]) -> dict[str, str]:
    """Return what concerns a store that several nodes share: PostgreSQL."""
    shared = next((one for one in reversed(sizes) if one.has("postgresql")), None)
    if shared is None:
        names = ("rate", "us", "server_us", "cores", "server_cores", "nodes", "first", "unchanged", "incremental", "people", "hourly", "connections")
        names += ("file_first", "file_unchanged", "file_incremental")
        return {f"pg_{name}": UNKNOWN for name in names}
    rate, each, server = (_of(shared, f"postgresql_lookup.{key}") for key in ("rate", "processor_us", "server_us"))
    processes = math.ceil(LOOKUPS * each / 1e6 / BUSY)
    said = {f"pg_{name}": f"{_of(shared, f'postgresql_{name}.seconds'):,.1f}" for name in ("first", "unchanged", "incremental")}
    said |= {f"pg_file_{name}": f"{_of(shared, f'{name}.seconds'):,.1f}" for name in ("first", "unchanged", "incremental")}
    return said | {
        "pg_people": f"{shared.people:,}", "pg_rate": f"{rate:,.0f}", "pg_us": f"{each:,.0f}", "pg_server_us": f"{server:,.0f}",
        "pg_cores": f"{processes:,}", "pg_server_cores": f"{math.ceil(LOOKUPS * server / 1e6 / BUSY):,}", "pg_nodes": f"{math.ceil(processes / 8):,}",
        "pg_connections": f"{45 * processes:,}", "pg_hourly": f"{math.ceil(PEOPLE / 3600 * each / 1e6 / BUSY):,}",
    }  # fmt: skip


def _ahead(near: Figures, far: Figures, name: str) -> float:
    """Return a series at ten million people, along the straight line through two sizes."""
    slope = (_of(far, name) - _of(near, name)) / (far.people - near.people)
    return _of(far, name) + slope * (PEOPLE - far.people)


def _of(one: Figures, name: str) -> float:
    value = one.median(name)
    if value is None:
        raise KeyError(f"{name} was not measured with {one.people:,} people")
    return value


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.1f} seconds" if seconds < 10 else f"{seconds:.0f} seconds"
    return f"{seconds / 60:,.0f} minutes" if seconds < 5400 else f"{seconds / 3600:,.1f} hours"
