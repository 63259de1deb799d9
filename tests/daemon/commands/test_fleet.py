"""`rosterd token issue --csv`: device tokens for a fleet, each line for itself, and nothing that cannot be written."""

from __future__ import annotations

import csv
import stat
import subprocess
import time
from io import StringIO
from pathlib import Path

import jwt
import pytest

from sync.ids import new_user_id, now_ms
from sync.settings import SourceSettings
from sync.store import sources, tokens
from sync.store.engine import many
from sync.store.tokens import Wanted
from tests.daemon.commands.place import Place
from tests.servers.slapd import Slapd

LINES = """email,label,ttl,colour
ann@example.com,SN-1,,red
Bob@Example.com , SN-2 ,30d,
nobody@example.com,SN-3,,
,SN-4,,
not an address,SN-5,,
ann@example.com,SN-6,soon,
ann@example.com,"SN
7",,
bob@example.com,SN-8,,,surplus
ann@example.com,,,
"""
ISSUE = ("token", "issue", "--role", "device", "--csv")


@pytest.fixture
def known(place: Place, slapd: Slapd) -> Place:
    """Return an installation that has read ann and bob, with a file of laptops."""
    slapd.add_person("ann", mail=["ann@example.com"])
    slapd.add_person("bob", mail=["bob@example.com"])
    place.run("sync")
    (place.folder / "fleet.csv").write_text(LINES)
    return place


def standing(place: Place) -> dict[str, str]:
    """Return the labels of the device tokens that stand, and whose each is."""
    listed = place.run("token", "list", "--role", "device", "--active", "--json").json["tokens"]
    return {token.get("label", ""): token["email"] for token in listed}


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(StringIO(text)))


def test_each_line_is_issued_or_named(known: Place) -> None:
    """stdout has the tokens and nothing else; stderr every bad line with its number; what is printed is what stands, for its own user."""
    done = known.run(*ISSUE, "fleet.csv", "--ttl", "90d", status=6)
    issued = rows(done.out)
    assert [(row["email"], row["label"]) for row in issued] == [("ann@example.com", "SN-1"), ("Bob@Example.com", "SN-2"), ("ann@example.com", "")]
    assert standing(known) == {"SN-1": "ann@example.com", "SN-2": "bob@example.com", "": "ann@example.com"}
    for row, days in zip(issued, (90, 30, 90), strict=True):
        claims = jwt.decode(row["token"], "s" * 48, algorithms=["HS256"], audience="rosterd", issuer="rosterd")
        assert (claims["jti"], claims["role"], claims["exp"] - claims["iat"]) == (row["jti"], "device", days * 86_400)
    assert [line.split(":")[0] for line in done.err.splitlines() if line.startswith("line ")] == [f"line {n}" for n in (4, 5, 6, 7, 9, 10)]
    assert "Columns left aside: colour." in done.err and "3 issued, shown only now; 0 skipped" in done.err and "6 refused" in done.err


def test_a_dry_run_says_the_same_and_issues_nothing(known: Place) -> None:
    """Also with --out, which it does not make."""
    dry = known.run(*ISSUE, "fleet.csv", "--dry-run", "--out", "tokens.csv", status=6)
    assert "3 would be issued" in dry.err and dry.out == "" and standing(known) == {}
    assert not (known.folder / "tokens.csv").exists()


def test_again_issues_again_unless_told_to_skip(known: Place) -> None:
    """--skip-existing goes by user and label, also within the file, and only by tokens that stand."""
    (known.folder / "fleet.csv").write_text("email,label\nann@example.com,SN-1\nbob@example.com,SN-1\nann@example.com,SN-1\n")
    first = rows(known.run(*ISSUE, "fleet.csv", "--skip-existing").out)
    assert [row["email"] for row in first] == ["ann@example.com", "bob@example.com"]
    again = known.run(*ISSUE, "fleet.csv", "--skip-existing")
    assert rows(again.out) == [] and "3 skipped" in again.err
    known.run("token", "revoke", first[0]["jti"])
    assert [row["email"] for row in rows(known.run(*ISSUE, "fleet.csv", "--skip-existing").out)] == ["ann@example.com"]
    assert len(rows(known.run(*ISSUE, "fleet.csv").out)) == 3


def test_a_file_for_the_tokens_is_new_and_private(known: Place) -> None:
    """0600 whatever the umask; never over another file or through a link; then nothing is issued."""
    out = known.folder / "tokens.csv"
    done = known.run(*ISSUE, "fleet.csv", "--out", "tokens.csv", status=6)
    assert done.out == "" and len(rows(out.read_text())) == 3 and stat.S_IMODE(out.stat().st_mode) == 0o600
    before = out.read_text()
    refused = known.run(*ISSUE, "fleet.csv", "--out", "tokens.csv", status=2)
    assert "is there already; nothing was issued" in refused.err and out.read_text() == before
    (known.folder / "link.csv").symlink_to(known.folder / "elsewhere.csv")
    known.run(*ISSUE, "fleet.csv", "--out", "link.csv", status=2)
    assert not (known.folder / "elsewhere.csv").exists() and "cannot be written" in known.run(*ISSUE, "fleet.csv", "--out", "no/where", status=2).err
    assert len(standing(known)) == 3


