"""People, their addresses, keys and tokens, as an admin looks at them and changes them."""

from __future__ import annotations

import re

import pytest

from tests.daemon.commands.place import Place
from tests.servers.slapd import Slapd


@pytest.fixture
def known(place: Place, slapd: Slapd) -> Place:
    """Return an installation that has read ann and bob; bob's name tries to be markup and worse."""
    slapd.add_person("ann", mail=["ann@example.com", "a.example@example.com"])
    slapd.add_person("bob", displayName="[/foo]\u202eevil")
    place.run("sync")
    return place


def test_looking_at_users(known: Place) -> None:
    """The list has a line for each, what comes from outside is harmless, and JSON has the contract's members."""
    lines = known.run("users").out.splitlines()
    assert lines[0].split()[:2] == ["user", "name"]
    assert "[/foo]\\u{202e}evil" in lines[2]
    page = known.run("users", "list", "--search", "A.EXAMPLE", "--json").json
    assert ([user["username"] for user in page["users"]], page["total"], page["has_more"]) == (["ann"], 1, False)
    user = known.run("users", "show", "A.example@EXAMPLE.com", "--json").json["user"]
    assert user["emails"] == [
        {"address": "ann@example.com", "primary": True, "held": True},
        {"address": "a.example@example.com", "primary": False, "held": True},
    ]
    assert known.run("users", "show", user["id"]).out.splitlines()[0].split() == ["user", "ann", "Ann"]


def test_block_holds_until_unblock(known: Place) -> None:
    """A blocked user has no active key, and a sync does not undo it."""
    assert "ann@example.com is blocked" in known.run("users", "block", "ann@example.com").out
    known.run("sync")
    shown = known.run("users", "show", "ann@example.com", "--json").json["user"]
    assert (shown["blocked"], [key["is_active"] for key in shown["virtual_keys"]]) == (True, [False])
    assert "active keys: 1 of 1" in known.run("users", "unblock", "a.example@example.com").out


def test_keys_by_hand(known: Place) -> None:
    """`keys issue` prints the value alone on stdout; no list ever shows it; a disabled key stays disabled through a sync."""
    issued = known.run("keys", "issue", "ann@example.com", "--name", "laptop", "--expires", "90d")
    value = issued.out.strip()
    assert re.fullmatch(r"sk-bf-[0-9a-f-]{36}", value)
    assert "shown only now" in issued.err
    minted = known.run("keys", "issue", "bob@example.com", "--json").json["virtual_key"]
    assert minted["value"].startswith("sk-bf-")
    listed = known.run("keys", "--json").out + known.run("keys").out + known.run("users", "show", "ann@example.com").out
    assert value not in listed
    assert minted["value"] not in listed
    keys = known.run("keys", "list", "ann@example.com", "--json").json["virtual_keys"]
    assert sorted(key["name"] for key in keys) == ["default", "laptop"]
    given = next(key["id"] for key in keys if key["name"] == "default")
    assert "is disabled" in known.run("keys", "disable", given).out
    known.run("sync")
    assert not known.run("keys", "enable", given, "--json").json["virtual_key"].get("disabled_by")
    assert "printable" in known.run("keys", "issue", "ann@example.com", "--name", "a\x1bb", status=2).err


def test_a_token_is_printed_bare_and_once(known: Place) -> None:
    """stdout holds the token and nothing else, the record is listed, revoked it says so."""
    issued = known.run("token", "issue", "--role", "device", "--user", "ann@example.com", "--label", "C02XYZ", "--ttl", "30d")
    assert re.fullmatch(r"[\w-]+\.[\w-]+\.[\w-]+\n", issued.out)
    assert "It is shown only now." in issued.err
    (listed,) = known.run("token", "--json").json["tokens"]
    assert (listed["role"], listed["email"], listed["label"]) == ("device", "ann@example.com", "C02XYZ")
    assert listed["issued_by"].startswith("cli:")
    assert issued.out.strip() not in known.run("token", "list").out
    assert "was revoked at" in known.run("token", "revoke", listed["jti"]).out
    assert known.run("token", "--json").json["tokens"][0]["revoked_at"]
    bounded = known.run("token", "issue", "--role", "lookup", "--domain", "example.com", "--cidr", "10.0.0.0/8", "--json").json["token"]
    assert (bounded["domain"], bounded["cidr"]) == ("example.com", "10.0.0.0/8")


