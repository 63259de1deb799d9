"""Users asserted by a reverse proxy: believed from where the proxy comes from, and from nobody else."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import httpx
import pytest

from api.settings import ProxySettings
from sync.settings import SourceSettings
from sync.store import lookup, sources
from tests.api.world import SETTINGS, Company

ME = "/api/users/me/virtual-keys"
PROXY = "10.0.0.7"


@pytest.fixture
def company(tmp_path: Path) -> Iterator[Company]:
    made = Company(tmp_path, replace(SETTINGS, proxy=ProxySettings("x-remote-user", "username", "corp"), trusted_proxies=(PROXY,)))
    yield made
    made.close()


def ask(company: Company, name: str | None, path: str = ME, peer: str = PROXY, token: str | None = None, **headers: str) -> httpx.Response:
    """Ask as the proxy would for a user."""
    said = {} if name is None else {"x_remote_user": name}
    return company.ask("GET", path, token, peer=peer, **said, **headers)


def test_an_asserted_user_sees_their_own_keys_and_nobody_elses(company: Company) -> None:
    """On /me and under their own addresses; 403 for every other one and every other route."""
    user = company.add_user("ann@example.com", "alias@example.com", username="ann")
    company.add_user("bob@example.com", username="bob")
    for path in (ME, "/api/users/email/ALIAS@example.com/virtual-keys"):
        assert ask(company, "ann", path).json()["user_id"] == user
    assert ask(company, "ann", "/api/users/email/bob@example.com/virtual-keys").status_code == 403
    assert ask(company, "ann", "/api/users/email/nobody@example.com/virtual-keys").status_code == 403
    assert ask(company, "ann", "/api/users").status_code == 403
    record = company.records()[0]
    assert (record["role"], record["caller"], record["user_id"], record["client"]) == ("proxy", user, user, PROXY)


def test_the_header_of_anybody_else_is_no_credential(company: Company) -> None:
    """Whoever forges it from elsewhere is nobody; a good bearer beside it counts alone."""
    company.add_user("ann@example.com", username="ann")
    bob = company.add_user("bob@example.com", username="bob")
    for peer in ("127.0.0.1", "10.0.0.8"):
        assert ask(company, "ann", peer=peer).status_code == 401
        assert ask(company, "ann", peer=peer, x_forwarded_for=PROXY).status_code == 401
        assert ask(company, "ann", peer=peer, token=company.token("device", user_id=bob)).json()["user_id"] == bob
    assert ask(company, "ann", "/api/users", peer="10.0.0.8").status_code == 401
    company.configure(proxy=None)
    assert ask(company, "ann").status_code == 401


def test_beside_another_credential_it_is_a_400(company: Company) -> None:
    """A second line of the header could be the client's own, and so could a bearer or a key."""
    user = company.add_user("ann@example.com", username="ann", keys=())
    value = company.add_key(user, "k")
    device = company.token("device", user_id=user)
    answers = [ask(company, "ann", token=device), ask(company, "ann", x_api_key=value), ask(company, value, x_api_key=value)]
    answers.append(ask(company, "ann", "/api/users", token=company.token("admin")))
    answers.append(_ask_with_lines(company, b"ann", b"boss"))
    assert [(answer.status_code, answer.json()["error"]["code"]) for answer in answers] == [(400, "two_credentials")] * 5
    assert ask(company, "", token=device).status_code == 200, "an empty header asserts nobody"
    assert ask(company, "ann", x_api_key="").status_code == 200


def _ask_with_lines(company: Company, *lines: bytes) -> httpx.Response:
    import asyncio

    async def send() -> httpx.Response:
        async with company.client(peer=PROXY) as client:
            return await client.get(ME, headers=[(b"x-remote-user", line) for line in lines])

    return asyncio.run(send())


@pytest.mark.parametrize("name", ["Ann", "ANN", "ann@example.com", "an", "ann ", "ann, boss", "%61nn", "*", "", "x" * 2000, "boss\tx", "' or 1=1 --"])
def test_a_name_is_compared_as_the_directory_spells_it(company: Company, name: str) -> None:
    """To the letter: no case, no address, no pattern."""
    company.add_user("ann@example.com", username="ann")
    assert ask(company, name).status_code == 401


