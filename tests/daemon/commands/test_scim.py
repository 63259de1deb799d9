"""`rosterd check` and `rosterd sync` with SCIM providers, as the admin types them."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.daemon.commands.place import Place
from tests.servers.idp import make_certificate
from tests.servers.provider import Provider, http_date
from tests.servers.scim2 import Scim2
from tests.stores import STORES

SOURCE = """
{store}[auth]
secret_file = "jwt.secret"
[keys]
encryption_key_file = "vault.keys"
[[keys.issue]]
name = "default"
groups = {groups}
[[source]]
name = "partner"
kind = "scim"
url = "{url}"
{more}
"""


class ScimPlace(Place):
    """An installation whose source pulls from a provider."""

    def __init__(self, folder: Path, url: str, more: str = 'token_file = "scim.token"', groups: str = "[]") -> None:
        super().__init__(folder, "ldap://127.0.0.1:1")
        self.text = SOURCE.format(store=STORES.table(folder / "rosterd.db"), url=url, more=more, groups=groups)
        self.config.write_text(self.text)
        (folder / "scim.token").write_text(Scim2.token + "\n")
        (folder / "scim.token").chmod(0o600)


@pytest.fixture
def provider() -> Iterator[Provider]:
    """Return a provider that asks for the token of the tests."""
    with Provider() as started:
        started.bearers = {Scim2.token}
        yield started


def steps(place: Place, status: int) -> dict[str, dict[str, str]]:
    """Return what `rosterd check --json partner` says, by step (the last of each)."""
    return {one["what"].partition(" http")[0]: one for one in place.run("check", "--json", "partner", status=status).json["checks"]}


def test_a_stock_server_from_check_to_keys(tmp_path: Path) -> None:
    """A scim2-server process is checked, synced, and followed: its users have keys, its groups decide, its deletions count."""
    with Scim2() as scim2:
        ids = [scim2.add(name) for name in ("ada", "bob", "cleo")]
        scim2.group("AI users", *ids[:2])
        place = ScimPlace(tmp_path, scim2.url, groups='["AI users"]')
        checked = place.run("check")
        assert "ada: Ada, ada@example.com" in checked.out and "AI users is found, it lists 2" in checked.out
        run = place.run("sync", "--json").json["run"]
        assert (run["counts"]["added"], run["counts"]["keys_issued"], run["complete"]) == (3, 2, True)
        scim2.delete(ids[0])
        scim2.change(ids[1], active=False)
        counts = place.run("sync", "--full", "--json").json["run"]["counts"]
        assert (counts["missing"], counts["disabled"]) == (1, 1)
        assert place.run("sync", "--only", "cleo@example.com", "--json").json["run"]["counts"]["unchanged"] == 1
        assert "is gone from the provider" in place.run("runs", "show", place.run("runs", "--json").json["runs"][1]["id"]).out


def test_check_says_how_a_good_provider_is(provider: Provider, tmp_path: Path) -> None:
    """Every step is there; what is worth a thought comes with a remedy: plain http, any domain."""
    provider.people(30)
    provider.users["id-p3"]["active"] = False
    found = steps(ScimPlace(tmp_path, provider.url), 0)
    assert {"reach", "tls", "credential", "provider", "clock", "person", "paging", "changes", "people", "domains"} <= set(found)
    assert found["people"]["detail"] == "30: 1 inactive"
    assert found["paging"]["detail"] == "30 users in 2 pages, to the end"
    assert {step for step, one in found.items() if one["state"] == "warning"} == {"tls", "domains"}
    assert "Set domains" in found["domains"]["remedy"]


def test_check_says_what_is_strange(provider: Provider, tmp_path: Path) -> None:
    """Counts that do not fit, people without addresses or that cannot be taken, values that are left out."""
    provider.people(30)
    provider.total = lambda true: true + 5
    provider.users["id-p3"]["emails"] = []
    provider.users["id-p4"]["emails"] = "nonsense"
    provider.users["id-p5"] = {"userName": "no id"}
    found = steps(ScimPlace(tmp_path, provider.url, 'token_file = "scim.token"\ndomains = ["example.com"]'), 4)
    assert {step for step, one in found.items() if one["state"] == "warning"} == {"tls", "paging", "addresses", "values"}
    assert {step for step, one in found.items() if one["state"] == "failed"} == {"users"}
    assert "the provider counts 35 and shows 30" in found["paging"]["detail"]
    assert found["changes"]["detail"].startswith("no incremental read")


@pytest.mark.parametrize("ignored", [True, False])
def test_check_tells_whether_the_filter_is_followed(provider: Provider, tmp_path: Path, ignored: bool) -> None:
    """A provider that shows people whom no filter could match ignores filters, and would give keys to everybody."""
    for number in range(30):
        provider.add(f"p{number}", userType="Employee")
    provider.ignores_filters = ignored
    more = "token_file = 'scim.token'\nfilter = 'userType eq \"Employee\"'"
    found = steps(ScimPlace(tmp_path, provider.url, more), 4 if ignored else 0)
    assert found["filter"]["detail"] == f'userType eq "Employee" is {"ignored" if ignored else "followed"}'


@pytest.mark.parametrize(
    ("quirk", "step", "remedy"),
    [
        ("wrong token", "credential", "Put a new token into token_file"),
        ("login page", "provider", "nothing before the provider asks for a login"),
        ("not there", "provider", "Correct `url`"),
        ("closed", "provider", "Check `url`, the network"),
    ],
)
def test_check_says_how_to_mend_it(provider: Provider, tmp_path: Path, quirk: str, step: str, remedy: str) -> None:
    """What goes wrong before anything is read is one failed step with its remedy."""
    url = provider.url
    if quirk == "wrong token":
        provider.bearers = {"another"}
    elif quirk == "login page":
        provider.always["*"] = (200, {"content-type": "text/html"}, b"<html>")
    elif quirk == "not there":
        url = url.replace("/scim/v2", "/scim/v2/nowhere")
    else:
        url = "http://127.0.0.1:1/scim/v2"
    found = steps(ScimPlace(tmp_path, url), 4)
    assert found[step]["state"] == "failed" and remedy in found[step]["remedy"]
    assert Scim2.token not in str(found)


def test_check_tells_when_the_certificate_ends(tmp_path: Path) -> None:
    """Over TLS the end of the certificate is told, and warned of when it is near."""
    ca_file, chain = make_certificate(tmp_path)
    with Provider(chain) as provider:
        provider.add("ada")
        found = steps(ScimPlace(tmp_path, provider.url, f'ca_file = "{ca_file}"'), 0)
    assert "in 1 days" in found["tls"]["detail"] and "Renew" in found["tls"]["remedy"]
    assert "none: anybody who reaches the provider" in found["credential"]["detail"]


def test_check_looks_at_the_clock(provider: Provider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A provider whose clock is an hour off is named."""
    provider.add("ada")
    answer = provider.reply

    def late(path: str, query: dict[str, str], headers: dict[str, str]) -> tuple[int, dict[str, str], bytes]:
        status, told, body = answer(path, query, headers)
        return status, {**told, "date": http_date(-3600)}, body

    monkeypatch.setattr(provider, "reply", late)
    found = steps(ScimPlace(tmp_path, provider.url), 4)
    assert "behind this machine's" in found["clock"]["detail"] and "NTP" in found["clock"]["remedy"]


