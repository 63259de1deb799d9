"""Is the store what the directory says? Compared by a few plain lines that share nothing with rosterd: the text of ldapsearch, and SQL.

A person is one line: id, user name, display name, addresses, state, and how many keys work.
"""

from __future__ import annotations

import base64
from collections import defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from bench.measure import Failed, measure
from bench.readers import ldapsearch
from tests.servers.crowd import user
from tests.servers.slapd import Slapd

Select = Callable[[str], Iterable[Any]]


def in_directory(ldif: Iterable[str]) -> dict[str, str]:
    """Return what ldapsearch printed (`-LLL -o ldif-wrap=no`), by id."""
    people: dict[str, str] = {}
    entry: defaultdict[str, list[str]] = defaultdict(list)
    for line in ldif:
        if line := line.rstrip("\n"):
            name, _, value = line.partition(":")
            entry[name].append(base64.b64decode(value[2:]).decode() if value.startswith(": ") else value[1:])
        elif entry:
            state = "disabled" if "pwdAccountLockedTime" in entry else "active"
            people[entry["entryUUID"][0]] = _person(entry["uid"], entry["displayName"], entry["mail"], state, int(state == "active"))
            entry.clear()
    return people


def in_crowd(count: int) -> dict[str, str]:
    """Return what the SCIM provider of the tests says of its users, by id."""
    said = map(user, range(1, count + 1))
    return {one["id"]: _person([one["userName"]], [one["displayName"]], [mail["value"] for mail in one["emails"]], "active", 1) for one in said}


def in_store(select: Select) -> dict[str, str]:
    """Return what a store says of its users, whatever their state, by the directory's id; `select` runs a statement."""
    addresses: defaultdict[str, list[str]] = defaultdict(list)
    for who, spelt in select("select user_id, spelt from claim where held and dropped_at is null"):
        addresses[who].append(spelt)
    working = "select user_id, count(*) from virtual_key where enabled and deleted_at is null and expires_at is null group by user_id"
    keys = dict(select(working))
    users = select('select id, external_id, username, name, state from "user"')
    return {
        there: _person([username], [name], addresses.get(here, []), state, keys.get(here, 0) if state == "active" else 0)
        for here, there, username, name, state in users
    }


def differences(directory: dict[str, str], store: dict[str, str]) -> list[str]:
    """Return a sentence for each person about whom the two do not say the same."""
    if directory == store:
        return []
    ids = sorted(directory.keys() | store.keys())
    pairs = ((one, directory.get(one, "nobody"), store.get(one, "nobody")) for one in ids)
    return [f"{one}: the directory says {there}, the store {here}" for one, there, here in pairs if there != here]


def check(slapd: Slapd, folder: Path, select: Select) -> int:
    """Compare a store with what the directory says now; return how many people were compared. Raises Failed."""
    measure(ldapsearch(slapd, folder / "ldap.password", 1000), folder / "people.ldif", keep=False)
    with (folder / "people.ldif").open() as ldif:
        there = in_directory(ldif)
    return expect_none(there, in_store(select))


def expect_none(there: dict[str, str], here: dict[str, str]) -> int:
    """Return how many people were compared. Raises Failed for any difference."""
    if found := differences(there, here):
        raise Failed(f"{len(found)} differences between directory and store, the first: {found[0]}")
    return len(there)


def _person(username: list[str], name: list[str], addresses: list[str], state: str, keys: int) -> str:
    return f"{username} {name} {sorted(map(str.lower, addresses))} {state}, {keys} keys"
