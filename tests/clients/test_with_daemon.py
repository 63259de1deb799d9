"""clients/rosterd-key on a laptop, against the real daemon: first use, cached, server down, rotated, revoked, person gone."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from sqlalchemy import text

from daemon.config import load
from daemon.demo.responder import Responder
from daemon.demo.tree import Entry
from sync.store import keychanges, keys, people, tokens
from sync.store.keychanges import Stamp, Wanted
from sync.vault import Vault
from tests.clients.conftest import SHELLS, Laptop, make_laptop
from tests.daemon.installation import PATIENCE, Installation, Running, wait_for

BY = Stamp("cli:admin")


class Office:
    """A running rosterd, and what an admin does there."""

    def __init__(self, installation: Installation, daemon: Running) -> None:
        self.installation, self.daemon = installation, daemon
        self.store = installation.open()
        self.vault = Vault.parse(load(installation.config).vault_secret)

    def user(self, number: int) -> str:
        """Return the id of a user with a key, another one for each number."""
        found = [key.user_id for key in keys.list_keys(self.store) if key.is_active]
        return sorted(found)[number]

    def token(self, user: str, role: str = "device") -> str:
        """Return a token for a laptop."""
        facts = {"user_id": user} if role == "device" else {}
        return self.installation.token(role, **facts)["Authorization"].removeprefix("Bearer ")

    def value(self, user: str) -> str:
        """Return the value of the user's first key."""
        with self.store.read() as connection:
            row = connection.execute(text("select id, sealed from virtual_key where user_id = :user and deleted_at is null"), {"user": user}).one()
        return self.vault.open(row[1], row[0], user)

    def key(self, user: str) -> str:
        """Return the id of the user's first key."""
        return keys.list_keys(self.store, user)[0].id

    def leave(self, user: str) -> Entry:
        """Take the user's entry out of the directory and return it."""
        tree = self.installation.responder.tree
        dn = f"uid={people.get_user(self.store, user).username},{self.installation.responder.people}"
        entry = tree.entry(dn)
        assert entry
        tree.delete(dn)
        return entry

    def come_back(self, entry: Entry) -> None:
        """Put an entry back as it was."""
        self.installation.responder.tree.add(entry.dn, **entry.attributes)

    def sync(self, state: str, user: str) -> None:
        """Let the daemon sync until it has the user in this state."""
        header, until = self.installation.token("operator"), time.monotonic() + PATIENCE
        while people.get_user(self.store, user).state != state:
            assert time.monotonic() < until
            run = self.daemon.post("/api/sync/runs", header, {"source": "corp", "mode": "full"}).json()["run"]["id"]
            wait_for(lambda run=run: self.daemon.get(f"/api/sync/runs/{run}", header).json()["run"].get("finished_at"), "the run")


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    """Return a running rosterd with the demo's people."""
    folder: Path = tmp_path_factory.mktemp("office")
    with Responder() as responder:
        installation = Installation(folder, responder)
        installation.configure(more='[source.guard]\ngrace = "0s"\n')
        with installation.serve().ready() as daemon:
            installation.ended_runs(1)
            made = Office(installation, daemon)
            yield made
            made.store.close()


_numbers = iter(range(1000))


@pytest.fixture
def user(office: Office, laptop: Laptop) -> str:
    """Return whose laptop it is: somebody new in every test."""
    chosen = office.user(next(_numbers) % 20)
    laptop.url = office.daemon.url
    laptop.write("device.token", office.token(chosen) + "\n")
    return chosen


