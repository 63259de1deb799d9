"""`rosterd keys`, `store rewrap` and `audit`: what an admin does to keys by hand, and what is recorded of it."""

from __future__ import annotations

import base64
import json
import os
import time

import pytest

from api.audit import AuditLog
from sync.settings import Secret
from sync.store import nodes
from sync.store.keychanges import Stamp, rotate
from sync.vault import Vault
from tests.daemon.commands.place import Place
from tests.servers.slapd import Slapd

VALUE = "sk-bf-imported-0123456789"


@pytest.fixture
def known(place: Place, slapd: Slapd) -> Place:
    """Return an installation that has read ann and bob."""
    slapd.add_person("ann", mail=["ann@example.com"])
    slapd.add_person("bob", mail=["bob@example.com"])
    place.run("sync")
    return place


def key_of(place: Place, email: str) -> str:
    return str(place.run("keys", "list", email, "--json").json["virtual_keys"][0]["id"])


def test_rotate_rename_expire_and_delete(known: Place) -> None:
    """Each prints what became of the key; a new value is alone on stdout."""
    key = key_of(known, "ann@example.com")
    rotated = known.run("keys", "rotate", key, "--overlap", "1h")
    assert rotated.out.startswith("sk-bf-") and rotated.out.count("\n") == 1 and "the old one works until" in rotated.err
    assert "is now called laptop" in known.run("keys", "rename", key, "laptop").out
    assert " expires 20" in known.run("keys", "expire", key, "90d").out
    assert "expires_at" in known.run("keys", "--json").json["virtual_keys"][0]
    assert "never expires" in known.run("keys", "expire", key, "never").out
    assert "is deleted" in known.run("keys", "delete", key).out
    assert "There is no key" in known.run("keys", "rotate", key, status=6).err
    assert "Name one key" in known.run("keys", "rotate", status=2).err


def test_a_dry_run_of_one_key_is_refused(known: Place) -> None:
    """Only the keys of a stolen token can be listed first; whoever asks for that with one key still has its value."""
    key = key_of(known, "ann@example.com")
    assert "--dry-run goes with --read-by" in known.run("keys", "rotate", key, "--dry-run", status=2).err
    assert "rotated_at" not in known.run("keys", "list", "ann@example.com", "--json").json["virtual_keys"][0]


def test_an_import_reports_each_line_and_can_be_repeated(known: Place) -> None:
    """Good lines are taken in, bad ones named with their number; the same file again changes nothing."""
    file = known.folder / "keys.csv"
    far = "2039-01-01T00:00:00Z"
    lines = [
        "email,value,name,id,is_active,expires_at,team",
        f"ann@example.com,{VALUE}1,gateway,vk-1,true,{far},red",
        f"bob@example.com,{VALUE}2,gateway,,false,,red",
        f"bob@example.com,{VALUE}1,stolen,,,,",
        "nobody@example.com,sk-bf-somebody-elses-1,x,,,,",
        "bob@example.com,short,x,,,,",
        f"bob@example.com,{VALUE}5,x,,perhaps,,",
        f"bob@example.com,{VALUE}6,x,,,tomorrow,",
        f"bob@example.com,{VALUE}7,x,,,,,,surplus",
        f",{VALUE}8,x,,,,",
    ]
    file.write_text("\n".join(lines))
    file.chmod(0o644)
    tried = known.run("keys", "import", str(file), "--dry-run", status=6)
    assert "2 would be imported, 0 there already" in tried.out and "can be read by others" in tried.err and "team" in tried.err
    taken = known.run("keys", "import", str(file), "--json", status=6).json["lines"][:2]
    second = known.run("keys", "list", "bob@example.com", "--json").json["virtual_keys"][1]["id"]
    assert taken == [
        {"line": 2, "outcome": "imported", "email": "ann@example.com", "key": "vk-1"},
        {"line": 3, "outcome": "imported", "email": "bob@example.com", "key": second},
    ]
    again = known.run("keys", "import", str(file), status=6)
    assert "0 imported, 2 there already, 7 refused" in again.out
    for why in (
        "another key's already",
        "No user holds",
        "16 to 4,096",
        "is_active is neither",
        "expires_at is a moment",
        "more cells",
        "names neither",
    ):
        assert why in again.out
    assert VALUE not in again.out + again.err + tried.out + tried.err


