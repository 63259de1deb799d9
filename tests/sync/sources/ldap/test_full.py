"""Full reads of a real slapd: who is read, and when a read counts as complete."""

from __future__ import annotations

import pytest

from sync.directory import Refused
from sync.errors import SourceIncomplete, SourceRefused
from sync.settings import Attributes
from sync.sources import open_source
from sync.sources.ldap import collector
from tests.servers.slapd import Slapd, person_id
from tests.sync.sources.ldap.corp import corp, read


def test_everybody_under_the_base_is_read_page_by_page(slapd: Slapd) -> None:
    """A read of many pages brings everybody once, and proves that it was all."""
    slapd.add_people(1234)
    seen = read(corp(slapd, page_size=100))
    assert sorted(person.external_id for person in seen.persons) == [person_id(number) for number in range(1, 1235)]
    assert (seen.proof.complete, seen.proof.pages, seen.proof.entries) == (True, 13, 1234)
    assert seen.server == seen.proof.server == slapd.url


def test_an_empty_base_is_a_complete_answer(slapd: Slapd) -> None:
    """Nobody at all is an answer too; whether it is believed is not the source's business."""
    seen = read(corp(slapd))
    assert (seen.persons, seen.proof.complete, seen.proof.entries, seen.proof.pages) == ([], True, 0, 1)


def test_a_person_is_read_with_everything_the_entry_says(slapd: Slapd) -> None:
    """Id, place, username, name, several addresses and groups come from one entry."""
    dn = slapd.add_person("jörg", displayName="Jörg Müller", mail=["joerg@example.com", "J.Mueller@Example.com"])
    slapd.add_group("AI  Users", [dn])
    (joerg,) = read(corp(slapd)).persons
    assert (joerg.external_id, joerg.place) == (slapd.id_of(dn), dn)
    assert (joerg.username, joerg.name, joerg.enabled, joerg.expires_at) == ("jörg", "Jörg Müller", True, None)
    assert [(email.spelt, email.matched) for email in joerg.emails] == [
        ("joerg@example.com", "joerg@example.com"),
        ("J.Mueller@Example.com", "j.mueller@example.com"),
    ]
    assert joerg.groups == ("cn=ai users,ou=groups,dc=example,dc=com",)


def test_the_name_falls_back_to_cn_and_attributes_answer_to_their_other_names(slapd: Slapd) -> None:
    """Without displayName the cn is the name; rfc822Mailbox and userid are mail and uid, in any case and with options."""
    slapd.add(
        f"uid=ann,{slapd.base}",
        **{"objectClass": "inetOrgPerson", "cn": "Ann", "sn": "A", "mail": "ann@example.com", "description;lang-en": "alias@example.com"},
    )
    (ann,) = read(corp(slapd, attributes=Attributes(username="userid", emails=("RFC822Mailbox", "Description")))).persons
    assert (ann.username, ann.name) == ("ann", "Ann")
    assert [email.spelt for email in ann.emails] == ["ann@example.com", "alias@example.com"]


def test_permanent_locks_and_configured_values_disable(slapd: Slapd) -> None:
    """A permanent ppolicy lock and every condition of [source.disabled] disable; a temporary lock-out does not."""
    with slapd.connect() as connection:
        for uid, locked in (("gone", "000001010000Z"), ("typo", "20260101120000Z"), ("fine", None)):
            dn = slapd.add_person(uid)
            if locked:
                connection.modify(dn, {"pwdAccountLockedTime": [("MODIFY_REPLACE", [locked])]})
    slapd.add_person("left", employeeType="Left")
    slapd.add_person("carl", carLicense="X")
    seen = read(corp(slapd, disabled_when=("employeeType=left", "carLicense=*")))
    assert {person.username for person in seen.persons if not person.enabled} == {"gone", "left", "carl"}


def test_shadow_expire_is_the_end_of_that_day(slapd: Slapd) -> None:
    """shadowExpire counts days since the epoch, the day itself being good; 0 and -1 are never."""
    for uid, day in (("a", "20000"), ("b", "-1"), ("c", "0")):
        slapd.add_person(uid, objectClass=["inetOrgPerson", "shadowAccount"], shadowExpire=day)
    seen = read(corp(slapd))
    assert {person.username: person.expires_at for person in seen.persons} == {"a": 20001 * 86_400_000, "b": None, "c": None}


