"""The storage under the SCIM server keeps to the contract of scim2-server, on the real store (check 5 of the acceptance list)."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from scim2_models import InvalidFilterException, PatchOp, ResponseParameters, ScimProvider, SearchRequest
from scim2_server.testing import SEARCH_FILTERS, SEARCH_USERS, ScimStorageContract
from scim2_server.utils import parametrize
from sqlalchemy import text

from api.scim.models import EnterpriseUser, Group, User
from api.scim.provider import describe
from api.scim.storage import PushStorage
from sync.settings import SourceSettings
from sync.store import sources
from sync.store.engine import Store, open_store
from tests.stores import STORES


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """One migrated store for all; each storage is emptied first."""
    path: Path = tmp_path_factory.mktemp("contract") / "rosterd.db"
    store = open_store(STORES.settings(path))
    sources.declare(store, [SourceSettings(name="okta", kind="scim-push", rank=0)], [])
    yield store
    store.close()


def empty(store: Store) -> None:
    """Forget everything that is pushed."""
    with store.write() as connection:
        for table in ("pushed_membership", "pushed_group", "pushed_email", "pushed_user"):
            connection.execute(text(f"delete from {table}"))


UNSEARCHABLE = ("title", "name pr", "employeeNumber")
"""What of the suite's filters names an attribute that cannot be searched by."""
SEARCHABLE = [asked for asked in SEARCH_FILTERS if not any(name in asked for name in UNSEARCHABLE)]
ABSENT = ("sorts_as_search_request_sort", "search_sorted", "cursor")
"""What of the suite is for features that we say we do not have: nobody is asked to sort, or to page by cursor."""


class _Contract(ScimStorageContract):
    """The suite without the tests that would skip themselves."""


for _name in dir(ScimStorageContract):
    if _name.startswith("test_") and any(absent in _name for absent in ABSENT):
        setattr(_Contract, _name, None)


class TestPushStorage(_Contract):
    """5: no rule of the contract is broken."""

    @pytest.fixture
    def provider(self) -> Iterator[ScimProvider]:
        """Return what we say of ourselves, in force."""
        with describe() as provider:
            yield provider

    @pytest.fixture
    def storage(self, store: Store) -> PushStorage:
        """Return an empty storage."""
        empty(store)
        return PushStorage(store, "okta")

    @pytest.mark.parametrize("scim_filter", SEARCHABLE)
    def test_search_filters_as_the_filter_evaluator(
        self, storage: PushStorage, provider: ScimProvider, user_type: Any, user_model: Any, scim_filter: str
    ) -> None:
        """A filter keeps the resources that ScimFilter.match keeps, and the total counts them."""
        super().test_search_filters_as_the_filter_evaluator(storage, provider, user_type, user_model, scim_filter)

    @pytest.mark.parametrize("scim_filter", [asked for asked in SEARCH_FILTERS if asked not in SEARCHABLE])
    def test_search_by_anything_else_is_refused(self, storage: PushStorage, user_type: Any, user_model: Any, scim_filter: str) -> None:
        """What cannot be searched by is an invalidFilter, not a search for everybody."""
        storage.create(user_type, user_model.model_validate({"userName": "alice"}))
        with pytest.raises(InvalidFilterException):
            self.search(storage, [user_type], self.search_request([user_model], filter=scim_filter))


ASKED = [
    "emails eq null", "emails ne null", 'emails.type ne "work"', 'members.value eq "x"', "not (emails pr)", "externalId pr", 'userName co ""',
    'userName eq "DAVE_%"', 'userName co "_"', 'externalId sw "E"', 'externalId sw "e"', 'externalId ew "1"', 'externalId co "-"', 'id eq "x"',
    'emails[primary eq true or value ew "HOME.example"]', 'meta.lastModified ge "2000-01-01T00:00:00Z"', 'displayName eq "ONE"',
]  # fmt: skip


@pytest.fixture(scope="module")
def crowd(store: Store) -> PushStorage:
    """Return a storage with the users of the suite and two groups."""
    empty(store)
    storage = PushStorage(store, "okta")
    groups = [{"displayName": "one", "members": [{"value": "x"}]}, {"displayName": "none"}]
    with describe() as provider:
        for kind, resources in zip(provider.resource_types, (SEARCH_USERS, groups), strict=True):
            for number, said in enumerate(resources):
                model: Any = provider.model_for(kind)
                storage.create(kind, model.model_validate({**said, "externalId": "E-1" if number % 2 else None}))
    return storage


@pytest.mark.parametrize("asked", ASKED)
def test_filters_the_suite_does_not_ask(crowd: PushStorage, asked: str) -> None:
    """9: nulls, empty texts, wildcards and case mean in the store what they mean to the evaluator of scim2-models."""
    with describe() as provider:
        for kind in provider.resource_types:
            model: Any = provider.model_for(kind)
            search = parametrize(SearchRequest, model)(filter=asked) if _knows(model, asked) else None
            if search is None or search.filter is None:
                continue
            everybody = crowd.search([kind], parametrize(SearchRequest, model)()).resources
            assert len(everybody) >= 2
            assert [one.id for one in crowd.search([kind], search).resources] == [one.id for one in everybody if search.filter.match(one)]


def _knows(model: Any, asked: str) -> bool:
    return not any(name in asked for name in ("members", "emails", "userName") if (name == "members") != (model.__name__ == "Group"))


def test_no_model_is_built_for_a_request() -> None:
    """The forms of the messages about our resources outlive every request: whatever is built once for each takes longer than all the rest of it."""
    kept = [
        weakref.ref(parametrize(message, model))
        for message in (PatchOp, ResponseParameters, SearchRequest)
        for model in (User[EnterpriseUser], Group)
    ]
    gc.collect()
    assert all(form() is not None for form in kept)
