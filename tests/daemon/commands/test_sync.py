"""`rosterd sync` and `rosterd runs` against a real directory, as the admin types them."""

from __future__ import annotations

import os
import signal
import time

import pytest

from tests.daemon.commands.place import Place
from tests.servers.slapd import Slapd


def test_a_first_sync_and_a_second(place: Place, slapd: Slapd) -> None:
    """A sync prints what it counted, says its phases on stderr, and the second finds nothing new."""
    slapd.add_people(3)
    done = place.run("sync")
    heading, row = done.out.splitlines()
    assert dict(zip(heading.split(), row.split(), strict=False))["source"] == "corp"
    assert row.split()[2:4] == ["succeeded", "3"]
    assert "keys issued" in heading
    assert "corp: reading" in done.err
    assert place.run("sync", "--json").json["run"]["counts"]["unchanged"] == 3


def test_a_dry_run_prints_the_difference_and_changes_nothing(place: Place, slapd: Slapd) -> None:
    """`--dry-run` says who would join with which key, who would change and how; the store stays as it was."""
    dn = slapd.add_person("ann", displayName="Ann [red] Example")
    place.run("sync")
    slapd.modify(dn, displayName="Ann\u202e Other", mail=["ann@example.com", "ann2@example.com"])
    slapd.add_person("bob")
    done = place.run("sync", "--dry-run")
    lines = done.out.splitlines()
    assert "Joined:" in lines
    assert any(line.startswith("  + bob@example.com") for line in lines)
    changed = next(line for line in lines if line.startswith("  ~ "))
    assert "name: Ann [red] Example → Ann\\u{202e} Other" in changed
    assert "emails: ann@example.com → ann@example.com, ann2@example.com" in changed
    assert "\x1b" not in done.out
    assert place.run("users", "list", "--json").json["total"] == 1


def test_a_hold_from_exit_status_to_approval(place: Place, slapd: Slapd) -> None:
    """A held sync ends with 3 and says how to decide; approved, it takes away exactly that and ends with 0."""
    dns = slapd.add_people(30)
    place.run("sync")
    slapd.delete(*dns[:20])
    held = place.run("sync", status=3)
    assert "held" in held.out
    assert "rosterd runs approve" in held.out
    run_id = place.run("runs", "--state", "held", "--json").json["runs"][0]["id"]
    shown = place.run("runs", "show", run_id[:12])
    assert "Withheld until a human decides:" in shown.out
    assert shown.out.count("  ! ") == 20
    withheld = place.run("runs", "show", run_id, "--kind", "withheld", "--json").json
    assert (withheld["run"]["id"], {change["kind"] for change in withheld["changes"]}) == (run_id, {"withheld"})
    approved = place.run("runs", "approve", run_id, "--json").json["run"]
    assert (approved["state"], approved["counts"]["missing"], approved["trigger"]) == ("succeeded", 20, "approval")
    assert place.run("runs", "approve", run_id, status=6).err.startswith(f"rosterd: The hold of run {run_id} was approved meanwhile.")


def test_a_run_is_reverted(place: Place, slapd: Slapd) -> None:
    """`runs revert` shows what it would undo, undoes it, and says that the source is paused and how it goes on."""
    dns = slapd.add_people(5)
    place.run("sync")
    slapd.delete(dns[0])
    run_id = place.run("sync", "--json").json["run"]["id"]
    shown = place.run("runs", "revert", run_id, "--dry-run").out
    assert "Came back:" in shown
    assert "Nothing was changed" in shown
    assert place.run("users", "list", "--json").json["users"][0]["state"] == "missing"
    done = place.run("runs", "revert", run_id[:12])
    assert "rosterd sources resume corp" in done.out
    assert {one["state"] for one in place.run("users", "list", "--json").json["users"]} == {"active"}
    assert place.run("sources", "--json").json["sources"][0]["state"] == "paused"