def test_several_bases_are_read_and_nobody_twice(slapd: Slapd) -> None:
    """Bases may overlap or be repeated in another spelling: each person is read once."""
    slapd.add_person("ann")
    slapd.add_person("bob", parent=slapd.former)
    bases = (slapd.base, slapd.former, "OU=People, DC=example,DC=com", f"uid=ann,{slapd.base}")
    seen = read(corp(slapd, bases=bases))
    assert (sorted(person.username for person in seen.persons), seen.refused) == (["ann", "bob"], [])


def test_a_filter_without_brackets_and_with_escapes_is_taken(slapd: Slapd) -> None:
    """The filter people write is the filter that is asked."""
    slapd.add_person("ann", description="a (b) *")
    slapd.add_person("bob")
    assert read(corp(slapd, filter=r"description=a \28b\29 \2a")).usernames == {"ann"}


@pytest.mark.parametrize("wrong", ["(uid=a", "uid=a)", "((uid=a))", "(&)", "()", "no filter at all"])
def test_a_malformed_filter_is_refused_with_the_remedy(slapd: Slapd, wrong: str) -> None:
    """A filter that cannot be read is named as such, not as a broken directory."""
    slapd.add_person("ann")
    with pytest.raises(SourceRefused) as failure:
        read(corp(slapd, filter=wrong))
    assert failure.value.code == "bad_filter"
    assert wrong in failure.value.message


def test_a_size_limit_is_an_error_that_names_the_line_to_add(slapd: Slapd) -> None:
    """20,000 people and an account limited to 500: nothing is read, and the remedy is a line to paste."""
    slapd.add_people(20_000)
    with pytest.raises(SourceIncomplete) as failure:
        read(corp(slapd, bind_dn=slapd.limited_dn, page_size=200))
    assert failure.value.code == "size_limit"
    assert "500 entries" in failure.value.message
    assert slapd.limited_dn in failure.value.message
    limits = f'dn.exact="{slapd.limited_dn}" size.soft=unlimited size.hard=unlimited size.prtotal=unlimited time=unlimited'
    assert f"olcLimits: {limits}" in failure.value.remedy
    assert f"limits {limits}" in failure.value.remedy
    slapd.set_limits(limits)
    assert len(read(corp(slapd, bind_dn=slapd.limited_dn, page_size=200)).persons) == 20_000


def test_an_account_whose_pages_are_cut_smaller_is_not_believed(slapd: Slapd) -> None:
    """A limit on the size of a page, or on paging at all, is an error and not a short directory."""
    slapd.add_people(300)
    for limit in ("size.pr=50", "size.prtotal=100", "size.prtotal=disabled", "size.unchecked=10"):
        slapd.set_limits(f'dn.exact="{slapd.bind_dn}" {limit}')
        try:
            seen = read(corp(slapd, page_size=100, filter="(description=*)" if "unchecked" in limit else "(objectClass=inetOrgPerson)"))
        except (SourceIncomplete, SourceRefused) as error:
            assert error.remedy, limit
        else:
            assert len(seen.persons) == 300, limit


def test_a_base_that_is_not_there_is_named(slapd: Slapd) -> None:
    """A mistyped base is refused with its name; ldap3 would have returned nobody."""
    with pytest.raises(SourceRefused) as failure:
        read(corp(slapd, bases=("ou=peple,dc=example,dc=com",)))
    assert failure.value.code == "base_not_found"
    assert "ou=peple,dc=example,dc=com" in failure.value.message


def test_a_base_that_is_no_dn_or_hidden_is_refused(slapd: Slapd) -> None:
    """What the directory refuses is repeated in its words."""
    with pytest.raises(SourceRefused) as failure:
        read(corp(slapd, bases=("people",)))
    assert failure.value.code == "invalid_dn"
    slapd.set_acl("to * by * none")
    with pytest.raises(SourceRefused) as failure:
        read(corp(slapd))
    assert failure.value.code == "base_not_found"


def test_an_entry_without_a_readable_id_is_refused_and_the_read_proves_nothing(slapd: Slapd) -> None:
    """One entry whose entryUUID is hidden: it is named, and absence counts for nobody."""
    slapd.add_people(10)
    slapd.set_acl('to dn.exact="uid=u000007,ou=people,dc=example,dc=com" attrs=entryUUID by * none', "to * by users read")
    seen = read(corp(slapd))
    assert len(seen.persons) == 9
    assert seen.refused == [Refused("uid=u000007,ou=people,dc=example,dc=com", "shows no entryUUID")]
    assert not seen.proof.complete
    assert "uid=u000007" in seen.proof.why_incomplete


