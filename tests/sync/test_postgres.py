"""What is PostgreSQL's own: order by octets, texts it cannot keep, its clock, a run cut off in its commit, and moving there and back."""

from __future__ import annotations

import stat
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sync.errors import Conflict, StoreUnavailable
from sync.ids import now_ms
from sync.run import perform
from sync.settings import Secret, StoreSettings
from sync.store import copying, events, lease, lookup, nodes, people, postgres, runs
from sync.store.backup import backup
from sync.store.engine import Store, open_store
from sync.store.lease import Progress
from sync.store.views import RunView
from tests.servers.postgres import Postgres
from tests.sync.world import World


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    """Return a server for this file."""
    with Postgres().prepare() as running:
        yield running.start()


@pytest.fixture
def there(server: Postgres, tmp_path: Path) -> Iterator[World]:
    """Return a world whose store is in a database that sorts words as people do, which rosterd must not."""
    name = server.create("template0 locale_provider icu icu_locale 'en-US' locale 'C.UTF-8'")
    made = World(tmp_path, StoreSettings(server.url(name)))
    yield made
    made.store.close()


def new_store(server: Postgres) -> StoreSettings:
    """Return a database without tables."""
    return StoreSettings(server.url(server.create()))


def rows(store: Store) -> dict[str, list[Any]]:
    """Return every row of every table, in an order that both databases keep."""
    with store.read() as connection:
        return {
            table.name: sorted((tuple(row.values()) for row in copying._rows(connection, table)), key=repr)
            for table in copying.SQLModel.metadata.sorted_tables
        }


def in_commit(deed: Callable[[], object]) -> Callable[[Progress], None]:
    """Return a listener that does something whenever the commit says that it goes on; the first word of its phase comes before it begins."""
    said: list[Progress] = []

    def listen(progress: Progress) -> None:
        if progress.phase == "apply":
            said.append(progress)
            if len(said) > 1:
                deed()

    return listen


def test_people_are_merged_in_the_order_of_octets(there: World) -> None:
    """Ids that a language would sort differently are each met once: nobody is new twice, nobody is missing."""
    for name in ("a", "B", "b", "A", "_", "-", "Z", "é", "a-b", "ab", "a b"):
        there.directory.add(name, f"{abs(hash(name))}@corp.example")
    assert there.sync().counts["added"] == 11
    again = there.sync()
    assert (again.counts["unchanged"], again.counts["added"], again.counts["missing"]) == (11, 0, 0)


def test_a_text_with_nul_is_kept_without_it(there: World) -> None:
    """PostgreSQL has no NUL in texts: what slips through a source is kept with a mark in its place, and asking with one finds nobody."""
    there.directory.add("ann", "ann@corp.example")
    there.directory.change("id-ann", name="An\0n")
    there.sync()
    assert people.find_user(there.store, "ann@corp.example").name == "An\ufffdn"
    assert people.list_users(there.store, search="b\0").total == 0
    assert lookup.by_name(there.store, "username", "an\0n", source="corp", asked=None) == []


def test_the_store_knows_the_servers_clock(server: Postgres, monkeypatch: pytest.MonkeyPatch) -> None:
    """A host whose clock is ten minutes late judges leases by the server's, from its first write on."""
    store = open_store(new_store(server))
    monkeypatch.setattr(postgres, "now_ms", lambda: now_ms() - 600_000)
    with store.write():
        pass
    assert abs(store.now() - now_ms()) < 2_000
    store.close()


def test_a_run_that_is_cut_off_in_its_commit_changes_nothing(there: World, server: Postgres) -> None:
    """Every connection is ended in the middle of the commit: the run fails with a reason, not a row differs, and the next run succeeds."""
    there.people(50)
    there.sync()
    there.people(3000, first=50)
    before = rows(there.store)
    cut = []

    def cut_off(progress: Progress) -> None:
        if progress.phase == "apply" and len(cut) < 3:
            cut.append(progress)
            if len(cut) == 3:
                server.sql("select pg_terminate_backend(pid) from pg_stat_activity where datname like 't_%'")

    run = runs.request(there.store, "corp", trigger="cli", requested_by="test")
    ended = perform(replace(there.setting(), progress=cut_off), run.id)
    assert len(cut) == 3 and ended.error is not None
    assert (ended.state, ended.error.code) == ("failed", "store_unavailable")
    after = rows(there.store)
    for name in ("user", "claim", "virtual_key", "membership", "change"):
        assert after[name] == before[name], name
    assert there.sync().counts["added"] == 3000