def test_a_discarded_hold_raises_no_second_alarm(place: Place, slapd: Slapd) -> None:
    """What was discarded stays away from people, and the next sync ends with 0."""
    dns = slapd.add_people(30)
    place.run("sync")
    slapd.delete(*dns[:20])
    held = place.run("sync", "--json", status=3).json["run"]
    assert "is discarded" in place.run("runs", "discard", held["id"]).out
    assert place.run("sync", "--json").json["run"]["counts"]["missing"] == 0


def test_one_person_at_once(place: Place, slapd: Slapd) -> None:
    """`--only` reads one person, and nobody else is touched."""
    slapd.add_person("ann")
    slapd.add_person("bob")
    assert place.run("sync", "--only", "bob@example.com", "--json").json["run"]["counts"]["added"] == 1
    assert place.run("users", "--json").json["users"][0]["email"] == "bob@example.com"
    assert "has no @" in place.run("sync", "--only", "bob", status=2).err
    assert "no entry lists ghost@example.com" in place.run("sync", "--only", "ghost@example.com").out


def test_a_run_says_how_much_it_read(place: Place, slapd: Slapd) -> None:
    """A read of what has changed is not called incomplete: that is what a read is that broke off."""
    slapd.add_person("ann")
    read = []
    for _ in range(2):
        run = place.run("sync", "--json").json["run"]["id"]
        read += [line for line in place.run("runs", "show", run).out.splitlines() if line.startswith("  read ")]
    assert read[0].endswith(", complete") and read[1].endswith(": what has changed, and a sample")


def test_a_source_that_fails(place: Place, slapd: Slapd) -> None:
    """A directory that is down is exit status 4, with the sentence and the remedy of the run."""
    slapd.stop()
    done = place.run("sync", status=4)
    assert f"corp: {slapd.url}" in done.out
    assert "failed" in place.run("runs").out


def test_several_sources_end_with_the_worst(place: Place, slapd: Slapd) -> None:
    """One source that works and one that fails: both are tried, exit status 4; alone the good one ends with 0."""
    slapd.add_people(2)
    place.configure('[[source]]\nname = "lost"\nkind = "ldap"\nurls = ["ldaps://127.0.0.1:1"]\nbase = "dc=lost"')
    runs = place.run("sync", "--json", status=4).json["runs"]
    assert [(run["source"], run["state"]) for run in runs] == [("corp", "succeeded"), ("lost", "failed")]
    place.run("sync", "corp")
    assert "There is no source crop" in place.run("sync", "crop", status=6).err


def test_the_daemons_child_performs_a_waiting_run_quietly(place: Place, slapd: Slapd) -> None:
    """`sync --run ID` does that one run, prints nothing, and ends like the run."""
    from sync.store import runs, sources

    slapd.add_people(2)
    place.run("sync")
    store = place.store()
    try:
        run = runs.request(store, "corp", trigger="api", requested_by="tests")
        done = place.run("sync", "--run", run.id)
        assert (done.out, done.err) == ("", "")
        assert runs.get(store, run.id).state == "succeeded"
        assert sources.get_source(store, "corp").people["active"] == 2
    finally:
        store.close()
    assert "only a waiting run can be started" in place.run("sync", "--run", run.id, status=6).err


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_sync_that_is_told_to_stop(place: Place, slapd: Slapd, number: int, status: int) -> None:
    """SIGTERM and Ctrl-C end a sync at once; the run says so, and the next one works."""
    slapd.add_people(2)
    place.run("sync")
    slapd.pause()
    process = place.start("sync")
    assert process.stderr is not None
    assert process.stderr.readline() == "corp: connecting\n"
    deadline = time.monotonic() + 20
    while not slapd.connections_of(process.pid):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.kill(process.pid, number)
    _, err = process.communicate(timeout=30)
    slapd.resume()
    assert process.returncode == status, err
    assert "Traceback" not in err
    error = place.run("runs", "--json").json["runs"][0]["error"]
    assert error["code"] == "interrupted"
    place.run("sync")
