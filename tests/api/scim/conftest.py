"""One running rosterd for each module: two providers push to it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.api.scim.idp import Idp, Pushed, running


@pytest.fixture(scope="module")
def _running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Pushed, int]]:
    yield from running(tmp_path_factory.mktemp("pushed"))


@pytest.fixture(scope="module")
def world(_running: tuple[Pushed, int]) -> Pushed:
    """The store and the app behind it."""
    return _running[0]


@pytest.fixture(scope="module")
def okta(_running: tuple[Pushed, int]) -> Iterator[Idp]:
    """The provider of the source okta."""
    idp = Idp(*_running, "okta")
    with idp.http:
        yield idp


@pytest.fixture(scope="module")
def entra(_running: tuple[Pushed, int]) -> Iterator[Idp]:
    """The provider of the source entra."""
    idp = Idp(*_running, "entra")
    with idp.http:
        yield idp
