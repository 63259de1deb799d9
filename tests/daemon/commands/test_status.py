"""`rosterd status`, `sources`, `store`: how things are, and what to do."""

from __future__ import annotations

import stat
from collections.abc import Callable
from typing import Any

import pytest
from alembic.command import upgrade
from sqlalchemy import create_engine, text

from daemon.commands.health import judge_source, judge_tokens
from sync.settings import GuardSettings, SourceSettings
from sync.store.migrations import configuration, version
from sync.store.views import DriftView, HoldView, RunError, RunView, SourceView, TokenView
from tests.daemon.commands.place import Place
from tests.servers.idp import Idp, KeyServer
from tests.servers.slapd import Slapd

NOW = 1_767_225_600_000  # 2026-01-01T00:00:00Z
RUN = RunView("r1", "corp", "schedule", "rosterd", "full", False, "succeeded", 1, 1, {}, "2025-12-31T23:55:00Z")


def source(**facts: Any) -> SourceView:
    """Return a source that is well, but for `facts`."""
    well = {
        "state": "ok",
        "stale": False,
        "people": {"active": 3},
        "unproven": 0,
        "read_at": "2025-12-31T23:55:00Z",
        "due_at": "2026-01-01T00:00:30Z",
    }
    return SourceView("corp", **{"kind": "ldap", **well, "last_run": RUN, **facts})


def failed(**facts: Any) -> RunView:
    return RunView("r2", "corp", "schedule", "rosterd", "full", False, "failed", 0, 0, {}, "2026-01-01T00:00:00Z", **facts)


CASES: list[tuple[dict[str, Any], list[tuple[str, str]]]] = [
    ({}, []),
    ({"state": "paused", "paused_by": "cli:ann", "paused_at": "x"}, [("warning", "was paused by cli:ann")]),
    ({"stale": True}, [("critical", "is stale")]),
    ({"stale": True, "paused_by": "cli:ann"}, [("warning", "was paused"), ("warning", "is stale")]),
    ({"state": "new", "read_at": None, "last_run": None, "due_at": None}, [("warning", "has never been read completely")]),
    ({"kind": "scim-push", "state": "new", "read_at": None, "last_run": None, "due_at": None}, [("warning", "Nothing was ever pushed to corp")]),
    ({"kind": "scim-push", "stale": True}, [("critical", "corp is stale: it was last pushed to at")]),
    ({"last_run": failed(error=RunError("x", "It is down.", "Mend it."))}, [("warning", "its last run failed: It is down.")]),
    ({"open_hold": HoldView("r3", "Too many.", 12, "x")}, [("warning", "run r3 waits for a decision about 12 people: Too many.")]),
    ({"unproven": 20}, [("warning", "20 people were not seen")]),
    ({"drift": DriftView(1000, 11, 0.011)}, [("warning", "11 of 1,000 people looked at differed")]),
    ({"drift": DriftView(1000, 10, 0.01)}, []),
    ({"drift": DriftView(50, 2, 0.04)}, []),
    ({"due_at": "2025-12-31T23:57:59Z"}, [("critical", "was due at 2025-12-31T23:57:59Z, and nobody has read it")]),
    ({"due_at": "2025-12-31T23:57:59Z", "paused_by": "cli:ann"}, [("warning", "was paused")]),
    ({"state": "unconfigured"}, [("warning", "its 3 active people stay as they are")]),
    ({"state": "unconfigured", "people": {}}, []),
    ({"read_at": "2025-12-31T22:00:00Z"}, [("critical", "every key of its people is inactive")]),
]


@pytest.mark.parametrize(("facts", "expected"), CASES)
def test_each_problem_has_its_level(facts: dict[str, Any], expected: list[tuple[str, str]]) -> None:
    """What is wrong with a source is named, weighed and given a remedy; what is well is not mentioned."""
    settings = SourceSettings("corp", "ldap", 0, guard=GuardSettings(fail_closed_after=3600))
    found = list(judge_source(source(**facts), settings, NOW))
    assert [problem.level for problem in found] == [level for level, _ in expected]
    assert all(said in problem.what for problem, (_, said) in zip(found, expected, strict=True))
    assert all(problem.remedy for problem in found)


def test_tokens_that_end_soon() -> None:
    """The ones that end within two weeks and still stand, the first to end first."""

    def token(jti: str, expires_at: str, **facts: Any) -> TokenView:
        return TokenView(jti, "lookup", "x", "x", expires_at, **facts)

    tokens = [
        token("later", "2026-01-14T00:00:00Z"), token("soon", "2026-01-02T00:00:00Z"), token("far", "2026-02-01T00:00:00Z"),
        token("over", "2025-12-31T00:00:00Z"), token("revoked", "2026-01-03T00:00:00Z", revoked_at="x"),
    ]  # fmt: skip
    assert [problem.what.split()[3] for problem in judge_tokens(tokens, NOW)] == ["soon", "later"]