def test_a_contested_address_from_report_to_decision(known: Place, slapd: Slapd) -> None:
    """The holder keeps what another lists; the conflict names both; `addresses give` settles it; `explain` says how it stands."""
    slapd.modify(f"uid=bob,{slapd.base}", mail=["bob@example.com", "ann@example.com"])
    known.run("sync")
    (conflict,) = known.run("conflicts", "--json").json["conflicts"]
    assert (conflict["address"], conflict["cause"], len(conflict["claimants"])) == ("ann@example.com", "taken", 2)
    said = known.run("conflicts").out
    assert "Held by one, listed by others too" in said
    assert f"uid=ann,{slapd.base}" in said
    assert f"uid=bob,{slapd.base}" in said
    assert "Only a claimant can hold" in known.run("addresses", "give", "other@example.com", "bob@example.com", status=6).err
    assert "bob holds ann@example.com from now on." in known.run("addresses", "give", "ann@example.com", "bob@example.com").out
    explained = known.run("explain", "ann@example.com", "--json").json["explanation"]
    assert (explained["answers"], explained["user"]["username"]) == (True, "bob")
    assert "lists it since" in known.run("explain", "ann@example.com").out


def test_who_only_lists_an_address_is_not_meant_by_it(known: Place, slapd: Slapd) -> None:
    """An address that nobody holds blocks nobody: the id must be given."""
    for name in ("eve", "mallory"):
        slapd.add_person(name, mail=[f"{name}@example.com", "free@example.com"])
    known.run("sync")
    assert "Nobody holds free@example.com" in known.run("users", "block", "free@example.com", status=6).err
    assert not any(user["blocked"] for user in known.run("users", "--json").json["users"])


def test_explain_an_address_nobody_lists(known: Place) -> None:
    """An unknown address is explained too, and the command is no failure."""
    said = known.run("explain", "nobody@example.com").out
    assert said.startswith("No entry that was read lists nobody@example.com.\n- corp was last read at ")


def test_explain_names_what_was_left_out(known: Place, slapd: Slapd) -> None:
    """A malformed value is named with the reason, harmlessly."""
    slapd.modify(f"uid=ann,{slapd.base}", mail=["ann@example.com", "a nn@example.com"])
    known.run("sync")
    assert "A value of mail was left out (a nn@example.com)" in known.run("explain", "ann@example.com").out


def test_a_renamed_source_is_adopted_and_a_given_up_one_forgotten(known: Place) -> None:
    """Who only renames a [[source]] moves its people with one command; nobody is let go without saying how many; who is gone can be erased."""
    before = known.run("users", "show", "ann@example.com", "--json").json["user"]
    known.text = known.text.replace('"corp"', '"company"')
    known.configure()
    known.run("sync")
    assert "source_configured" not in known.run("sources", "adopt", "corp", "company", "--match", "username", "--dry-run").out
    assert "would take over 2 people" in known.run("sources", "adopt", "corp", "company", "--match", "username", "--dry-run").out
    assert known.run("sources", "adopt", "corp", "company", "--match", "username", "--json").json["adoption"]["adopted"] == 2
    known.run("sync")
    after = known.run("users", "show", "ann@example.com", "--json").json["user"]
    assert (after["id"], after["source"], [key["id"] for key in after["virtual_keys"]]) == (
        before["id"], "company", [key["id"] for key in before["virtual_keys"]],
    )  # fmt: skip
    known.text = known.text.replace('"company"', '"third"')
    known.configure()
    known.run("sync")
    assert "--people N" in known.run("sources", "forget", "company", status=2).err
    assert "has 2 active people, not 1" in known.run("sources", "forget", "company", "--people", "1", status=6).err
    assert "2 people were let go" in known.run("sources", "forget", "company", "--people", "2").out
    assert "still shows" in known.run("users", "erase", "ann@example.com", status=6).err
    assert "is erased" in known.run("users", "erase", before["id"]).out
    assert known.run("users", "show", before["id"], "--json").json["user"]["username"] == ""
