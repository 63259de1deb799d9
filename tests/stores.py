"""Where tests keep their stores: a file in the test's folder, or with `--store=postgresql` a database of its own on a server that all share."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path
from types import ModuleType

import pytest
from sqlalchemy import make_url

from sync.settings import StoreSettings
from sync.store.engine import open_store
from tests.servers.postgres import Postgres


class Stores:
    """Gives each folder and name one store. The server begins with the first, and `close` ends it."""

    def __init__(self) -> None:
        self.on_server = False
        self._given: dict[Path, StoreSettings] = {}
        self._ends = ExitStack()
        self._server: Postgres | None = None
        self._template = ""

    def settings(self, file: Path) -> StoreSettings:
        """Return where the store is that would be this file, empty and migrated; the same again for the same file."""
        if not self.on_server:
            if not file.exists():
                file.write_bytes(_empty_file())  # a copy takes a thirtieth of the time of a migration
                file.chmod(0o600)
            return StoreSettings(f"sqlite:///{file}")
        if file not in self._given:
            server = self._start()
            self._drop_left()
            self._given[file] = StoreSettings(server.url(server.create(self._template)))
        return self._given[file]

    def empty(self, file: Path) -> StoreSettings:
        """Return a store that nobody has opened yet: without tables."""
        if not self.on_server:
            return StoreSettings(f"sqlite:///{file}")
        return StoreSettings(self._start().url(self._start().create()))

    def table(self, file: Path) -> str:
        """Return the same as the lines of a configuration that say so."""
        settings = self.settings(file)
        if not self.on_server:
            return f'[store]\nurl = "sqlite:///{file.name}"\n'
        return f'[store]\nurl = "{settings.url}"\n[audit]\nfile = "audit.jsonl"\n'

    @contextmanager
    def out_of_order(self, file: Path) -> Iterator[None]:
        """Let a store answer nobody for a while: a file that is no database, a database that admits nobody."""
        if self.on_server:
            database = make_url(self.settings(file).url).database
            server = self._start()
            server.sql(f"alter database {database} allow_connections false")
            server.sql(f"select pg_terminate_backend(pid) from pg_stat_activity where datname = '{database}'")
            yield
            server.sql(f"alter database {database} allow_connections true")
            return
        kept = {path: path.read_bytes() for path in file.parent.glob(file.name + "*")}
        for path in kept:
            path.unlink()
        file.write_bytes(b"no database at all " * 500)
        yield
        for path, octets in kept.items():
            path.write_bytes(octets)

    def close(self) -> None:
        """End the server, if there is one."""
        self._ends.close()

    def _drop_left(self) -> None:
        """Remove the databases whose folder has gone with its test: each takes eight megabytes of memory."""
        for file in [file for file in self._given if not file.parent.exists()]:
            database = make_url(self._given.pop(file).url).database
            self._start().drop(str(database))

    def _start(self) -> Postgres:
        if self._server is None:
            self._server = self._ends.enter_context(Postgres().prepare().start())
            self._template = self._server.create()
            open_store(StoreSettings(self._server.url(self._template))).close()
        return self._server


@cache
def _empty_file() -> bytes:
    """Return the file of an empty store, made by the real migrations."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rosterd.db"
        open_store(StoreSettings(f"sqlite:///{path}")).close()
        assert list(Path(folder).iterdir()) == [path], "what is in the store is in its one file"
        return path.read_bytes()


STORES = Stores()


_FIXTURES = {"store", "store_url"}
"""Fixtures that open a store for tests whose module names nothing that does."""


def opens_store(item: pytest.Item) -> bool:
    """Tell whether a test may open a store: it takes one, or its module, or something of the tests that this names, names STORES."""
    module = item.getparent(pytest.Module)
    return not _FIXTURES.isdisjoint(getattr(item, "fixturenames", ())) or (module is not None and _names_stores(module.obj))


@cache
def _names_stores(module: ModuleType) -> bool:
    import sys

    seen: set[str] = set()

    def reaches(name: str) -> bool:
        if name == __name__:
            return True
        if name in seen or not name.startswith("tests.") or name not in sys.modules:
            return False
        seen.add(name)
        named = vars(sys.modules[name]).values()
        return any(reaches(value.__name__ if isinstance(value, ModuleType) else str(getattr(value, "__module__", ""))) for value in named)

    return reaches(module.__name__)
