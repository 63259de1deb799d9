"""The storage under the SCIM server keeps to the contract of scim2-server, on the real store (check 5 of the acceptance list)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from scim2_models import ScimProvider
from scim2_server.testing import ScimStorageContract
from sqlalchemy import text

from api.scim.provider import describe
from api.scim.storage import PushStorage
from sync.settings import SourceSettings, StoreSettings
from sync.store import sources
from sync.store.engine import Store, open_store


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """One migrated store for all; each storage is emptied first."""
    path: Path = tmp_path_factory.mktemp("contract") / "rosterd.db"
    store = open_store(StoreSettings(f"sqlite:///{path}"))
    sources.declare(store, [SourceSettings(name="okta", kind="scim-push", rank=0)], [])
    yield store
    store.close()


class TestPushStorage(ScimStorageContract):
    """5: no rule of the contract is broken; what our models do not have is skipped by the suite itself."""

    @pytest.fixture
    def provider(self) -> Iterator[ScimProvider]:
        """Return what we say of ourselves, in force."""
        with describe() as provider:
            yield provider

    @pytest.fixture
    def storage(self, store: Store) -> PushStorage:
        """Return an empty storage."""
        with store.write() as connection:
            for table in ("pushed_membership", "pushed_group", "pushed_email", "pushed_user"):
                connection.execute(text(f"delete from {table}"))
        return PushStorage(store, "okta")
