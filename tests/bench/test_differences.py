"""The benchmark's comparison of a store with its directory finds nothing where there is nothing, and whatever is different otherwise."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from bench.differences import check, differences, in_crowd, in_directory, in_store
from bench.installation import Installation
from bench.measure import Failed
from tests.servers.slapd import Slapd, person_id

FIRST = person_id(1)
TAMPERED = {
    "an address gone": "delete from claim where spelt = 'person.1@example.com'",
    "an address dropped": "update claim set dropped_at = 1 where spelt = 'person.1@example.com'",
    "an address contested": "update claim set held = 0 where spelt = 'person.1@example.com'",
    "another's address": f"update claim set user_id = (select id from \"user\" where external_id = '{FIRST}') where spelt = 'u000002@example.com'",
    "another name": f"update \"user\" set name = 'Person 2' where external_id = '{FIRST}'",
    "another user name": f"update \"user\" set username = 'u2' where external_id = '{FIRST}'",
    "disabled": f"update \"user\" set state = 'disabled' where external_id = '{FIRST}'",
    "a key off": f"update virtual_key set enabled = 0 where user_id = (select id from \"user\" where external_id = '{FIRST}')",
    "a key deleted": f"update virtual_key set deleted_at = 1 where user_id = (select id from \"user\" where external_id = '{FIRST}')",
    "no key": f"delete from virtual_key where user_id = (select id from \"user\" where external_id = '{FIRST}')",
    "nobody": f"delete from \"user\" where external_id = '{FIRST}'",
    "somebody else": f"update \"user\" set external_id = 'somebody else' where external_id = '{FIRST}'",
}


def test_every_difference_between_store_and_directory_is_found(make_slapd: Callable[[], Slapd], tmp_path: Path) -> None:
    """A synced store has no difference; each kind of tampering is one, and names the person; so is each change of the directory, until a sync."""
    slapd = make_slapd()
    slapd.add_people(5)
    slapd.modify(f"uid=u000003,{slapd.base}", displayName="Zoë  Ünsal: three")
    installation = Installation.of_slapd(tmp_path, slapd, 2)
    installation.sync("--full")
    assert check(slapd, tmp_path, installation.select) == 5
    said = in_store(installation.select)
    for what, statement in TAMPERED.items():
        store = sqlite3.connect(shutil.copy(installation.store, tmp_path / "tampered.db"))
        assert store.execute(statement).rowcount == 1, what
        found = differences(said, in_store(store.execute))
        store.close()
        assert found and FIRST in " ".join(found), what
    here = f"uid=u000001,{slapd.base}"
    mails = ["u000001@example.com", "person.1@example.com"]
    for name, value, before in (("displayName", "Other", "Person 1"), ("mail", mails[:1], mails), ("pwdAccountLockedTime", "000001010000Z", [])):
        slapd.modify(here, **{name: value})
        with pytest.raises(Failed, match=f"1 differences .* {FIRST}"):
            check(slapd, tmp_path, installation.select)
        slapd.modify(here, **{name: before})
        assert check(slapd, tmp_path, installation.select) == 5
    slapd.modify(here, displayName="Other", mail=mails[:1], pwdAccountLockedTime="000001010000Z")
    installation.sync("--full")
    assert check(slapd, tmp_path, installation.select) == 5


def test_a_text_of_ldapsearch_is_read_as_it_stands() -> None:
    """Values in base64, several values, missing attributes and an entry at the very end are people like any other."""
    one = "dn: uid=a\nentryUUID: 1\nuid: a\ndisplayName:: w4RkYQ==\nmail: B@x.org\nmail: a@x.org\n\n"
    other = "dn: uid=b\nentryUUID: 2\nuid: b\npwdAccountLockedTime: 1\n\n"
    assert in_directory((one + other).splitlines(keepends=True)) == {
        "1": "['a'] ['Äda'] ['a@x.org', 'b@x.org'] active, 1 keys",
        "2": "['b'] [] [] disabled, 0 keys",
    }


def test_a_user_of_the_crowd_is_compared_by_all_they_have() -> None:
    """What is expected of the SCIM provider's users holds their name, both addresses, their state and a key."""
    (person,) = in_crowd(1).values()
    assert person == "['person.1'] ['Person 1'] ['alias.1@example.com', 'person.1@example.com'] active, 1 keys"
