"""A world to sync in: a real store on a temporary file, a directory in memory, a clock that tests move."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from sync.address import normalise
from sync.directory import Source
from sync.run import RunSetting, perform
from sync.settings import GuardSettings, Policy, Secret, SourceSettings, StoreSettings
from sync.store import lookup, runs, sources
from sync.store.engine import Store, open_store
from sync.store.views import ChangeView, RunView
from sync.vault import Mint, Vault, generate_key_line, mint_value
from tests.stores import STORES
from tests.sync.memory import Directory

DAY = 86_400_000
START = 1_800_000_000_000


class Clock:
    """Milliseconds that only tests move."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> int:
        return self.now

    def forward(self, *, days: float = 0, seconds: float = 0) -> None:
        self.now += int(days * DAY + seconds * 1000)


class World:
    """One store and any number of directories; `sync` runs one as the daemon's child would."""

    def __init__(self, path: Path, store: StoreSettings | None = None) -> None:
        self.clock = Clock()
        self.path = path / "rosterd.db"
        self.settings_of_store = store or STORES.settings(self.path)
        self.store: Store = open_store(self.settings_of_store, clock=self.clock)
        self.key_line = generate_key_line()
        self.vault = Vault.parse(Secret(self.key_line + "\n"))
        self.directories: dict[str, Directory] = {}
        self.opened: dict[str, Callable[[SourceSettings, Sequence[str]], Source]] = {}
        """How other sources than directories in memory are opened."""
        self.settings: dict[str, SourceSettings] = {}
        self.policies: tuple[Policy, ...] = (Policy("default"),)
        self.mint: Mint = mint_value
        self.directory = self.add_source("corp")

    def add_source(self, name: str, **facts: object) -> Directory:
        self.settings[name] = SourceSettings(name, "ldap", len(self.settings), digest="d1", parts={"base": "b1", "filter": "f1"}, **facts)  # type: ignore[arg-type]
        self.directories[name] = Directory()
        self.declare()
        return self.directories[name]

    def configure(self, name: str = "corp", **facts: object) -> None:
        self.settings[name] = replace(self.settings[name], **facts)  # type: ignore[arg-type]
        self.declare()

    def guard(self, **facts: object) -> None:
        self.configure(guard=GuardSettings(**facts))  # type: ignore[arg-type]

    def declare(self) -> None:
        sources.declare(self.store, list(self.settings.values()), self.policies)

    def setting(self, name: str = "corp") -> RunSetting:
        open_source = self.opened.get(name) or (lambda source, groups: self.directories[name])
        return RunSetting(self.store, self.vault, self.settings[name], self.policies, open_source, lambda group: group, mint=self.mint)

    def sync_any(self, name: str = "corp", *, mode: str = "full", dry_run: bool = False, only: str = "") -> RunView:
        """Sync once and return how it ended, whatever that is."""
        run = runs.request(self.store, name, trigger="cli", requested_by="test", mode=mode, dry_run=dry_run, only=only)
        return perform(self.setting(name), run.id)

    def sync(self, name: str = "corp", *, mode: str = "full", dry_run: bool = False, only: str = "", expect: str = "succeeded") -> RunView:
        ended = self.sync_any(name, mode=mode, dry_run=dry_run, only=only)
        assert ended.state == expect, ended
        return ended

    def changes(self, run: RunView, kind: str | None = None) -> list[ChangeView]:
        return runs.changes(self.store, run.id, kind=kind, limit=100_000)[0]

    def lookup(self, address: str) -> lookup.Found:
        return lookup.by_address(self.store, normalise(address))

    def keys(self, address: str) -> list[tuple[str, bool]]:
        """Return (key value, is_active) of whoever holds the address; asserts that somebody does."""
        found = self.lookup(address)
        assert found.outcome == "found", found
        return [(self.vault.open(key.sealed, key.id, found.user_id), key.is_active) for key in found.keys]

    def people(self, count: int, first: int = 0) -> None:
        for number in range(first, first + count):
            self.directory.add(f"p{number}", f"p{number}@corp.example", f"alias{number}@corp.example")
