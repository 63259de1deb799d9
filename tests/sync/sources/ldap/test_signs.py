"""What single values say about the state of an entry, and how ids are written."""

from __future__ import annotations

import pytest

from sync.settings import Attributes, SourceSettings
from sync.sources.ldap.ber import Entry
from sync.sources.ldap.dialect import dialect_of
from sync.sources.ldap.forms import id_form
from sync.sources.ldap.signs import anything_but, end_of_day, exactly, generalized_time
from sync.sources.ldap.vendors import DIRSRV, FREEIPA, GENERIC, OPENLDAP, VENDORS, detect


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("20300101120000z", 1_893_499_200_000),
        ("19700101000000z", None),
        ("19691231235959z", None),
        ("99991231235959z", 253_402_300_799_000),
        ("20300101130000+0100", 1_893_499_200_000),
        ("2030010107-05", 1_893_499_200_000),
        ("20300101120000.5z", 1_893_499_200_000),
        ("203001011200z", 1_893_499_200_000),
        ("20300101120000", None),
        ("20301301120000z", None),
        ("", None),
        ("٢٠300101120000z", None),
    ],
)
def test_a_generalized_time_is_read_or_ignored(text: str, moment: int | None) -> None:
    """Every form of the syntax is read; 0 is Kerberos' never; whatever else stands there ends nobody's access."""
    assert generalized_time(text) == moment


def test_tests_of_one_value() -> None:
    """A lock is one value, any value, or every value but one."""
    assert [exactly("TRUE")("true"), exactly("TRUE")("false"), exactly("*")("x")] == [True, False, True]
    assert [anything_but("FALSE")(value) for value in ("true", "false", "yes", "")] == [True, False, True, True]
    assert end_of_day("0") is None


def test_an_nsuniqueid_is_the_uuid_that_it_is() -> None:
    """389's own hyphens are taken out and put back; the canonical form is what content synchronisation calls the entry."""
    form = id_form("nsUniqueID")
    assert form.read(b"7D20F241-e71011f1-88aed252-9d7bea04") == "7d20f241-e710-11f1-88ae-d2529d7bea04"
    assert form.write("7d20f241-e710-11f1-88ae-d2529d7bea04") == "7d20f241-e71011f1-88aed252-9d7bea04"
    assert form.read(b"7d20f241-e710-11f1-88ae-d2529d7bea04") is None
    assert form.read(b"\xff") is None
    assert form.write("*)(uid=*") == "*)(uid=*"  # a stranger's id stays itself; the filter escapes it


def test_an_id_is_read_by_its_attribute_whoever_the_vendor_is() -> None:
    """Whoever reads nsUniqueId from a server that hides what it is keeps the same ids."""
    chosen = dialect_of(SourceSettings("corp", "ldap", 0, attributes=Attributes(id="nsUniqueId")), GENERIC)
    entry = Entry("uid=a", {"nsuniqueid": [b"7d20f241-e71011f1-88aed252-9d7bea04"]})
    assert chosen.ids_of(entry) == dialect_of(SourceSettings("corp", "ldap", 0), DIRSRV).ids_of(entry) == ["7d20f241-e710-11f1-88ae-d2529d7bea04"]
    assert chosen.with_ids(["7d20f241-e710-11f1-88ae-d2529d7bea04"]) == "(nsUniqueId=7d20f241-e71011f1-88aed252-9d7bea04)"


@pytest.mark.parametrize(
    ("root", "vendor"),
    [
        ({"vendorname": ["389 Project"], "vendorversion": ["389-Directory/2.3.1 B2025"]}, DIRSRV),
        ({"vendorversion": ["389-Directory/1.4"]}, DIRSRV),
        ({"vendorname": ["389 Project"], "ipatopologypluginversion": ["1.0"]}, FREEIPA),
        ({"vendorname": ["389 Project"], "ipadomainlevel": ["1"]}, FREEIPA),
        ({"objectclass": ["top", "OpenLDAProotDSE"]}, OPENLDAP),
        ({"vendorname": ["Novell"]}, GENERIC),
        ({}, GENERIC),
    ],
)
def test_a_root_entry_betrays_the_vendor(root: dict[str, list[str]], vendor: object) -> None:
    """Each kind of server is known by what it says of itself; FreeIPA before the 389 that it is made of."""
    assert detect(root) is vendor


def test_what_is_left_out_is_the_vendor_s_key_by_key() -> None:
    """One key of [source.attributes] replaces one word; an empty one means that the directory does not say it."""
    settings = SourceSettings("corp", "ldap", 0, attributes=Attributes(name="cn", groups=""), filter="uid=*")
    words = dialect_of(settings, FREEIPA)
    assert (words.id, words.username, words.name, words.groups, words.filter) == ("ipaUniqueID", "uid", "cn", "", "(uid=*)")
    for vendor in VENDORS.values():
        plain = dialect_of(SourceSettings("corp", "ldap", 0), vendor)
        assert (plain.id, plain.filter, [name for name, _ in plain.emails]) == (vendor.id, vendor.filter, list(vendor.emails))


def test_containers_that_keep_former_people_are_aside() -> None:
    """Preserved and staged entries are no people, though they stand inside a base that holds the whole suffix."""
    whole = dialect_of(SourceSettings("corp", "ldap", 0, bases=("dc=x",)), FREEIPA, ["dc=x"])
    assert whole.sets_aside("uid=a,CN=deleted users, cn=accounts,cn=provisioning,DC=X")
    assert not whole.sets_aside("uid=a,cn=users,cn=accounts,dc=x")
    assert dialect_of(SourceSettings("corp", "ldap", 0, bases=("cn=users,cn=accounts,dc=x",)), FREEIPA, ["dc=x"]).aside == ()
    assert not dialect_of(SourceSettings("corp", "ldap", 0, bases=("dc=x",)), DIRSRV, ["dc=x"]).sets_aside("uid=a,cn=accounts,cn=provisioning,dc=x")