def test_first_use_then_the_copy_then_an_unchanged_answer(office: Office, laptop: Laptop, user: str) -> None:
    """The key alone is printed and kept 0600; while the copy is young nobody is asked; then a 304 keeps it."""
    assert laptop.run().out == office.value(user) + "\n"
    assert oct((laptop.cache / "rosterd-key.state").stat().st_mode & 0o777) == "0o600" and oct(laptop.cache.stat().st_mode & 0o777) == "0o700"
    assert laptop.state["user"] == user and list(laptop.cache.iterdir()) == [laptop.cache / "rosterd-key.state"]
    url, laptop.url = laptop.url, "http://127.0.0.1:1"
    assert laptop.run().out == office.value(user) + "\n"
    laptop.url = url
    laptop.edit(checked=int(time.time()) - 1000)
    assert laptop.run().out == office.value(user) + "\n"
    assert int(laptop.state["checked"]) > time.time() - 60
    audit = office.installation.folder / "audit.jsonl"
    wait_for(lambda: audit.exists() and any(user in line and "not_modified" in line for line in audit.read_text().splitlines()), "the audit record")


def test_while_the_server_is_down_the_copy_is_printed(office: Office, laptop: Laptop, user: str) -> None:
    """And with --strict the exit status says so; without a copy there is nothing to print."""
    laptop.run()
    laptop.url = "http://127.0.0.1:1"
    assert laptop.run("--refresh").out == office.value(user) + "\n"
    assert "cannot be reached" in laptop.run("--refresh").err
    assert laptop.run("--refresh", "--strict", status=3).out == office.value(user) + "\n"
    assert laptop.run("--refresh", "--quiet").err == ""
    (laptop.cache / "rosterd-key.state").unlink()
    assert laptop.run(status=4).out == ""


def test_a_rotated_key_arrives_with_the_next_question(office: Office, laptop: Laptop, user: str) -> None:
    """The new value is printed and kept."""
    old = laptop.run().out
    _, new = keychanges.rotate(office.store, office.vault, office.key(user), BY)
    assert laptop.run("--refresh").out == new + "\n" != old
    assert laptop.state["key"] == new


def test_a_key_that_is_off_is_wiped_when_seen_twice_an_hour_apart(office: Office, laptop: Laptop, user: str) -> None:
    """Once, or twice within the hour, may be a mistake: the copy stays; switched on meanwhile, the count begins anew."""
    value = laptop.run().out
    keychanges.change(office.store, office.key(user), Wanted(is_active=False), BY)
    assert laptop.run("--refresh").out == value and laptop.run("--refresh").out == value
    keychanges.change(office.store, office.key(user), Wanted(is_active=True), BY)
    assert laptop.run("--refresh").out == value and laptop.state["inactive"] == "0"
    keychanges.change(office.store, office.key(user), Wanted(is_active=False), BY)
    assert laptop.run("--refresh").out == value
    laptop.edit(inactive=int(laptop.state["inactive"]) - 3600)
    assert laptop.run("--refresh", status=6).out == ""
    assert laptop.state["key"] == "" and value.strip() not in (laptop.cache / "rosterd-key.state").read_text()
    assert laptop.run("--refresh", status=6).out == ""
    keychanges.change(office.store, office.key(user), Wanted(is_active=True), BY)
    assert laptop.run().out == value


def test_a_revoked_token_loses_nothing_but_says_so(office: Office, laptop: Laptop, user: str) -> None:
    """A refused credential is no statement about the key: the copy stays, and without one there is nothing."""
    value = laptop.run().out
    for token in tokens.list_tokens(office.store):
        if token.user_id == user:
            tokens.revoke(office.store, token.jti, "cli:admin")
    assert laptop.run("--refresh").out == value
    assert "rosterd refused (401 not_authenticated)" in laptop.run("--refresh").err
    (laptop.cache / "rosterd-key.state").unlink()
    assert laptop.run(status=5).out == ""


