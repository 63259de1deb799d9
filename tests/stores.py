"""Empty stores for tests: migrated once, then copied."""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path

from sync.settings import StoreSettings
from sync.store.engine import open_store


def lay_store(path: Path) -> Path:
    """Put an empty store of this version at `path` and return it: a copy takes a thirtieth of the time of a migration."""
    path.write_bytes(_empty())
    path.chmod(0o600)
    return path


@cache
def _empty() -> bytes:
    """Return the file of an empty store, made by the real migrations."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rosterd.db"
        open_store(StoreSettings(f"sqlite:///{path}")).close()
        assert list(Path(folder).iterdir()) == [path], "what is in the store is in its one file"
        return path.read_bytes()
