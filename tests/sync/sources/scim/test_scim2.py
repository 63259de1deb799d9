"""Pulled from a stock scim2-server: a provider that somebody else wrote after the RFCs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sync.settings import Policy, Secret
from tests.servers.scim2 import Scim2
from tests.sync.sources.scim.company import Company, read

ANNOUNCED: dict[str, Any] = {
    "schemas": ["urn:ietf:params:scim:schemas:core:2.0:ServiceProviderConfig"],
    "patch": {"supported": True},
    "bulk": {"supported": False, "maxOperations": 0, "maxPayloadSize": 0},
    "filter": {"supported": True, "maxResults": 200},
    "changePassword": {"supported": False},
    "sort": {"supported": False},
    "etag": {"supported": False},
    "authenticationSchemes": [],
}


def test_a_company_is_followed(scim2: Scim2, tmp_path: Path) -> None:
    """Who is there has a key, who is switched off is disabled, who is deleted is missing with the provider's own 404 as evidence."""
    ids = {name: scim2.add(name) for name in ("ada", "bob", "cleo")}
    with Company(scim2.url, tmp_path, token=Secret(scim2.token), page_size=2) as company:
        first = company.sync()
        assert (first.complete, first.entries) == (True, 3)
        assert company.states() == {"ada": "active", "bob": "active", "cleo": "active"}
        assert [len(user.emails) for user in company.users().values()] == [1, 1, 1]
        assert first.counts["keys_issued"] == 3
        scim2.change(ids["bob"], active=False)
        scim2.delete(ids["cleo"])
        second = company.sync()
        assert company.states() == {"ada": "active", "bob": "disabled", "cleo": "missing"}
        (gone,) = company.changes(second, "missing")
        assert f"/Users/{ids['cleo']}: 404" in str(gone.evidence)


@pytest.mark.parametrize("index", [False, True])
def test_pages_by_cursor(tmp_path: Path, index: bool) -> None:
    """A server that pages by RFC 9865, alone or beside the index, is read exactly, a few people at a time, with and without a filter."""
    announced = tmp_path / "announced.json"
    announced.write_text(json.dumps({**ANNOUNCED, "pagination": {"cursor": True, "index": index, "maxPageSize": 10}}))
    with Scim2(announced) as scim2:
        names = [f"p{number}" for number in range(35)]
        for name in names:
            scim2.add(name)
        people = read(scim2.url, token=Secret(scim2.token))
        assert sorted(people.usernames) == sorted(names) and people.proof.complete
        some = read(scim2.url, token=Secret(scim2.token), filter='userName sw "p1"')
        assert sorted(some.usernames) == sorted(name for name in names if name.startswith("p1"))


def test_between_full_reads(scim2: Scim2, tmp_path: Path) -> None:
    """It passes the test of its lastModified: what has changed is read by that, groups are followed, and a deletion leads to a full read."""
    ids = {name: scim2.add(name) for name in ("ada", "bob", "cleo")}
    group = scim2.group("AI", ids["ada"])
    with Company(scim2.url, tmp_path, token=Secret(scim2.token)) as company:
        company.policies = (Policy("default", groups=("AI",)),)
        company.sync()
        ids["dora"] = scim2.add("dora")
        scim2.change(ids["bob"], displayName="Robert")
        scim2.regroup(group, ids["dora"], ids["bob"])
        run = company.sync(mode="incremental")
        users = company.users()
        assert (run.mode, users["bob"].name) == ("incremental", "Robert")
        assert {name for name, user in users.items() if any(key.is_active for key in user.virtual_keys)} == {"bob", "dora"}
        scim2.delete(ids["cleo"])
        again = company.sync(mode="incremental")
        assert (again.mode, company.states()["cleo"]) == ("full", "missing")


def test_one_person_at_once(scim2: Scim2, tmp_path: Path) -> None:
    """`--only` asks it by filter, whatever the case of the address, and reads nobody else."""
    for name in ("ada", "bob"):
        scim2.add(name)
    with Company(scim2.url, tmp_path, token=Secret(scim2.token)) as company:
        company.sync(only="ADA@example.com")
        assert company.states() == {"ada": "active"}


def test_a_wrong_token(scim2: Scim2, tmp_path: Path) -> None:
    """A token it does not know fails the run, and nothing changes."""
    scim2.add("ada")
    with Company(scim2.url, tmp_path, token=Secret(scim2.token)) as company:
        company.sync()
        company.configure(token=Secret("another"))
        company.fails("token_refused")
