"""`rosterd check`, `status`, `sync`, `runs` and `explain` with a source that is pushed to, as the admin types them."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from daemon.config import load
from sync.pushing import Pushing
from sync.sources import normalise_group
from sync.store.pushedkeeping import Shelf
from sync.vault import Vault
from tests.daemon.commands.place import Place
from tests.sync.provider import resource

CONFIG = """
[store]
url = "sqlite:///rosterd.db"
[http]
public_url = "https://keys.example.com"
[auth]
secret_file = "jwt.secret"
[keys]
encryption_key_file = "vault.keys"
[[keys.issue]]
name = "default"
groups = ["AI users"]
[[source]]
name = "okta"
kind = "scim-push"
domains = ["corp.example"]
"""


def push(place: Place) -> None:
    """Push somebody into a group, as the daemon would."""
    config, store = load(place.config), place.store()
    pushing = Pushing(
        store, Vault.parse(config.vault_secret), {one.name: one for one in config.sources}, config.policies, partial(normalise_group, "scim-push")
    )
    with store.write() as connection:
        shelf = Shelf(connection, "okta", store.now())
        ann = shelf.add_user(None, resource("ann", "ann@corp.example"))
        shelf.add_group(None, {"displayName": "AI users"}, [{"value": ann}])
        pushing.apply(connection, "okta", sorted(shelf.touched))
    store.close()


def test_a_source_that_is_pushed_to_from_check_to_explain(tmp_path: Path) -> None:
    """Before anything is pushed `check` says what is missing; afterwards each command speaks of pushes, where others speak of reads."""
    place = Place(tmp_path, "")
    place.config.write_text(CONFIG)
    fresh = place.run("check", "--json", "okta").json["checks"]
    warned = {one["what"]: one for one in fresh if one["state"] == "warning"}
    assert {"token", "pushes"} <= warned.keys() and "--role scim --source okta" in warned["token"]["remedy"]
    assert place.run("sync", "--json").json["run"]["state"] == "succeeded"
    place.run("token", "issue", "--role", "scim", "--source", "okta")
    assert "Nothing was ever pushed to okta." in place.run("status").out
    push(place)
    said = place.run("check", "okta").out
    for words in ("https://keys.example.com/scim/v2/okta", "1 token", "1 user, pushed to last at", "AI users is found"):
        assert words in said
    run = place.run("runs", "--json").json["runs"][0]
    assert (run["trigger"], run["mode"], run["counts"]["keys_issued"]) == ("push", "push", 1)
    shown = place.run("runs", "show", run["id"]).out
    assert "Joined" in shown and "ann@corp.example" in shown
    assert "okta was last pushed to at" in place.run("explain", "ann@corp.example").out
    assert "okta" in place.run("sources").out
