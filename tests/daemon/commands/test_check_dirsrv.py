"""`rosterd check` on a real 389 Directory Server: what it prints."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.daemon.commands.place import Place
from tests.servers.dirsrv import DirsrvTree


@pytest.fixture
def place(tmp_path: Path, dirsrv: DirsrvTree) -> Place:
    """Return an installation whose source reads a tree of a real 389 Directory Server."""
    made = Place(tmp_path, dirsrv.url, dirsrv.bind_dn, dirsrv.base)
    (tmp_path / "ldap.password").write_text(dirsrv.password)
    return made


def test_check_prints_what_it_found_and_what_it_will_use(place: Place, dirsrv: DirsrvTree) -> None:
    """Vendor, words, limits, rights, ten people; and after the first read it stands by what that found."""
    dirsrv.add_people(12)
    printed = place.run("check").out
    assert "ok    corp: vendor: 389ds (389 Project 389-Directory/" in printed
    assert "ok    corp: words: id = nsUniqueId (389ds); username = uid (389ds)" in printed
    assert "corp: limits: 12 entries in 1 page, to the end" in printed
    assert "warn  corp: passwords: the bind account may read userPassword" in printed
    assert f"corp: writing: the bind account may change nothing of uid=u000001,{dirsrv.base}" in printed
    assert printed.count("@example.com") == 10
    place.run("sync")
    assert "by its root entry" in place.run("check").out
    place.configure(kind='"ldap"\nvendor = "openldap"')
    assert "FAIL  corp: ids: 12 entries cannot be taken" in place.run("check", status=4).out


def test_sync_says_what_to_do_about_a_limit(place: Place, dirsrv: DirsrvTree) -> None:
    """A limited account ends with status 4, the limit's name, and what to set on which entry."""
    dirsrv.add_people(60)
    dirsrv.modify(dirsrv.limited_dn, nsLookThroughLimit="30")
    place.configure(bind_dn=f'"{dirsrv.limited_dn}"')
    ended = place.run("sync", status=4)
    assert "administrative limit" in ended.out
    assert f"set on the entry {dirsrv.limited_dn}: `nsSizeLimit: -1`" in ended.out