def test_a_fleet_that_ends_soon_is_one_line() -> None:
    """Ten thousand laptops are one thing to do, beside the MDM server's token, which is another."""
    fleet = [TokenView(f"d{number}", "device", "x", "x", "2026-01-05T00:00:00Z") for number in range(10_000)]
    fleet.append(TokenView("first", "device", "x", "x", "2026-01-02T00:00:00Z"))
    devices, mdm = judge_tokens([*fleet, TokenView("mdm", "lookup", "x", "x", "2026-01-03T00:00:00Z")], NOW)
    assert devices.what == "10,001 device tokens end within 14 days, the first at 2026-01-02T00:00:00Z."
    assert "lookup token mdm" in mdm.what


def test_status_from_new_to_well_to_held(place: Place, slapd: Slapd) -> None:
    """One screen, and the exit status that monitoring expects, only where it is asked for; at first there is no store."""
    (place.folder / "rosterd.db").unlink(missing_ok=True)
    assert place.run("status").out.startswith("WARNING: 1 thing needs a look.\n  warning   corp has never been read completely.")
    place.run("status", "--exit-code", status=1)
    dns = slapd.add_people(30)
    place.run("sync")
    assert place.run("status", "--exit-code").out.startswith("OK: everything is in step.")
    slapd.delete(*dns[:20])
    place.run("sync", status=3)
    done = place.run("status", "--exit-code", status=1)
    assert "waits for a decision about 20 people" in done.out
    assert "rosterd runs show" in done.out
    store = place.store()
    with store.write() as connection:
        connection.execute(text("update source set read_at = read_at - 86400000"))
    store.close()
    assert place.run("status", "--exit-code", status=2).out.startswith("CRITICAL: 2 things need a look.\n  critical  corp is stale")
    assert place.run("status", "--json").json["status"]["level"] == "critical"


def test_status_that_cannot_be_told(bare: Place) -> None:
    """Monitoring is told "unknown" when there is nothing to read; a human is told why."""
    bare.config.write_text("nonsense")
    done = bare.run("status", "--exit-code", status=3)
    assert done.out == "UNKNOWN: nothing can be said about rosterd.\n"
    assert "no TOML" in done.err
    bare.run("status", status=78)


def test_sources_pause_and_resume(place: Place, slapd: Slapd) -> None:
    """A configured source is listed before its first run; paused it is shown so, and a human may still sync it."""
    assert place.run("sources", "--json").json["sources"][0]["state"] == "new"
    place.run("sync")
    place.run("sources", "pause", "corp")
    assert place.run("sources", "--json").json["sources"][0]["state"] == "paused"
    assert "paused" in place.run("sources").out
    place.run("sync")
    assert place.run("sources", "resume", "corp", "--json").json["source"]["state"] == "ok"


@pytest.mark.sqlite
def test_backup_while_it_runs(place: Place, slapd: Slapd) -> None:
    """The copy is a store of its own, mode 0600; what is not in it is said; nothing is overwritten."""
    slapd.add_people(3)
    place.run("sync")
    copy = place.folder / "copy.db"
    done = place.run("store", "backup", "copy.db")
    assert "The key files are not in it" in done.err
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    place.configure(url='"sqlite:///copy.db"')
    assert place.run("users", "--json").json["total"] == 3
    assert "overwrites nothing" in place.run("store", "backup", "rosterd.db", status=6).err
    assert "is at version" in place.run("store", "migrate").out


@pytest.mark.sqlite
def test_a_backup_before_an_upgrade_migrates_nothing(bare: Place) -> None:
    """A store of an older version is copied as it is, even with a configuration that this version refuses; without a store there is no copy."""
    (bare.folder / "rosterd.db").unlink()
    assert "There is no store at" in bare.run("store", "backup", "copy.db", status=5).err
    with create_engine(f"sqlite:///{bare.folder / 'rosterd.db'}").begin() as connection:
        upgrade(configuration(connection), "0001")
    bare.configure("unknown = true")
    bare.run("store", "backup", "copy.db")
    for name in ("rosterd.db", "copy.db"):
        with create_engine(f"sqlite:///{bare.folder / name}").connect() as connection:
            assert version(connection) == "0001"


def test_check_finds_what_is_wrong_and_says_how_to_mend_it(place: Place, slapd: Slapd) -> None:
    """A good installation passes with people shown; a wrong password, a lost group and a lost key file are named."""
    slapd.add_people(12)
    done = place.run("check")
    assert done.out.count("@example.com") >= 10
    assert "FAIL" not in done.out
    assert "12: 0 disabled" in done.out
    (place.folder / "ldap.password").write_text("hunter2")
    wrong = place.run("check", "corp", status=4)
    assert "FAIL  corp: bind" in wrong.out
    assert "→" in wrong.out
    assert "ldap" not in {check["what"] for check in place.run("check", "--offline", "--json").json["checks"]}
    assert "hunter2" not in wrong.out
    (place.folder / "ldap.password").write_text(slapd.password)
    group = f"cn=ai,{slapd.groups}"
    place.configure(f'[[keys.issue]]\nname = "ai"\nsources = ["corp"]\ngroups = ["{group}"]')
    assert f"policy ai: the group {group} is not found" in place.run("check", status=4).out
    slapd.add_group("ai", [f"uid=u000001,{slapd.base}"])
    assert f"policy ai: {group} is found, it lists 1" in place.run("check").out


