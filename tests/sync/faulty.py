"""A run between whose reader and a real slapd somebody meddles: what the directory says, what the store says, and that they agree in the end."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from sync import intake
from sync.store.views import RunView
from tests.servers.meddler import Meddler
from tests.servers.slapd import Slapd, person_id
from tests.sync.test_with_slapd import connect
from tests.sync.world import World

PEOPLE = 25
LONGEST = 15.0
"""Seconds that any run may take here, whatever is done to it."""


class Faulty:
    """Twenty-five people in pages of ten, synced once; then one left, one was disabled, one has another name, and one came."""

    def __init__(self, world: World, slapd: Slapd, between: Meddler) -> None:
        self.world, self.slapd, self.between = world, slapd, between
        self.dns = slapd.add_people(PEOPLE)
        slapd.modify(slapd.suffix, description="loaded")

    def change_directory(self) -> None:
        """Let somebody leave, be disabled, be renamed and come."""
        self.slapd.delete(self.dns[4])
        self.slapd.modify(self.dns[14], pwdAccountLockedTime="000001010000Z")
        self.slapd.modify(self.dns[15], displayName="Renamed")
        self.slapd.add_person("joiner")

    def run(self, mode: str = "full") -> RunView:
        """Sync once, however it ends, in bounded time."""
        began = time.monotonic()
        run = self.world.sync_any(mode=mode)
        assert time.monotonic() - began < LONGEST
        return run

    def kept(self) -> list[Any]:
        """Return everything the store keeps about people, addresses and keys."""
        queries = ('select * from "user" order by id', "select * from claim order by user_id, matched", "select * from virtual_key order by id")
        return [tuple(row) for query in queries for row in self.world.store.query(query, {})]

    def nobody_lost(self) -> None:
        """Assert that everybody whom the directory shows unlocked is active with a working key, whoever they are."""
        for number in range(1, PEOPLE + 1):
            if number not in (5, 15):
                keys = self.world.keys(f"u{number:06d}@example.com")
                assert keys and all(active for _, active in keys), number

    def agrees(self) -> None:
        """Assert that the store says what the directory says."""
        self.nobody_lost()
        states = {row[0]: (row[1], row[2]) for row in self.world.store.query('select external_id, state, name from "user"', {})}
        assert states[person_id(5)][0] == "missing"
        assert states[person_id(15)][0] == "disabled"
        assert states[person_id(16)] == ("active", "Renamed")
        assert not any(active for number in (5, 15) for _, active in self.world.keys(f"u{number:06d}@example.com"))
        assert self.world.keys("joiner@example.com")[0][1]


@contextmanager
def without_samples() -> Iterator[None]:
    """Let incremental runs look at nobody but those who are named: a sample of fifty would find whatever else changed here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(intake, "SAMPLE", 0)
        yield


@contextmanager
def faulty(world: World, slapd: Slapd, **facts: object) -> Iterator[Faulty]:
    """Yield a world as `Faulty` describes it, with a meddler that behaves so far."""
    with Meddler("127.0.0.1", slapd.port) as between, without_samples():
        scene = Faulty(world, slapd, between)
        connect(world, slapd, **{"urls": (between.url,), "page_size": 10, "read_timeout": 0.7} | facts)  # type: ignore[arg-type]
        world.sync()
        scene.change_directory()
        yield scene
