"""An identity provider in the tests of what becomes of pushes: it writes what the SCIM server writes, and each write is taken over."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import text

from sync.pushing import Pushing
from sync.settings import GuardSettings, SourceSettings
from sync.sources import normalise_group, open_source
from sync.store import runs
from sync.store.pushedkeeping import Shelf
from sync.store.views import RunView
from tests.sync.world import World


class Provider:
    """One provider, and the source it pushes to. Every method is one push: one transaction."""

    def __init__(self, world: World, name: str = "okta", **facts: Any) -> None:
        self.world, self.name = world, name
        world.settings[name] = SourceSettings(name, "scim-push", len(world.settings), digest="d1", parts={"domains": "x"}, **facts)
        world.opened[name] = lambda settings, groups: open_source(settings, groups, world.store.read)
        world.declare()

    def guard(self, **facts: Any) -> None:
        self.world.configure(self.name, guard=GuardSettings(**facts))

    @contextmanager
    def push(self) -> Iterator[Shelf]:
        """Write within one transaction, and take over what became of whom that touched."""
        world = self.world
        pushing = Pushing(world.store, world.vault, world.settings, world.policies, lambda group: normalise_group("scim-push", group), world.mint)
        with world.store.write() as connection:
            shelf = Shelf(connection, self.name, world.store.now())
            yield shelf
            pushing.apply(connection, self.name, sorted(shelf.touched))

    def post(self, name: str, *emails: str, **facts: Any) -> str:
        """Create a user, active and with these work addresses, and return its id."""
        with self.push() as shelf:
            return shelf.add_user(facts.pop("external_id", None), resource(name, *emails, **facts))

    def put(self, user_id: str, name: str, *emails: str, **facts: Any) -> None:
        """Replace a user."""
        with self.push() as shelf:
            shelf.change_user(user_id, None, resource(name, *emails, **facts))

    def patch(self, user_id: str, **facts: Any) -> None:
        """Change some attributes of a user."""
        with self.push() as shelf:
            kept = shelf.user(user_id)
            assert kept is not None
            shelf.change_user(user_id, kept.external_id, {**kept.resource, **facts})

    def delete(self, *user_ids: str) -> None:
        with self.push() as shelf:
            for user_id in user_ids:
                shelf.delete_user(user_id)

    def group(self, name: str, *members: str, external_id: str | None = None) -> str:
        """Create a group and return its id."""
        with self.push() as shelf:
            return shelf.add_group(external_id, {"displayName": name}, [{"value": member} for member in members])

    def join(self, group_id: str, *members: str) -> None:
        with self.push() as shelf:
            shelf.memberships.add(group_id, [{"value": member} for member in members])

    def leave(self, group_id: str, *members: str) -> None:
        with self.push() as shelf:
            shelf.memberships.take(group_id, members)

    def resources(self) -> dict[str, bool]:
        """Return {id: active} of the users that were not deleted."""
        with self.world.store.read() as connection:
            rows = connection.execute(text("select id, active from pushed_user where source = :s and deleted_at is null"), {"s": self.name})
            return {row[0]: bool(row[1]) for row in rows}

    def pushes(self) -> list[RunView]:
        """Return the runs of pushes, newest first."""
        found, _ = runs.list_runs(self.world.store, source=self.name, limit=1000)
        return [run for run in found if run.trigger == "push"]


def resource(name: str, *emails: str, **facts: Any) -> dict[str, Any]:
    """Return a user as sent."""
    return {"userName": name, "emails": [{"value": email, "type": "work"} for email in emails], "active": True, **facts}