def test_an_import_takes_json_lines_too(known: Place) -> None:
    """As a gateway exports them: unknown members are left aside, a line that is no object is named."""
    file = known.folder / "keys.jsonl"
    good = {"email": "ann@example.com", "value": VALUE, "name": "gateway", "is_active": True, "budget": {"max": 5}}
    file.write_text(f"{json.dumps(good)}\n\n[1]\n{{broken\n{json.dumps({**good, 'value': 5})}\n")
    file.chmod(0o600)
    done = known.run("keys", "import", str(file), status=6)
    assert "1 imported, 0 there already, 3 refused" in done.out and "value is no text" in done.out


def test_a_file_that_holds_no_keys_is_refused_whole(known: Place) -> None:
    """Without a header, unreadable or not there: one sentence, nothing imported."""
    file = known.folder / "keys.csv"
    file.write_text("ann@example.com;sk-bf-x\n")
    assert "has no header" in known.run("keys", "import", str(file), status=2).err
    file.write_bytes(b"email,value\n\xff\xfe")
    assert "no UTF-8" in known.run("keys", "import", str(file), status=2).err
    assert "cannot be read" in known.run("keys", "import", str(known.folder / "none"), status=2).err


def test_rewrap_changes_the_encryption_key_and_the_old_line_can_go(known: Place) -> None:
    """With the new line alone everything opens; before that the old one is missed by name, with exit status 78."""
    file = known.folder / "vault.keys"
    old, new = file.read_text(), base64.b64encode(os.urandom(32)).decode()
    file.write_text(f"{new}\n{old}\n")
    done = known.run("store", "rewrap", "--json").json["rewrap"]
    assert done["sealed"] == 2 and len(done["retired"]) == 1
    file.write_text(old)
    assert done["key"] in known.run("keys", "issue", "ann@example.com", status=78).err
    file.write_text(new)
    assert known.run("keys", "issue", "ann@example.com").out.startswith("sk-bf-")
    assert "0 were not before" in known.run("store", "rewrap").out


def test_nothing_is_sealed_with_a_key_that_a_running_daemon_does_not_know(known: Place) -> None:
    """It could neither open nor find it: the command says which daemon to reload."""
    file = known.folder / "vault.keys"
    store = known.store()
    try:
        nodes.announce(store, "host/1", ("0000",))
        file.write_text(f"{base64.b64encode(os.urandom(32)).decode()}\n{file.read_text()}")
        for command in (("store", "rewrap"), ("keys", "issue", "ann@example.com")):
            refused = known.run(*command, status=6)
            assert "host/1 does not know" in refused.err and "reload" in refused.err
        nodes.leave(store, "host/1")
    finally:
        store.close()
    assert "2 were not before" in known.run("store", "rewrap").out


def test_the_audit_tells_who_did_what_even_without_a_daemon(known: Place) -> None:
    """What syncs and commands did is there in order, filtered by user and token; no value is."""
    value = known.run("keys", "issue", "ann@example.com").out.strip()
    token = known.run("token", "issue", "--role", "lookup", "--json").json["token"]
    known.run("token", "revoke", token["jti"])
    known.run("users", "block", "bob@example.com")
    everything = [json.loads(line) for line in known.run("audit", "--json").out.splitlines()]
    assert [record["action"] for record in everything] == [
        "key.issued", "key.issued", "key.issued", "token.issued", "token.revoked", "user.blocked",
    ]  # fmt: skip
    assert [record["by"].partition(":")[0] for record in everything] == ["sync", "sync", "cli", "cli", "cli", "cli"]
    of_token = [json.loads(line)["action"] for line in known.run("audit", "--token", token["jti"], "--json").out.splitlines()]
    assert of_token == ["token.issued", "token.revoked"]
    of_bob = known.run("audit", "--user", "bob@example.com").out
    assert "user.blocked" in of_bob and "token" not in of_bob.splitlines()[1]
    assert known.run("audit", "--since", "2039-01-01T00:00:00Z", "--json").out == ""
    assert "No record of that" in known.run("audit", "--token", "mistyped").err
    assert "is a moment" in known.run("audit", "--since", "yesterday", status=2).err
    assert value not in (known.folder / "audit.jsonl").read_text()