def test_the_key_of_somebody_who_left_goes_with_them(office: Office) -> None:
    """Missing: the key is inactive, and stays for the hour. Removed: rosterd's own word `user_removed` wipes it at once. Back: it is there again."""
    user = office.user(next(_numbers) % 20)
    with ExitStack() as stack:
        laptops = [stack.enter_context(make_laptop(shell)) for shell in SHELLS]
        for laptop in laptops:
            laptop.url = office.daemon.url
            laptop.write("device.token", office.token(user) + "\n")
        value = office.value(user)
        assert {laptop.run().out for laptop in laptops} == {value + "\n"}
        entry = office.leave(user)
        office.sync("missing", user)
        assert {laptop.run("--refresh", "--strict", status=6).out for laptop in laptops} == {value + "\n"}
        assert "0" not in {laptop.state["inactive"] for laptop in laptops}
        office.sync("removed", user)
        for laptop in laptops:
            assert "would be wiped" in laptop.run("--dry-run", status=7).err and laptop.state["key"] == value
            assert laptop.run("--refresh", status=7).out == "" and value not in (laptop.cache / "rosterd-key.state").read_text()
        office.come_back(entry)
        office.sync("active", user)
        assert {laptop.run().out + laptop.state["inactive"] for laptop in laptops} == {value + "\n0"}


def test_the_key_of_somebody_who_is_blocked_is_inactive(office: Office, laptop: Laptop, user: str) -> None:
    """Blocked or disabled, a device token still answers: with keys that are off."""
    value = laptop.run().out
    people.block(office.store, user, "cli:admin")
    assert laptop.run("--refresh").out == value and laptop.state["inactive"] != "0"
    laptop.edit(inactive=int(laptop.state["inactive"]) - 3600)
    assert "the copy is gone" in laptop.run(status=6).err
    people.unblock(office.store, user, "cli:admin")
    assert laptop.run().out == value


def test_a_token_of_somebody_else_is_an_alarm(office: Office, laptop: Laptop, user: str) -> None:
    """A laptop belongs to one user: the other's token is not even used, and the copy stays as it is."""
    value = laptop.run().out.strip()
    other = next(key.user_id for key in keys.list_keys(office.store) if key.user_id != user and key.is_active)
    laptop.write("device.token", office.token(other))
    ended = laptop.run("--refresh", status=8)
    assert "ALARM" in ended.err and ended.out == "" and laptop.state["key"] == value and laptop.state["user"] == user


def test_tokens_that_may_more_than_a_laptop_are_refused(office: Office, laptop: Laptop, user: str) -> None:
    """A lookup or admin token on a laptop is a mistake that must not work."""
    for role in ("lookup", "admin", "operator"):
        laptop.write("device.token", office.token(user, role))
        assert "no device token" in laptop.run(status=2).err


def test_too_many_failures_are_waited_out(office: Office, laptop: Laptop, user: str) -> None:
    """rosterd's own 429 and its Retry-After: nobody is asked before, and the copy serves meanwhile."""
    value = laptop.run().out
    good, said = laptop.folder.joinpath("device.token").read_text(), ""
    laptop.write("device.token", good[:-5] + "AAAA\n")
    began = time.time()
    while "come back later (429)" not in said:
        while office.daemon.get("/api/users/me/virtual-keys", {"Authorization": "Bearer wrong"}).status_code != 429:
            pass
        said = laptop.run("--refresh").err
    laptop.write("device.token", good)
    assert int(laptop.state["not_before"]) > began
    laptop.edit(not_before=int(time.time()) + 60)  # rosterd asks for seconds, which a busy machine spends before the next line
    assert "asked to come back later" in laptop.run("--refresh").err
    laptop.edit(not_before=0)
    assert laptop.run("--refresh", "--strict").out == value


def test_a_dry_run_changes_nothing_and_prints_no_key(office: Office, laptop: Laptop, user: str) -> None:
    """It says what would be done."""
    ended = laptop.run("--dry-run")
    assert ended.out == "" and "would print a key of 42 characters" in ended.err
    assert not laptop.cache.exists()
    laptop.run()
    before = (laptop.cache / "rosterd-key.state").read_bytes()
    keychanges.rotate(office.store, office.vault, office.key(user), BY)
    assert laptop.run("--dry-run").out == "" and (laptop.cache / "rosterd-key.state").read_bytes() == before