def test_check_asks_the_issuers_for_their_keys(bare: Place) -> None:
    """What the daemon would be answered, with a remedy; --offline asks nobody."""
    with KeyServer(bare.folder, Idp().jwks) as server:
        table = f'[[auth.issuer]]\nissuer = "idp"\naudience = "rosterd"\njwks_url = "{server.url}"\n'
        bare.configure(table + 'jwks_ca_file = "authority.pem"')
        assert "ok    idp: key set: 1 key, 1 of them for its algorithms" in bare.run("check", status=4).out
        bare.configure(table + 'jwks_ca_file = "authority.pem"\nalgorithms = ["RS256"]')
        assert "warn  idp: key set: 1 key, 0 of them for its algorithms" in bare.run("check", status=4).out
        bare.configure(table)
        found = bare.run("check", "--json", status=4).json["checks"]
        (failed,) = [check for check in found if check["what"] == "key set"]
        assert failed["state"] == "failed" and "CERTIFICATE_VERIFY_FAILED" in failed["detail"] and "ca_file" in failed["remedy"]
        assert "key set" not in bare.run("check", "--offline").out


def test_check_warns_of_a_network_that_may_assert_users(bare: Place) -> None:
    """One address is a proxy, a network is everybody in it."""
    for trusted, said in (
        ("10.0.0.7", "ok    proxy: users of corp are asserted in x-remote-user, from 10.0.0.7"),
        ("10.0.0.0/8", "warn  proxy: every address"),
    ):
        bare.configure(f'[http]\ntrusted_proxies = ["{trusted}"]\n[auth.proxy]\nheader = "X-Remote-User"')
        assert said in bare.run("check", "--offline").out


@pytest.mark.sqlite
def test_check_before_there_is_a_store(bare: Place) -> None:
    """Looking makes nothing: without a store it says that one will be made, and makes none."""
    (bare.folder / "rosterd.db").unlink()
    assert "is made by the first command that needs it" in bare.run("check", "--offline").out
    assert not (bare.folder / "rosterd.db").exists()


@pytest.mark.sqlite
def test_check_sees_a_store_that_others_can_read(bare: Place) -> None:
    """The store is made for its owner alone; whoever opened it to others is told, and how to mend it."""
    bare.store().close()
    assert "by others" not in bare.run("check", "--offline").out
    (bare.folder / "rosterd.db").chmod(0o644)
    said = bare.run("check", "--offline").out
    assert "warn  store:" in said and "by others (mode 0644)" in said and "chmod 0600" in said


def test_check_knows_the_stores_key_file(bare: Place) -> None:
    """A key file that the store was not sealed with is exit status 78, before anything is written with it."""
    store = bare.store()
    with store.write() as connection:
        connection.execute(text("insert into meta (name, value) values ('vault', '[\"deadbeef\"]')"))
    store.close()
    assert "lacks the key deadbeef" in bare.run("check", "--offline", status=78).out


def test_check_lists_mistakes_as_json(bare: Place) -> None:
    """With --json each mistake of the configuration is a check of its own."""
    bare.configure("a = 1\nb = 2")
    assert [check["state"] for check in bare.run("check", "--json", status=78).json["checks"]] == ["failed", "failed"]


@pytest.mark.parametrize(("host", "said"), [("0.0.0.0", "without TLS"), ("127.0.0.1", "ok    listening")])
def test_check_warns_of_plain_http_to_others(bare: Place, host: str, said: str) -> None:
    """Listening for other machines without TLS works, and is worth a warning."""
    bare.configure(f'[http]\nhost = "{host}"')
    assert said in bare.run("check", "--offline").out


def test_check_looks_at_the_certificate(bare: Place, slapd: Slapd, tmp_path_factory: Callable[..., Any]) -> None:
    """The server's own certificate is looked at: when it ends, and whether the key belongs to it."""
    key = slapd.folder / "server.key"
    key.chmod(0o600)
    bare.configure(f'[http]\ntls_cert_file = "{slapd.ca_file}"\ntls_key_file = "{key}"')
    assert "warn  tls: the certificate ends" in bare.run("check", "--offline").out
    (bare.folder / "other.key").write_text("-----BEGIN PRIVATE KEY-----\n")
    (bare.folder / "other.key").chmod(0o600)
    bare.configure(f'[http]\ntls_cert_file = "{slapd.ca_file}"\ntls_key_file = "other.key"')
    assert "FAIL  tls" in bare.run("check", "--offline", status=78).out