def test_names_are_utf8(company: Company) -> None:
    """What is not is nobody's."""
    user = company.add_user("j@example.com", username="jörg")
    assert _ask_with_lines(company, "jörg".encode()).json()["user_id"] == user
    assert _ask_with_lines(company, "jörg".encode("latin-1")).status_code == 401


def test_a_name_of_several_users_is_nobodys(company: Company, caplog: pytest.LogCaptureFixture) -> None:
    """Two entries of the source with the same user name: nobody is answered with somebody else's keys, and the log says why."""
    first = company.add_user("ann@example.com", username="ann")
    second = company.add_user("ann@branch.example", username="ann")
    with caplog.at_level(logging.WARNING):
        assert ask(company, "ann").status_code == 401
    (record,) = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert first in record.users and second in record.users  # type: ignore[attr-defined]
    for facts in ({"state": "missing"}, {"state": "removed"}):
        company.change("user", second, **facts)
        assert ask(company, "ann").json()["user_id"] == first, "whoever is gone gives way"
    company.change("user", first, state="missing")
    assert ask(company, "ann").json()["user_id"] == first
    company.change("user", first, state="removed")
    assert ask(company, "ann").status_code == 401


@pytest.mark.parametrize("match", ["username", "external_id"])
def test_a_name_of_another_source_is_somebody_else(company: Company, match: Literal["username", "external_id"]) -> None:
    """Whoever left keeps their inactive keys: the certificate shows nobody else's, whatever becomes of them, and never another source's."""
    sources.declare(company.store, [SourceSettings("corp", "ldap", 0), SourceSettings("contractors", "ldap", 1)], [])
    company.configure(proxy=ProxySettings("x-remote-user", match, "corp"))
    mine = company.add_user("ann@example.com", **{match: "ann"})
    theirs = company.add_user("ann@contractors.example", source="contractors", **{match: "ann"})
    for state, status, active in (("active", 200, True), ("missing", 200, False), ("disabled", 200, False), ("removed", 401, None)):
        company.change("user", mine, state=state)
        answer = ask(company, "ann")
        assert answer.status_code == status, state
        if status == 200:
            assert (answer.json()["user_id"], answer.json()["virtual_keys"][0]["is_active"]) == (mine, active)
        assert ask(company, "ann", "/api/users/email/ann@contractors.example/virtual-keys").status_code == (403 if status == 200 else 401)
    company.configure(proxy=ProxySettings("x-remote-user", match, "contractors"))
    assert ask(company, "ann").json()["user_id"] == theirs


def test_a_user_who_may_not_work_is_told_so(company: Company) -> None:
    """As with a device's token: 200, and every key inactive."""
    user = company.add_user("ann@example.com", username="ann")
    facts: dict[str, Any]
    for facts in ({"state": "disabled"}, {"state": "active", "blocked_at": 1}):
        company.change("user", user, **facts)
        answer = ask(company, "ann")
        assert (answer.status_code, [key["is_active"] for key in answer.json()["virtual_keys"]]) == (200, [False])


def test_an_external_id_may_be_matched_instead(company: Company) -> None:
    """Then the name alone is nobody."""
    company.configure(proxy=ProxySettings("x-remote-user", "external_id", "corp"))
    user = company.add_user("ann@example.com", username="ann", external_id="7f1c")
    assert ask(company, "7f1c").json()["user_id"] == user
    assert ask(company, "ann").status_code == 401


@pytest.mark.sqlite
@pytest.mark.parametrize("column", ["username", "external_id"])
def test_a_name_is_found_by_an_index(company: Company, column: str) -> None:
    """Among a hundred thousand people as among ten."""
    facts = {"asked": None, "now": 0, "name": "ann", "source": "corp", **lookup.NO_TOKEN._asdict()}
    plan = company.store.query(f"explain query plan {lookup._BY_NAME[column]}", facts)
    searched = [row[3] for row in plan if " u " in f" {row[3]} "]
    assert searched and all(step.startswith("SEARCH u USING") and f"{column}=?" in step for step in searched)