def test_of_two_entries_with_one_id_neither_speaks_for_the_person(slapd: Slapd) -> None:
    """An id that two entries share: both are named, and only what they agree on about the state is believed at the end."""
    ann, bob = slapd.add_person("ann", employeeNumber="7"), slapd.add_person("bob", employeeNumber="7", employeeType="left")
    slapd.add_person("carl", employeeNumber="8")
    settings = corp(slapd, attributes=Attributes(id="employeeNumber"), disabled_when=("employeeType=left",), page_size=1)
    seen = read(settings)
    last = {person.external_id: person for person in seen.persons}
    assert (last["7"].bare, last["7"].enabled, last["7"].place) == (True, False, ann)
    assert not last["8"].bare
    assert sorted((one.place, one.why) for one in seen.refused) == [(ann, f"shares the id 7 with {bob}"), (bob, f"shares the id 7 with {ann}")]
    assert seen.proof.complete
    with open_source(settings).open() as reading:
        for found in (reading.find("bob@example.com"), reading.find_ids(["7"])):
            assert [(person.external_id, person.bare, person.enabled) for person in found.persons] == [("7", True, False)]


def test_an_attribute_that_is_no_id_stops_the_read(slapd: Slapd, monkeypatch: pytest.MonkeyPatch) -> None:
    """When entries share their ids by the hundred, the attribute was ill chosen, and nothing of it is believed."""
    monkeypatch.setattr(collector, "MOST_SHARED", 3)
    slapd.add_people(20)
    for number in range(1, 21):
        slapd.modify(f"uid=u{number:06d},{slapd.base}", employeeNumber=str(number // 2))
    with pytest.raises(SourceRefused) as failure:
        read(corp(slapd, attributes=Attributes(id="employeeNumber")))
    assert failure.value.code == "ids_not_unique"


def test_referrals_are_skipped_and_never_followed(slapd: Slapd) -> None:
    """A reference to another server in the middle of the tree is not followed, and nobody is lost by it."""
    slapd.add_people(3)
    with slapd.connect() as connection:
        attributes = {"objectClass": ["referral", "extensibleObject"], "ou": "elsewhere", "ref": "ldap://127.0.0.1:1/ou=elsewhere"}
        connection.add(f"ou=elsewhere,{slapd.base}", attributes=attributes, controls=[("2.16.840.1.113730.3.4.2", True, None)])
    seen = read(corp(slapd, page_size=2))
    assert (len(seen.persons), seen.proof.complete) == (3, True)


def test_a_base_on_another_server_is_refused_with_the_remedy(slapd: Slapd) -> None:
    """Where the whole base is only a referral, the error says to name the right server."""
    with slapd.connect() as connection:
        attributes = {"objectClass": ["referral", "extensibleObject"], "ou": "elsewhere", "ref": "ldap://127.0.0.1:1/ou=elsewhere"}
        connection.add(f"ou=elsewhere,{slapd.suffix}", attributes=attributes, controls=[("2.16.840.1.113730.3.4.2", True, None)])
    with pytest.raises(SourceRefused) as failure:
        read(corp(slapd, bases=(f"ou=elsewhere,{slapd.suffix}",)))
    assert failure.value.code == "referral"


def test_the_proof_is_not_to_be_had_before_the_end(slapd: Slapd) -> None:
    """Asking for the proof of a read that has not ended is a mistake of ours, and says so."""
    slapd.add_people(3)
    with open_source(corp(slapd, page_size=1)).open() as reading:
        pages = reading.full()
        next(pages)
        with pytest.raises(RuntimeError):
            reading.proof()


def test_an_entry_in_a_page_of_another_filter_is_never_dereferenced(slapd: Slapd) -> None:
    """An alias in the base is not followed: nobody is read from where the base does not reach."""
    dn = slapd.add_person("bob", parent=slapd.former)
    slapd.add(f"uid=alias,{slapd.base}", objectClass=["alias", "extensibleObject"], uid="alias", aliasedObjectName=dn)
    assert read(corp(slapd, filter="(objectClass=*)")).usernames == {"", "alias"}
