"""A store that follows a SCIM provider, run as the daemon's child runs it; and one-line ways to read a provider without a store."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import partial
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Any

from daemon.config.sources import with_digest
from sync.directory import Absent, Finding, Person, Proof, Refused
from sync.run import RunSetting, perform
from sync.settings import Policy, SourceSettings
from sync.sources import normalise_group, open_source
from sync.store import people, runs, sources
from sync.store.engine import open_store
from sync.store.views import ChangeView, RunView, UserView
from sync.vault import Secret, Vault, generate_key_line
from tests.stores import STORES


def settings_of(url: str, **changed: Any) -> SourceSettings:
    """Return the settings of a source that pulls from `url`."""
    told: dict[str, Any] = {"page_size": 100, "connect_timeout": 5.0, "read_timeout": 20.0}
    return with_digest(SourceSettings("corp", "scim", 0, urls=(url,), **(told | changed)))


class Company:
    """One store, one source."""

    def __init__(self, url: str, folder: Path, **changed: Any) -> None:
        self.settings = settings_of(url, **changed)
        self.policies: tuple[Policy, ...] = (Policy("default"),)
        self.store = open_store(STORES.settings(folder / "rosterd.db"))
        self.vault = Vault.parse(Secret(generate_key_line() + "\n"))

    def __enter__(self) -> Company:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.store.close()

    def configure(self, **changed: Any) -> None:
        """Change settings of the source."""
        self.settings = with_digest(replace(self.settings, **changed))

    def sync(self, expect: str | None = "succeeded", *, mode: str = "full", only: str = "", dry_run: bool = False) -> RunView:
        """Run once, and expect how it ends; None = however."""
        sources.declare(self.store, [self.settings], self.policies)
        run = runs.request(self.store, "corp", trigger="cli", requested_by="test", mode=mode, dry_run=dry_run, only=only)
        setting = RunSetting(self.store, self.vault, self.settings, self.policies, open_source, partial(normalise_group, "scim"))
        ended = perform(setting, run.id)
        assert expect is None or ended.state == expect, ended
        return ended

    def fails(self, code: str, **how: Any) -> RunView:
        """Run once, and expect this error and that nothing changed."""
        before = self.users()
        ended = self.sync("failed", **how)
        assert ended.error is not None and ended.error.code == code, ended
        assert self.users() == before
        return ended

    def users(self) -> dict[str, UserView]:
        """Return all users by user name."""
        found: dict[str, UserView] = {}
        for page in count(1):
            listed = people.list_users(self.store, page=page, limit=100)
            found |= {user.username: user for user in listed.users}
            if len(listed.users) < 100:
                return found
        raise AssertionError

    def states(self) -> dict[str, str]:
        """Return {user name: state}."""
        return {name: user.state for name, user in self.users().items()}

    def changes(self, run: RunView, kind: str) -> list[ChangeView]:
        """Return the changes of one kind that a run made."""
        return runs.changes(self.store, run.id, kind=kind, limit=1000)[0]


@dataclass
class Read:
    """Everything one full read brought."""

    proof: Proof
    persons: list[Person] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)

    @property
    def usernames(self) -> list[str]:
        """All user names, in the order in which they came."""
        return [person.username for person in self.persons]

    def one(self, username: str) -> Person:
        """Return the person with this user name."""
        (person,) = [person for person in self.persons if person.username == username]
        return person


def read(url: str, *groups: str, **changed: Any) -> Read:
    """Read the whole provider once."""
    with open_source(settings_of(url, **changed), groups).open() as reading:
        persons: list[Person] = []
        refused: list[Refused] = []
        for page in reading.full():
            persons += page.persons
            refused += page.refused
        return Read(reading.proof(), persons, refused)


def ask_about(url: str, *ids: str, **changed: Any) -> dict[str, Finding]:
    """Read the whole provider, then ask about absent people."""
    with open_source(settings_of(url, **changed)).open() as reading:
        for _ in reading.full():
            pass
        return {finding.external_id: finding for finding in reading.evidence([Absent(one, "") for one in ids])}