def test_what_cannot_be_written_is_not_issued(known: Place) -> None:
    """A full disk leaves no token behind that stands and that nobody knows."""
    with Path("/dev/full").open("w") as full:
        ended = subprocess.run(
            known.command(*ISSUE, "fleet.csv"), env=known.environment(), cwd=known.folder, stdout=full, stderr=subprocess.PIPE, text=True
        )
    assert ended.returncode == 2 and "cannot be written: No space left" in ended.stderr and "Traceback" not in ended.stderr
    assert standing(known) == {}


def test_json_has_a_line_for_each_line(known: Place) -> None:
    """With the token where it was issued, the reason where not; without the tokens when these go into a file."""
    lines = known.run(*ISSUE, "fleet.csv", "--json", status=6).json["lines"]
    assert [line["outcome"] for line in lines] == ["issued", "issued", *["refused"] * 6, "issued"]
    assert lines[0]["token"].count(".") == 2 and "No user holds" in lines[2]["why"]
    lines = known.run(*ISSUE, "fleet.csv", "--json", "--out", "t.csv", status=6).json["lines"]
    assert "token" not in lines[0] and lines[0]["jti"] in (known.folder / "t.csv").read_text()


@pytest.mark.parametrize(
    "wrong",
    [
        ("--role", "lookup", "--csv", "fleet.csv"),
        ("--role", "device", "--csv", "fleet.csv", "--user", "ann@example.com"),
        ("--role", "device", "--csv", "fleet.csv", "--label", "x"),
        ("--role", "device", "--user", "ann@example.com", "--out", "x"),
        ("--role", "device", "--csv", "empty.csv"),
        ("--role", "device", "--csv", "nowhere.csv"),
    ],
)
def test_what_makes_no_sense_is_refused_whole(known: Place, wrong: tuple[str, ...]) -> None:
    """Exit status 2, nothing issued, no file made."""
    (known.folder / "empty.csv").write_text("")
    known.run("token", "issue", *wrong, status=2)
    assert standing(known) == {} and not (known.folder / "x").exists()


def test_the_list_is_filtered(known: Place) -> None:
    """By user, by role, and to those that stand."""
    known.run(*ISSUE, "fleet.csv", status=6)
    known.run("token", "issue", "--role", "lookup", "--max-users", "10", "--label", "mdm")
    assert {token["role"] for token in known.run("token", "list", "--json").json["tokens"]} == {"device", "lookup"}
    (bobs,) = known.run("token", "list", "--user", "bob@example.com", "--json").json["tokens"]
    known.run("token", "revoke", bobs["jti"])
    assert known.run("token", "list", "--user", "bob@example.com", "--active", "--json").json["tokens"] == []
    assert "10 users" in known.run("token", "list", "--role", "lookup").out


def test_ten_thousand_laptops(bare: Place) -> None:
    """A fleet is issued in batches: half a minute is plenty, and every token printed stands."""
    bare.run("token", "list")
    store, now = bare.store(), now_ms()
    try:
        sources.declare(store, [SourceSettings("corp", "ldap", 0)], [])
        people = [(new_user_id(), f"p{number}@example.com") for number in range(2000)]
        with store.write() as connection:
            facts = [{"id": user_id, "email": email, "now": now, "none": b""} for user_id, email in people]
            many(
                connection,
                'insert into "user" (id, source, external_id, place, username, name, email, state, fingerprint, dropped, created_at,'
                " updated_at, missing_reads) values (:id, 'corp', :id, '', :email, '', :email, 'active', :none, '[]', :now, :now, 0)",
                facts,
            )
            many(
                connection,
                "insert into claim (matched, user_id, spelt, position, is_primary, marked, since, held)"
                " values (:email, :id, :email, 0, true, false, :now, true)",
                facts,
            )
    finally:
        store.close()
    lines = (f"p{number % 2000}@example.com,SN-{number}" for number in range(10_000))
    (bare.folder / "fleet.csv").write_text("email,label\n" + "\n".join(lines) + "\n")
    began = time.monotonic()
    done = bare.run(*ISSUE, "fleet.csv", "--out", "tokens.csv")
    assert time.monotonic() - began < 30 and "10000 issued" in done.err, (time.monotonic() - began, done)
    printed = {row["jti"] for row in rows((bare.folder / "tokens.csv").read_text())}
    store = bare.store()
    try:
        assert {token.jti for token in tokens.list_tokens(store, Wanted(role="device", active=True))} == printed
    finally:
        store.close()
    assert len(printed) == 10_000
