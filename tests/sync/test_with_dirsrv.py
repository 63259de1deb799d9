"""The promises of the product on a real 389 Directory Server: what is found out once is kept, who leaves has evidence, mistakes take nobody."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sync.settings import Attributes
from sync.store import sources
from tests.servers.dirsrv import DirsrvTree
from tests.sync.test_with_slapd import connect
from tests.sync.world import World


@pytest.fixture
def real(world: World, dirsrv: DirsrvTree) -> World:
    """A world whose source `corp` reads a tree of a real 389 Directory Server, with nothing said about what kind it is."""
    return connect(world, dirsrv, digest="d1", parts={"base": "b1"})


def change(world: World, **settings: object) -> None:
    """Change the source's settings, its digest and one part of it included, as a new configuration would."""
    corp = world.settings["corp"]
    parts = corp.parts | {name: str(value) for name, value in settings.items()}
    world.settings["corp"] = replace(corp, parts=parts, digest=f"{corp.digest}+", **settings)  # type: ignore[arg-type]


def test_leavers_go_with_evidence_and_the_vendor_is_kept(real: World, dirsrv: DirsrvTree) -> None:
    """One deleted, one locked, one hidden: missing with its evidence stored, disabled, and kept as unproven."""
    places = [dirsrv.add_person(uid) for uid in ("ada", "bob", "cyn")]
    real.sync()
    assert sources.get_source(real.store, "corp").vendor == "389ds"
    assert real.keys("ada@example.com")[0][1]
    dirsrv.delete(places[0])
    dirsrv.modify(places[1], nsAccountLock="TRUE")
    dirsrv.set_acis(
        '(targetattr="*")(version 3.0; acl "read"; allow (read, search, compare) userdn="ldap:///all";)',
        '(targetfilter="(uid=cyn)")(targetattr="*")(version 3.0; acl "no"; deny (read, search, compare) userdn="ldap:///all";)',
    )
    run = real.sync()
    assert (run.counts["missing"], run.counts["disabled"], run.counts["unproven"]) == (1, 1, 1)
    (gone,) = real.changes(run, "missing")
    assert f"asked for {places[0]}: noSuchObject (32), the nearest entry is {dirsrv.base}" in (gone.evidence or "")
    people = sources.get_source(real.store, "corp").people
    assert (people["active"], people["disabled"], people["missing"]) == (1, 1, 1)


@pytest.mark.parametrize("vendor", ["freeipa", "openldap"])
def test_another_vendor_takes_nobody(real: World, dirsrv: DirsrvTree, vendor: str) -> None:
    """Told to read by another vendor's words, no id can be read: the run changes nobody, and setting it right finds everybody unchanged."""
    dirsrv.add_people(20)
    real.sync()
    before = real.settings["corp"]
    change(real, vendor=vendor)
    real.sync(expect="failed")
    real.settings["corp"] = before
    run = real.sync()
    assert (run.counts["unchanged"], run.counts["missing"], run.counts["added"]) == (20, 0, 0)


def test_a_word_of_the_preset_replaced_is_a_changed_configuration(real: World, dirsrv: DirsrvTree) -> None:
    """Naming an id attribute where the vendor's was used makes strangers of everybody: what that takes away is held, and the key is named."""
    for uid in ("ada", "bob"):
        dirsrv.add_person(uid, employeeNumber=f"n-{uid}")
    real.sync()
    change(real, attributes=Attributes(id="employeeNumber"))
    held = real.sync(expect="held")
    assert held.mode_reason == "the configuration changed: attributes"
    assert held.counts["missing"] == 0
