"""What happens to real servers: an expired certificate, a restored backup, a trimmed log, clocks, access rules that narrow in the middle of a run."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key

from sync.settings import Attributes
from sync.sources.ldap.following import stamp_of
from tests.servers.meddler import Asked
from tests.servers.meddling import poll
from tests.servers.slapd import Slapd, person_id
from tests.servers.slapd_texts import DATABASE, person_ldif
from tests.sync.faulty import PEOPLE, Faulty, faulty, without_samples
from tests.sync.test_with_slapd import connect
from tests.sync.world import World

READ = "to * by users read by * none"


@pytest.fixture
def scene(world: World, slapd: Slapd) -> Iterator[Faulty]:
    """Return a source that was read once, and has changed since."""
    with faulty(world, slapd) as made:
        yield made


def in_between(which: Callable[[Asked], bool], what: Callable[[], object]) -> Callable[[Asked, int, bytes], Iterable[bytes]]:
    """Return what lets something happen when the first message of an answer has arrived; the answer is passed on as it is."""
    happened = False

    def change(asked: Asked, tag: int, raw: bytes) -> Iterable[bytes]:
        nonlocal happened
        if which(asked) and not happened:
            happened = True
            what()
        return (raw,)

    return change


# -- certificates -----------------------------------------------------------------------------------------------------------


def write_certificate(slapd: Slapd, *, ended: bool) -> None:
    """Sign the server's certificate anew, for yesterday or for a month, and restart the server."""
    old = x509.load_pem_x509_certificate(slapd.ca_file.read_bytes())
    now = datetime.now(UTC)
    until = now - timedelta(hours=1) if ended else now + timedelta(days=30)
    new = x509.CertificateBuilder(old.issuer, old.subject, old.public_key(), x509.random_serial_number(), now - timedelta(days=2), until)
    for extension in old.extensions:
        new = new.add_extension(extension.value, extension.critical)
    key = load_pem_private_key((slapd.folder / "server.key").read_bytes(), None)
    slapd.ca_file.write_bytes(new.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM))  # type: ignore[arg-type]
    slapd.restart()


@pytest.mark.parametrize(("tls", "mode"), [("ldaps", "full"), ("starttls", "incremental")])
def test_an_expired_certificate_fails_the_run_and_says_so(world: World, slapd: Slapd, tls: str, mode: str) -> None:
    """Everybody keeps their key meanwhile; with a new certificate the next run is fine."""
    slapd.add_people(3)
    slapd.modify(slapd.suffix, description="loaded")
    url = slapd.ldaps_url if tls == "ldaps" else f"ldap://localhost:{slapd.port}"
    connect(world, slapd, urls=(url,), tls=tls, ca_file=slapd.ca_file, allow_plaintext=False)
    world.sync()
    write_certificate(slapd, ended=True)
    run = world.sync_any(mode=mode)
    assert run.state == "failed"
    assert run.error is not None
    assert (run.error.code, "expired" in run.error.message) == ("tls_not_verified", True)
    assert all(world.keys(f"u{number:06d}@example.com")[0][1] for number in (1, 2, 3))
    write_certificate(slapd, ended=False)
    assert world.sync(mode=mode).counts["missing"] == 0


# -- access rules -----------------------------------------------------------------------------------------------------------


def hide(scene: Faulty, *numbers: int) -> Callable[[], None]:
    """Return what hides some people from the bind account."""
    rules = [f'to dn.exact="{scene.dns[number - 1]}" by * none' for number in numbers]
    return lambda: scene.slapd.set_acl(*rules, READ)


@pytest.mark.parametrize(
    "rules",
    [
        ["to dn.subtree={people} by * none"],
        ["to attrs=entryUUID by * none"],
        ["to attrs=mail by * none"],
        ["to attrs=objectClass by * none"],
        ["to * by * none"],
    ],
    ids=["everybody", "ids", "addresses", "object classes", "everything"],
)
def test_access_rules_that_narrow_in_the_middle_of_a_full_run_take_nobody(scene: Faulty, rules: list[str]) -> None:
    """Between two pages people, ids, addresses or everything vanish from the account: failed or held or unproven, and nobody without a key."""
    narrow = [rule.format(people=f'"{scene.slapd.base}"') for rule in rules]
    scene.between.change = in_between(lambda asked: asked.page == 1, lambda: scene.slapd.set_acl(*narrow, READ))
    run = scene.run()
    scene.nobody_lost()
    assert run.counts.get("missing", 0) <= 1
    assert run.state in ("failed", "held") or run.counts["unproven"]
    scene.slapd.reset_acl()
    scene.between.behave()
    assert scene.run().state == "succeeded"
    scene.agrees()


def test_access_rules_that_narrow_between_what_changed_and_who_it_is(scene: Faulty) -> None:
    """Ten people are edited, then hidden after the poll: they are unproven, not missing; seen again, they are as the directory says."""
    for number in range(6, 15):
        scene.slapd.modify(scene.dns[number - 1], displayName="Edited")
    scene.between.change = in_between(poll, hide(scene, *range(6, 15)))
    run = scene.run("incremental")
    assert (run.state, run.mode, run.counts["missing"], run.counts["unproven"]) == ("succeeded", "incremental", 1, 9)
    scene.nobody_lost()
    scene.slapd.reset_acl()
    scene.between.behave()
    assert scene.run().state == "succeeded"
    scene.agrees()


