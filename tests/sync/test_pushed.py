"""What a provider pushed, as the sync side reads it: users whole, in order, with the groups they are in, and whom each change touches."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sync.settings import SourceSettings
from sync.store import pushed, sources
from sync.store.engine import Store, open_store
from sync.store.pushed import PushedEmail, PushedGroup
from sync.store.pushedkeeping import Shelf
from tests.stores import STORES


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    path: Path = tmp_path_factory.mktemp("pushed") / "rosterd.db"
    store = open_store(STORES.settings(path))
    sources.declare(store, [SourceSettings(name, "scim-push", rank) for rank, name in enumerate(("okta", "entra"))], [])
    yield store
    store.close()


def change(store: Store, do: Any, source: str = "okta") -> tuple[Any, set[str]]:
    """Do something in one transaction; return what it returned, and whom it touched."""
    with store.write() as connection:
        shelf = Shelf(connection, source, store.now())
        return do(shelf), shelf.touched


def read(store: Store, *ids: str, source: str = "okta") -> list[pushed.PushedUser]:
    with store.read() as connection:
        return list(pushed.users(connection, source, ids or None))


def test_users_are_read_whole(store: Store) -> None:
    """Name, addresses in the order sent, and every group they are in, also through other groups and in a circle; sorted by id, asked for or not."""
    emails = [{"value": "B@x.example", "type": "home"}, {"value": "a@x.example", "type": "work", "primary": True}, {"type": "none"}]
    ann, _ = change(store, lambda s: s.add_user("00u1", {"userName": "Ann", "name": {"givenName": "Ann", "familyName": "Lee"}, "emails": emails}))
    bob, _ = change(store, lambda s: s.add_user(None, {"userName": "bob", "displayName": "Bob", "active": False}))
    inner, _ = change(store, lambda s: s.add_group("g1", {"displayName": "Inner"}, [{"value": ann}, {"value": "nobody"}]))
    outer, touched = change(store, lambda s: s.add_group(None, {"displayName": "Outer"}, [{"value": inner}]))
    assert touched == {ann}
    change(store, lambda s: s.memberships.add(inner, [{"value": outer}]))
    one, two = read(store)
    assert (one.id, one.external_id, one.user_name, one.name, one.active, one.deleted_at) == (ann, "00u1", "Ann", "Ann Lee", True, None)
    assert one.emails == (PushedEmail("B@x.example", "home"), PushedEmail("a@x.example", "work", True))
    assert one.groups == (PushedGroup(inner, "Inner", "g1"), PushedGroup(outer, "Outer"))
    assert (two.id, two.name, two.active, two.emails, two.groups) == (bob, "Bob", False, (), ())
    assert [user.id for user in read(store, bob, "unknown", ann, ann)] == [ann, bob]
    assert read(store, source="entra") == [] == read(store, ann, source="entra")


def test_a_deleted_user_proves_that_they_left(store: Store) -> None:
    """The row stays with id, external id and name, without anything else; it exists no more, and its name is free."""
    eve, _ = change(store, lambda s: s.add_user("00u2", {"userName": "eve", "displayName": "Eve", "emails": [{"value": "eve@x.example"}]}))
    group, _ = change(store, lambda s: s.add_group(None, {"displayName": "Of Eve"}, [{"value": eve}]))
    with store.read() as connection:
        before = (pushed.existing(connection, "okta", [eve, "unknown"]), pushed.count(connection, "okta"))
    _, touched = change(store, lambda s: s.delete_user(eve))
    (gone,) = read(store, eve)
    assert (touched, gone.external_id, gone.user_name, gone.name, gone.emails, gone.groups, gone.active) == ({eve}, "00u2", "eve", "", (), (), False)
    assert gone.deleted_at == gone.modified_at
    with store.read() as connection:
        assert (pushed.existing(connection, "okta", [eve]), pushed.count(connection, "okta")) == (set(), before[1] - 1)
    assert before[0] == {eve}
    assert change(store, lambda s: s.user(eve))[0] is None
    assert change(store, lambda s: s.group(group).version)[0] == 2
    change(store, lambda s: s.add_user(None, {"userName": "EVE"}))


def test_each_change_of_a_group_touches_its_people(store: Store) -> None:
    """Whoever joins or leaves, everybody when the name changes or the group goes, nobody when nothing changes."""
    people = [change(store, lambda s, n=n: s.add_user(None, {"userName": f"p{n}"}))[0] for n in range(3)]
    first, second, third = people
    group, _ = change(store, lambda s: s.add_group(None, {"displayName": "Changing"}, [{"value": first}, {"value": second}]))
    steps: list[tuple[Any, set[str]]] = [
        (lambda s: s.memberships.add(group, [{"value": first, "display": "again"}, {"value": third}]), {third}),
        (lambda s: s.memberships.add(group, [{"value": first}]), set()),
        (lambda s: s.memberships.take(group, [second, "unknown"]), {second}),
        (lambda s: s.memberships.replace(group, [{"value": second}, {"value": third}]), {first, second}),
        (lambda s: s.change_group(group, None, {"displayName": "Changing"}, None), set()),
        (lambda s: s.change_group(group, None, {"displayName": "Changed"}, None), {second, third}),
        (lambda s: s.delete_group(group), {second, third}),
    ]
    assert [change(store, do)[1] for do, _ in steps] == [touched for _, touched in steps]
    assert all(user.groups == () for user in read(store, *people))


def test_many_users_are_read_in_batches(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each exactly once and in order, whatever the size of a batch."""
    made = change(store, lambda s: [s.add_user(None, {"userName": f"many-{n}"}) for n in range(7)], "entra")[0]
    monkeypatch.setattr(pushed, "BATCH", 3)
    assert [user.id for user in read(store, source="entra")] == made
    assert [user.id for user in read(store, *made, source="entra")] == made
