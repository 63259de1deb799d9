"""The store: opened, migrated, refused, coalescing requests, and what admins do in it."""

from __future__ import annotations

import multiprocessing
import sqlite3
import stat
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.command import upgrade
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, create_engine, event, inspect, text
from sqlalchemy.exc import ProgrammingError
from sqlalchemy.pool import NullPool

from sync.errors import ConfigError, Conflict, NotFound, StoreUnavailable
from sync.run import perform
from sync.settings import Secret, StoreSettings
from sync.store import addresses, forgetting, holds, keychanges, keyring, keys, lookup, migrations, people, runs, sources, tokens
from sync.store.backup import backup
from sync.store.engine import open_store
from sync.store.keychanges import Stamp, Wanted
from sync.store.tables import SQLModel
from sync.vault import Vault, generate_key_line
from tests.stores import STORES
from tests.sync.world import World


def url(path: Path) -> StoreSettings:
    return StoreSettings(f"sqlite:///{path}")


def test_the_migrations_make_exactly_the_tables(tmp_path: Path, world: World) -> None:
    """Nothing differs between a migrated store, one made anew, and the tables in the code; and every script is known by name."""
    with create_engine(STORES.empty(tmp_path / "old.db").url, poolclass=NullPool, isolation_level="AUTOCOMMIT").connect() as connection:
        upgrade(migrations.configuration(connection), "head")
        assert compare_metadata(MigrationContext.configure(connection), SQLModel.metadata) == []
        scripts = ScriptDirectory.from_config(migrations.configuration(connection))
        migrated = _shape(connection)
    assert tuple(script.revision for script in reversed(list(scripts.walk_revisions()))) == migrations.VERSIONS
    with create_engine(world.settings_of_store.url, poolclass=NullPool).connect() as connection:
        assert _shape(connection) == migrated
        assert len(connection.execute(text("select value from meta where name = 'store'")).scalar_one()) == 32
        assert migrations.version(connection) == migrations.VERSIONS[-1]


def _shape(connection: Connection) -> dict[str, list[str]]:
    """Return what the tables of a database are made of, in any order."""
    look = inspect(connection)
    parts = (look.get_columns, look.get_unique_constraints, look.get_foreign_keys, look.get_check_constraints, look.get_indexes)
    found = {table: [one for part in parts for one in part(table)] for table in look.get_table_names()}
    return {table: sorted(map(_flat, [*things, look.get_pk_constraint(table)])) for table, things in found.items()}


def _flat(thing: Any) -> str:
    options = {name: str(value) for name, value in (thing.get("dialect_options") or {}).items()}
    return repr(sorted({name: str(value) for name, value in {**thing, "dialect_options": options}.items()}.items()))


@pytest.mark.sqlite
def test_the_store_is_its_owners_alone(world: World) -> None:
    """0600, the journals too, whatever the umask."""
    world.people(1)
    world.sync()
    assert {stat.S_IMODE(file.stat().st_mode) for file in world.path.parent.glob("rosterd.db*")} == {0o600}


def _open(url: str) -> None:
    open_store(StoreSettings(url)).close()


def test_several_processes_may_open_a_new_store_at_once(tmp_path: Path) -> None:
    """Whoever comes first migrates, the others wait and find it done."""
    spawn = multiprocessing.get_context("spawn")
    processes = [spawn.Process(target=_open, args=(STORES.empty(tmp_path / "s.db").url,)) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0] * 4


@pytest.mark.sqlite
def test_a_store_from_the_future_is_refused_untouched(world: World) -> None:
    """A newer version's store is named with both versions and not written to."""
    with world.store.write() as connection:
        connection.execute(text("update alembic_version set version_num = '9999'"))
    world.store.close()
    before = world.path.read_bytes()
    with pytest.raises(StoreUnavailable, match="9999") as refusal:
        open_store(url(world.path))
    assert refusal.value.code == "store_too_new"
    assert world.path.read_bytes() == before


@pytest.mark.sqlite
def test_what_is_no_store_is_named(tmp_path: Path) -> None:
    """A directory that is missing, and a file that is no database: one sentence, one remedy."""
    with pytest.raises(StoreUnavailable, match="No such file"):
        open_store(url(tmp_path / "nowhere" / "s.db"))
    (tmp_path / "text").write_text("hello " * 1000)
    with pytest.raises(StoreUnavailable, match="not a database"):
        open_store(url(tmp_path / "text"))