def test_a_failed_sync_shows_code_and_remedy_and_no_secret(provider: Provider, tmp_path: Path) -> None:
    """A redirect to a login ends with 4, one sentence of facts and one of remedy; the token is nowhere."""
    provider.people(3)
    place = ScimPlace(tmp_path, provider.url)
    place.run("sync")
    provider.always["Users"] = (302, {"location": "https://login.example.com/"}, b"")
    failed = place.run("sync", "--json", status=4)
    assert failed.json["run"]["error"]["code"] == "redirected"
    assert Scim2.token not in failed.out + failed.err
    assert place.run("users", "--json").json["total"] == 3


def test_41_a_run_killed_between_pages_changes_nothing(provider: Provider, tmp_path: Path) -> None:
    """SIGKILL in the middle of the walk: nobody came or went, the moment to go on from stays, and the next run finds everything."""
    provider.people(250)
    place = ScimPlace(tmp_path, provider.url)
    place.run("sync")
    before = place.run("users", "--json", "--limit", "100").json
    provider.users["id-p1"]["active"] = False
    del provider.users["id-p2"]
    reached, go_on = threading.Event(), threading.Event()

    def hold(number: int) -> None:
        if number == 2:
            reached.set()
            go_on.wait(60)

    provider.forget()
    provider.before_page = hold
    run = place.start("sync", "--full")
    assert reached.wait(60)
    run.send_signal(signal.SIGKILL)
    run.communicate()
    go_on.set()
    assert place.run("users", "--json", "--limit", "100").json == before
    provider.before_page = lambda number: None
    counts = place.run("sync", "--json").json["run"]["counts"]
    assert (counts["missing"], counts["disabled"]) == (1, 1)
    assert [one["state"] for one in place.run("runs", "--json").json["runs"]] == ["succeeded", "failed", "succeeded"]