def test_a_commit_outlives_its_lease(there: World, server: Postgres, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another host finds the lease expired while its run commits: a look passes by at once, and who waits in line finds it given back; a dry run,
    which is undone, gives nobody a chance either."""
    there.people(20)
    found: list[RunView] = []
    elsewhere = threading.Thread()

    def look() -> None:
        nonlocal elsewhere
        if elsewhere.ident is None:
            there.clock.forward(seconds=lease.LEASE_MS / 1000 + 1)
            assert lease.reap(there.store, within_ms=10) == []
            elsewhere = threading.Thread(target=lambda: found.extend(lease.reap(there.store)))
            elsewhere.start()
            while server.sql("select count(*) from pg_locks where not granted") == [(0,)]:
                assert elsewhere.is_alive()

    monkeypatch.setattr(lease, "_gone", lambda held, host, now: held.lease_until < now)  # as another host must judge
    for dry in (True, False):
        run = runs.request(there.store, "corp", trigger="cli", requested_by="test", dry_run=dry)
        assert perform(replace(there.setting(), progress=in_commit(look)), run.id).state == "succeeded"
        elsewhere.join()
        assert found == []
        elsewhere = threading.Thread()


def test_a_host_that_dies_in_its_commit_is_out_of_the_way_in_a_minute(there: World, server: Postgres, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server ends the session of a host that vanished, with all it had written; a minute after its last renewal the run is recorded as killed."""
    there.people(20)

    def vanish() -> None:
        server.sql("select pg_terminate_backend(pid) from pg_stat_activity where datname like 't_%'")

    run = runs.request(there.store, "corp", trigger="cli", requested_by="test")
    with monkeypatch.context() as dead:
        dead.setattr("sync.run.fail", lambda *_: None)  # it says nothing any more
        assert perform(replace(there.setting(), progress=in_commit(vanish)), run.id).state == "running"
    monkeypatch.setattr(lease, "_gone", lambda held, host, now: held.lease_until < now)  # as another host must judge
    assert lease.reap(there.store) == []
    there.clock.forward(seconds=61)
    assert [(one.id, one.state, one.error and one.error.code) for one in lease.reap(there.store)] == [(run.id, "failed", "killed")]
    assert there.sync().counts["added"] == 20


def test_an_installation_moves_there_and_back(world: World, server: Postgres, tmp_path: Path) -> None:
    """Every row arrives, keys answer under the same values, numbers go on after the last, and so back into a file."""
    world.people(30)
    world.sync()
    for user in people.list_users(world.store, limit=5).users:
        people.block(world.store, user.id, "cli:admin")
    told = events.unread(world.store, events.AUDIT)[-1].event
    events.advance(world.store, events.AUDIT, told)  # all of them are forgotten now
    before = rows(world.store)
    moved = open_store(new_store(server), clock=world.clock)
    seen: list[tuple[int, int]] = []
    counts = copying.copy(world.store, moved, lambda done, total: seen.append((done, total)))
    assert rows(moved) == before and counts["user"] == 30 and seen[-1] == (sum(counts.values()),) * 2
    key = lookup.by_address(moved, "p1@corp.example").keys[0]
    assert world.vault.open(key.sealed, key.id, lookup.by_address(moved, "p1@corp.example").user_id) == world.keys("p1@corp.example")[0][0]
    people.unblock(moved, people.list_users(moved, limit=1).users[0].id, "cli:admin")
    assert [one.event for one in events.unread(moved, events.AUDIT)] == [told + 1]
    back = open_store(StoreSettings(f"sqlite:///{tmp_path / 'back.db'}"), clock=world.clock)
    before = rows(moved)
    copying.copy(moved, back)
    assert rows(back) == before
    events.advance(back, events.AUDIT, told + 1)
    people.block(back, people.list_users(back, limit=1).users[0].id, "cli:admin")
    assert [one.event for one in events.unread(back, events.AUDIT)] == [told + 2]
    moved.close()
    back.close()


def test_a_move_is_refused_rather_than_half_done(world: World, server: Postgres) -> None:
    """Not while a daemon lives or a run goes on, and not onto what is there already; nothing is written then."""
    world.people(3)
    world.sync()
    target = open_store(new_store(server), clock=world.clock)
    nodes.announce(world.store, "a/1", ("k",))
    with pytest.raises(Conflict, match="Stop it first"):
        copying.copy(world.store, target)
    nodes.leave(world.store, "a/1")
    copying.copy(world.store, target)
    before = rows(target)
    with pytest.raises(Conflict, match="not empty"):
        copying.copy(world.store, target)
    assert rows(target) == before
    target.close()


def test_a_database_is_backed_up_by_pg_dump(there: World, server: Postgres, tmp_path: Path) -> None:
    """The copy is private, overwrites nothing, and brings everything back that was in the store."""
    there.people(3)
    there.sync()
    settings, copy = StoreSettings(there.settings_of_store.url, Secret(server.password)), tmp_path / "copy"
    backup(settings, copy)
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    with pytest.raises(Conflict, match="exists already"):
        backup(settings, copy)
    new = server.create()
    subprocess.run(["pg_restore", "--exit-on-error", f"--dbname={server.url(new).replace('+psycopg', '')}", copy], check=True)
    with closing(open_store(StoreSettings(server.url(new)))) as again:
        assert rows(again) == rows(there.store)


def test_a_database_that_cannot_be_copied_is_said(server: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No pg_dump, or one that fails: what it says and what to do, without the password, and no file is left."""
    settings = StoreSettings(server.tcp_url("nowhere"), Secret(server.password))
    with pytest.raises(StoreUnavailable, match='database "nowhere" does not exist') as failed:
        backup(settings, tmp_path / "copy")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Conflict, match="no pg_dump on this machine"):
        backup(settings, tmp_path / "copy")
    assert server.password not in str(failed.value) and list(tmp_path.iterdir()) == []


def test_what_is_wrong_with_a_server_is_said_without_its_password(server: Postgres) -> None:
    """A refused password, a missing database, a user who may not make tables: each with its remedy."""
    database = server.create()
    for url, password, said in (
        (server.tcp_url(database), "hunter2", "password_file"),
        (server.tcp_url("nowhere"), server.password, "Create the user and the database first"),
        ("postgresql+psycopg://u@127.0.0.1:1/d", "hunter2", "can be reached"),
    ):
        with pytest.raises(StoreUnavailable, match=said) as refused:
            open_store(StoreSettings(url, Secret(password)))
        assert password not in str(refused.value)
    server.sql("create role guest login")
    with pytest.raises(StoreUnavailable, match="the owner of the database"):
        open_store(StoreSettings(server.url(database).replace("postgres@", "guest@")))