def test_access_rules_that_hide_everybody_before_an_incremental_run(scene: Faulty) -> None:
    """With nothing to be seen any more, an incremental run takes nobody, and the next full one says that the answer is empty."""
    scene.slapd.set_acl(f'to dn.subtree="{scene.slapd.base}" by * none', READ)
    run = scene.run("incremental")
    assert run.counts.get("missing", 0) == 0
    scene.nobody_lost()
    full = scene.run()
    assert (full.state, full.error.code if full.error else "") == ("failed", "base_not_found")
    scene.nobody_lost()
    scene.slapd.reset_acl()
    assert scene.run().state == "succeeded"
    scene.agrees()


# -- what a server remembers ------------------------------------------------------------------------------------------------


def test_a_server_that_restarts_in_the_middle_of_a_run(scene: Faulty) -> None:
    """Half a read is none: the run fails, and the next one is right."""
    before = scene.kept()
    scene.between.change = in_between(lambda asked: asked.page == 2, scene.slapd.restart)
    run = scene.run()
    assert (run.state, run.error.code if run.error else "", scene.kept() == before) == ("failed", "connection_lost", True)
    scene.between.behave()
    assert scene.run().state == "succeeded"
    scene.agrees()


def test_a_trimmed_log_of_deletions_becomes_a_full_run(world: World, slapd: Slapd) -> None:
    """A server that can no longer name who was deleted is read as a whole, and the leavers leave at once."""
    slapd.configure(f"olcOverlay={{0}}syncprov,{DATABASE}", olcSpSessionlog="1")
    slapd.restart()
    with faulty(world, slapd) as scene:
        slapd.delete(slapd.add_person("short"), slapd.add_person("lived"))
        run = scene.run("incremental")
        assert (run.state, run.mode) == ("succeeded", "full")
        assert "olcSpSessionlog" in (run.mode_reason or "")
        scene.agrees()


def test_a_restarted_server_forgets_who_was_deleted_and_is_read_whole(scene: Faulty) -> None:
    """The log of deletions is kept in memory: after a restart everything is read."""
    scene.slapd.restart()
    run = scene.run("incremental")
    assert (run.state, run.mode) == ("succeeded", "full")
    scene.agrees()


@pytest.mark.parametrize("mode", ["full", "incremental"])
def test_a_restored_backup_takes_no_more_than_the_guard_allows(world: World, slapd: Slapd, mode: str) -> None:
    """A directory put back to last week: an incremental run becomes a full one, and thirty people who are not in it any more are held."""
    slapd.add_people(30)
    slapd.modify(slapd.suffix, description="loaded")
    backup = slapd.back_up()
    slapd.add_people(30, first=31)
    slapd.modify(slapd.suffix, description="later")
    connect(world, slapd)
    world.sync()
    slapd.restore(backup)
    run = world.sync(mode=mode, expect="held")
    assert (run.mode, run.counts["missing"], run.counts["withheld"]) == ("full", 0, 30)
    assert mode == "full" or "cookie" in (run.mode_reason or "")
    assert all(world.keys(f"u{number:06d}@example.com")[0][1] for number in range(1, 61))


# -- clocks -----------------------------------------------------------------------------------------------------------------


def load_from_the_future(slapd: Slapd) -> None:
    """Leave a change behind that a server with a clock two hours ahead has made."""
    ahead = stamp_of(time.time() + 7200)
    number = f"{ahead[:-1]}.000000Z#000000#000#000000"
    slapd.stop()
    slapd._slapadd(1, person_ldif(900, slapd.base).rstrip() + f"\nentryCSN: {number}\nmodifyTimestamp: {ahead}\ncreateTimestamp: {ahead}\n\n", "-w")
    slapd.start()


def test_a_directory_whose_clock_was_set_back_is_read_whole(world: World, slapd: Slapd) -> None:
    """Changes made after the clock was set right are older than the newest one; they are not overlooked."""
    slapd.add_people(PEOPLE)
    load_from_the_future(slapd)
    connect(world, slapd)
    world.sync()
    slapd.modify(f"uid=u000003,{slapd.base}", pwdAccountLockedTime="000001010000Z")
    with without_samples():
        run = world.sync(mode="incremental")
    assert (run.mode, run.counts["disabled"]) == ("full", 1)
    assert "set back" in (run.mode_reason or "")
    assert not world.keys("u000003@example.com")[0][1]


def test_by_time_a_clock_that_was_ahead_hides_no_later_change(world: World, slapd: Slapd) -> None:
    """A newest change two hours ahead moves the moment from which changes are asked for no further than now."""
    slapd.add_people(PEOPLE)
    load_from_the_future(slapd)
    connect(world, slapd, attributes=Attributes(id="uid"))
    world.sync()
    assert world.sync(mode="incremental").mode == "incremental"
    slapd.modify(f"uid=u000003,{slapd.base}", pwdAccountLockedTime="000001010000Z")
    with without_samples():
        run = world.sync(mode="incremental")
    assert (run.mode, run.counts["disabled"]) == ("incremental", 1)


def test_an_id_of_somebody_else_comes_back_with_a_backup(world: World, slapd: Slapd) -> None:
    """Somebody deleted and restored with the same entryUUID is the same person with the same key."""
    slapd.add_people(5)
    slapd.modify(slapd.suffix, description="loaded")
    connect(world, slapd)
    world.sync()
    before = world.keys("u000002@example.com")
    slapd.delete(f"uid=u000002,{slapd.base}")
    assert world.sync(mode="incremental").counts["missing"] == 1
    slapd.load(person_ldif(2, slapd.base))
    assert world.sync().counts["returned"] == 1
    assert world.keys("u000002@example.com") == before
    assert person_id(2) in {row[0] for row in world.store.query('select external_id from "user"', {})}