@pytest.mark.sqlite
def test_a_full_disk_loses_nothing_and_says_so(world: World) -> None:
    """The run that does not fit fails as StoreUnavailable; what was committed still answers."""
    world.people(50)
    world.sync()
    real = world.store.engine

    def shrink(driver: sqlite3.Connection, record: object) -> None:
        pages = driver.execute("pragma page_count").fetchone()[0]
        driver.execute(f"pragma max_page_count = {pages}")

    event.listen(real, "connect", shrink)
    world.people(2000)
    run = runs.request(world.store, "corp", trigger="cli", requested_by="test")
    try:
        ended = perform(world.setting(), run.id)
        assert ended.error is not None
        assert (ended.state, ended.error.code) == ("failed", "store_unavailable")
        assert "full" in ended.error.message
    except StoreUnavailable as error:
        assert "full" in error.message
    finally:
        event.remove(real, "connect", shrink)
    assert world.keys("p1@corp.example")[0][1]
    assert world.lookup("p1999@corp.example").outcome == "user_not_found"


def test_requests_for_the_same_thing_become_one_waiting_run(world: World) -> None:
    """Ten threads ask at once: one real run and one dry run wait; a running one does not count as waiting."""
    found: list[str] = []

    def ask(dry: bool) -> None:
        found.append(runs.request(world.store, "corp", trigger="api", requested_by="t", dry_run=dry).id)

    threads = [threading.Thread(target=ask, args=(number % 2 == 0,)) for number in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 10
    assert len(set(found)) == 2
    with world.store.write() as connection:
        connection.execute(text("update run set state = 'running' where not dry_run"))
    assert runs.request(world.store, "corp", trigger="api", requested_by="t").id not in found


def test_runs_are_listed_newest_first_page_by_page(world: World) -> None:
    """A cursor goes on exactly where the page before it ended."""
    for _ in range(5):
        world.sync()
        world.clock.forward(seconds=1)
    first, cursor = runs.list_runs(world.store, limit=3)
    rest, end = runs.list_runs(world.store, limit=3, cursor=cursor)
    ids = [run.id for run in first + rest]
    assert (len(first), len(rest), end) == (3, 2, None)
    assert ids == sorted(ids, reverse=True)


def test_deciding_what_cannot_be_decided_says_why(world: World) -> None:
    """No hold, an ended run, an unknown id: each refused with its reason."""
    world.people(1)
    run = world.sync()
    with pytest.raises(Conflict, match="withholds nothing"):
        runs.approve(world.store, run.id, "x")
    with pytest.raises(Conflict, match="succeeded already"):
        runs.cancel(world.store, run.id, "x")
    with pytest.raises(NotFound):
        runs.get(world.store, "nosuchrun")
    assert runs.get(world.store, run.id[:13]).id == run.id


def test_an_older_hold_of_the_same_people_can_still_be_approved(world: World) -> None:
    """The admin who looked at the first of five equal holds approves what they saw, not the newest id."""
    world.people(100)
    world.sync()
    for number in range(20):
        world.directory.people.pop(f"id-p{number}")
    seen = world.sync(expect="held")
    world.sync(expect="held")
    runs.approve(world.store, seen.id, "cli:admin")
    world.directory.people.pop("id-p20")
    assert world.sync(expect="held").counts["missing"] == 20


def test_history_is_pruned_and_what_matters_stays(world: World) -> None:
    """Old runs go with their changes; the last run and an open hold do not."""
    world.people(100)
    for _ in range(3):
        world.sync()
        world.clock.forward(seconds=1)
    for number in range(20):
        world.directory.people.pop(f"id-p{number}")
    held = world.sync(expect="held")
    world.clock.forward(days=100)
    assert runs.prune(world.store, 90 * 86_400_000) == 3
    assert [run.id for run in runs.list_runs(world.store)[0]] == [held.id]


def test_a_lookup_is_answered_during_a_long_write(world: World) -> None:
    """Readers never wait for a writer, and see a commit at once."""
    world.directory.add("ann", "ann@corp.example")
    world.sync()
    with world.store.write() as connection:
        connection.execute(text("update virtual_key set enabled = false"))
        assert world.keys("ann@corp.example")[0][1]
    assert not world.keys("ann@corp.example")[0][1]


def test_keys_come_active_first_then_oldest(world: World) -> None:
    """The order of the contract, whatever the order of the rows."""
    world.directory.add("ann", "ann@corp.example")
    world.sync()
    user = world.lookup("ann@corp.example").user_id
    for name in ("second", "third"):
        world.clock.forward(seconds=1)
        keychanges.issue(world.store, world.vault, user, name=name, by="cli:admin")
    first = world.lookup("ann@corp.example").keys[0]
    keychanges.change(world.store, first.id, Wanted(is_active=False), Stamp("cli:admin"))
    assert [key.name for key in world.lookup("ann@corp.example").keys] == ["second", "third", "default"]
    world.sync()
    assert not next(key for key in keys.list_keys(world.store, user) if key.name == "default").is_active, "a sync undoes no admin"


def test_a_source_that_fails_closed_shows_inactive_keys(world: World) -> None:
    """With fail_closed_after no success for so long makes keys inactive, and a success active again."""
    world.guard(fail_closed_after=3600)
    world.directory.add("ann", "ann@corp.example")
    world.sync()
    world.clock.forward(seconds=3601)
    assert not world.keys("ann@corp.example")[0][1]
    world.sync()
    assert world.keys("ann@corp.example")[0][1]


def test_an_admin_settles_a_contested_address_and_syncs_keep_it(world: World) -> None:
    """Given to one claimant it stays there; given to somebody who does not list it is refused."""
    world.directory.add("a", "a@corp.example", "shared@corp.example")
    world.directory.add("b", "b@corp.example", "shared@corp.example")
    world.directory.add("c", "c@corp.example")
    world.sync()
    (conflict,) = addresses.conflicts(world.store)
    assert (conflict.cause, len(conflict.claimants)) == ("equal_claims", 2)
    b = world.lookup("b@corp.example").user_id
    addresses.give(world.store, "SHARED@corp.example", b, "cli:admin")
    world.sync()
    assert world.lookup("shared@corp.example").user_id == b
    assert addresses.conflicts(world.store)[0].cause == "taken"
    with pytest.raises(Conflict, match="does not list"):
        addresses.give(world.store, "shared@corp.example", world.lookup("c@corp.example").user_id, "cli:admin")


def test_explain_says_where_an_address_comes_from_or_why_not(world: World) -> None:
    """One sentence for each reason: found, unknown, contested, dropped by `domains`."""
    world.directory.add("a", "a@corp.example", "shared@corp.example", dropped=[("mail", "a@elsewhere.example", "is outside domains")])
    world.directory.add("b", "b@corp.example", "shared@corp.example")
    world.sync()
    assert "answers with 1 key, 1 of them active" in addresses.explain(world.store, "A@corp.example").why
    assert "equally" in addresses.explain(world.store, "shared@corp.example").why
    unknown = addresses.explain(world.store, "a@elsewhere.example")
    assert not unknown.answers
    assert any("is outside domains" in note for note in unknown.notes)


def test_blocking_holds_in_the_next_lookup_and_unblocking_too(world: World) -> None:
    """An admin's block waits for nothing."""
    world.directory.add("ann", "ann@corp.example")
    world.sync()
    user = world.lookup("ann@corp.example").user_id
    assert people.block(world.store, user, "cli:admin").blocked
    assert not world.keys("ann@corp.example")[0][1]
    people.unblock(world.store, user, "cli:admin")
    assert world.keys("ann@corp.example")[0][1]


def test_users_are_searched_by_name_and_address_and_wildcards_are_text(world: World) -> None:
    """`%` finds nobody but who has it in the name."""
    world.people(30)
    world.sync()
    assert people.list_users(world.store, search="ALIAS7@").total == 1
    assert people.list_users(world.store, search="%").total == 0
    page = people.list_users(world.store, page=2, limit=20)
    assert (len(page.users), page.total_pages, page.has_more) == (10, 2, False)


def test_a_token_stands_until_revoked_or_expired(world: World) -> None:
    """The lookup itself reads whether the token stands."""
    world.directory.add("ann", "ann@corp.example")
    world.sync()
    now = world.clock.now
    tokens.add(world.store, [tokens.NewToken(jti="j1", role="lookup", issued_at=now, issued_by="cli:admin", expires_at=now + 1000)])

    def stands() -> bool:
        return lookup.by_address(world.store, "ann@corp.example", token=lookup.Shown("j1", "lookup")).token_ok

    assert stands()
    tokens.revoke(world.store, "j1", "cli:admin")
    assert not stands()
    tokens.add(world.store, [tokens.NewToken(jti="j2", role="lookup", issued_at=now, issued_by="cli:admin", expires_at=now - 1)])
    assert not lookup.by_address(world.store, "nobody@corp.example", token=lookup.Shown("j2", "lookup")).token_ok


@pytest.mark.sqlite
def test_a_backup_is_whole_private_and_overwrites_nothing(world: World, tmp_path: Path) -> None:
    """Taken while the store is open, it opens as a store; key values are not readable in either file."""
    world.people(20)
    world.sync()
    ((value, _),) = world.keys("p1@corp.example")
    backup(url(world.path), tmp_path / "copy.db")
    assert stat.S_IMODE((tmp_path / "copy.db").stat().st_mode) == 0o600
    copy = open_store(url(tmp_path / "copy.db"))
    assert people.list_users(copy).total == 20
    copy.close()
    with pytest.raises(Conflict, match="exists already"):
        backup(url(world.path), tmp_path / "copy.db")
    for file in (tmp_path / "copy.db", *world.path.parent.glob("rosterd.db*")):
        assert value.encode() not in file.read_bytes()


def test_the_wrong_key_file_is_refused_by_name(world: World) -> None:
    """A store is bound to its key file: another one is refused before anything is served."""
    keyring.bind_vault(world.store, world.vault)
    with pytest.raises(ConfigError, match=world.vault.key_names[0]):
        keyring.bind_vault(world.store, Vault.parse(Secret(generate_key_line())))


def test_a_paused_source_is_not_synced_by_the_clock_but_by_a_human(world: World) -> None:
    """Pausing stops the schedule only."""
    sources.pause(world.store, "corp", "cli:admin")
    with pytest.raises(Conflict, match="paused by cli:admin"):
        runs.request(world.store, "corp", trigger="schedule", requested_by="clock")
    assert world.sync().state == "succeeded"
    sources.resume(world.store, "corp", "cli:admin")
    runs.request(world.store, "corp", trigger="schedule", requested_by="clock")


def test_a_due_run_is_claimed_once(world: World) -> None:
    """Of several daemons exactly one starts the run that is due."""
    now = world.clock.now
    with world.store.write() as connection:
        assert [sources.claim_due(connection, "corp", now=now, next_due=now + 1000) for _ in range(3)] == [True, False, False]
        assert sources.claim_due(connection, "corp", now=now + 1000, next_due=now + 2000)


def test_a_source_taken_out_of_the_config_keeps_its_people(world: World) -> None:
    """It is reported as unconfigured, cannot be synced, and its people answer as before."""
    world.directory.add("ann", "ann@corp.example")
    world.sync()
    sources.declare(world.store, [], ())
    assert sources.get_source(world.store, "corp").state == "unconfigured"
    with pytest.raises(Conflict, match="no longer in the configuration"):
        runs.request(world.store, "corp", trigger="api", requested_by="t")
    assert world.keys("ann@corp.example")[0][1]


def test_a_removed_user_is_forgotten_in_time_and_still_known_by_id(world: World) -> None:
    """After forget_after name and addresses are gone; seen again it is the same user, whose old key stays off beside a new one."""
    world.people(20)
    world.sync()
    user, value = world.lookup("p0@corp.example").user_id, world.keys("p0@corp.example")
    gone = world.directory.people.pop("id-p0")
    world.sync()
    world.clock.forward(days=8)
    world.sync()
    world.sync()
    assert forgetting.forget_removed(world.store, 365 * 86_400_000) == 0
    world.clock.forward(days=366)
    assert forgetting.forget_removed(world.store, 365 * 86_400_000) == 1
    assert forgetting.forget_removed(world.store, 365 * 86_400_000) == 0
    view = people.get_user(world.store, user)
    assert (view.name, view.username, view.emails) == ("", "", [])
    assert world.lookup("p0@corp.example").outcome == "user_not_found"
    world.directory.people["id-p0"] = gone
    world.sync()
    assert world.lookup("p0@corp.example").user_id == user
    new, old = world.keys("p0@corp.example")
    assert (new[1], old) == (True, (value[0][0], False))


def test_what_auto_found_out_about_a_server_is_kept(world: World) -> None:
    """The vendor is resolved by the first read and handed to every later one."""
    asked: list[str] = []
    world.people(1)
    world.sync()
    setting = world.setting()
    opened = replace(setting, open_source=lambda source, groups: asked.append(source.vendor) or setting.open_source(source, groups))
    perform(opened, runs.request(world.store, "corp", trigger="cli", requested_by="t").id)
    assert (asked, sources.get_source(world.store, "corp").vendor) == (["memory"], "memory")


def test_a_bug_of_ours_is_not_blamed_on_the_store(world: World) -> None:
    """Only what is wrong with the store is called unavailable; a wrong parameter stays what it is."""
    with pytest.raises(ProgrammingError):
        runs.get(world.store, object())  # type: ignore[arg-type]


def repeats(world: World) -> bool:
    run = world.sync(expect="held")
    with world.store.read() as connection:
        return holds.repeats(connection, run.id)


def test_the_same_hold_again_is_no_new_alarm(world: World) -> None:
    """One alarm for each distinct set: the same people again are none, one more is, and so are the same after all had come back."""
    world.people(100)
    world.sync()
    gone = {f"id-p{number}": world.directory.people.pop(f"id-p{number}") for number in range(20)}
    told = []
    for more in (None, None, "id-p20"):
        if more:
            gone[more] = world.directory.people.pop(more)
        world.clock.forward(seconds=60)
        told.append(repeats(world))
    world.directory.people |= gone
    world.clock.forward(seconds=60)
    world.sync()
    for external_id in gone:
        world.directory.people.pop(external_id)
    world.clock.forward(seconds=60)
    told.append(repeats(world))
    assert told == [False, True, False, False]