def test_a_stolen_token_costs_every_key_it_was_shown(known: Place) -> None:
    """Those of the people it was answered about since the theft, once: not those shown before, to others, refused, or rotated since."""
    ann, bob = (known.run("users", "show", f"{name}@example.com", "--json").json["user"]["id"] for name in ("ann", "bob"))
    audit = AuditLog(known.folder / "audit.jsonl", 86_400)
    lookups = [("stolen", ann, "found"), ("stolen", ann, "not_modified"), ("stolen", bob, "other_user"), ("honest", bob, "found")]
    for jti, user, outcome in lookups:
        audit.record(kind="lookup", event_id="e", role="lookup", caller=jti, client="192.0.2.1", asked="x", user_id=user, outcome=outcome)
    audit.close()
    time.sleep(1)  # times of rotations are shown in whole seconds
    args = ("keys", "rotate", "--read-by", "stolen", "--since")
    nothing = known.run(*args, "2039-01-01T00:00:00Z")
    assert "was shown the keys of 0 users" in nothing.out and "no record of stolen since then" in nothing.err
    tried = known.run(*args, "1h", "--dry-run", "--json").json["virtual_keys"]
    assert [key["email"] for key in tried] == ["ann@example.com"]
    done = known.run(*args, "1h")
    assert "1 key got a new value" in done.out and "sk-bf-" not in done.out + done.err
    assert "0 keys got a new value" in known.run(*args, "1h").out
    assert [("rotated_at" in key) for key in known.run("keys", "--json").json["virtual_keys"]] == [True, False]


def record_lookup(place: Place, jti: str, user_id: str) -> None:
    """Write into the audit file that a token was shown the keys of a user just now."""
    audit = AuditLog(place.folder / "audit.jsonl", 86_400)
    audit.record(kind="lookup", event_id="e", role="lookup", caller=jti, client="192.0.2.1", asked="x", user_id=user_id, outcome="found")
    audit.close()


def test_a_stolen_value_in_an_overlap_is_stopped_too(known: Place) -> None:
    """A rotation after the theft that lets the old value go on working does not spare the key, for that value is the thief's."""
    ann = known.run("users", "show", "ann@example.com", "--json").json["user"]["id"]
    record_lookup(known, "stolen", ann)
    time.sleep(1)  # times of rotations are shown in whole seconds
    known.run("keys", "rotate", key_of(known, "ann@example.com"), "--overlap", "1h")
    assert "1 key got a new value" in known.run("keys", "rotate", "--read-by", "stolen", "--since", "1h").out
    assert "overlap_until" not in known.run("keys", "list", "ann@example.com", "--json").json["virtual_keys"][0]


def test_a_key_that_a_stolen_token_made_is_one_it_was_shown(known: Place) -> None:
    """Whoever rotates or issues a key by the API is shown its value: an admin token's are rotated although it looked nobody up."""
    key = key_of(known, "bob@example.com")
    store = known.store()
    rotate(store, Vault.parse(Secret((known.folder / "vault.keys").read_text())), key, Stamp("admin:stolen"))
    store.close()
    done = known.run("keys", "rotate", "--read-by", "stolen", "--since", "1h", "--json").json["virtual_keys"]
    assert [key["email"] for key in done] == ["bob@example.com"]
