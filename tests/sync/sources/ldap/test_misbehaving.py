"""Servers that lie, stop in the middle, or speak nonsense: each is an error, and never half a directory."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from sync.errors import SourceError, SourceIncomplete, SourceUnavailable
from sync.settings import Secret, SourceSettings
from sync.sources.ldap import paging, wire
from tests.servers import liar
from tests.servers.cutter import Cutter, garble_after, hang_after
from tests.servers.liar import Liar, Script
from tests.servers.slapd import Slapd
from tests.sync.sources.ldap.corp import Read, corp, read


def _ask(script: Script, **changes: object) -> Read:
    with Liar(script) as server:
        settings: dict[str, object] = {"tls": "plain", "allow_plaintext": True, "bind_dn": "cn=sync", "password": Secret("x"), "bases": ("dc=x",)}
        settings |= {"read_timeout": 2.0, "page_size": 2} | changes
        return read(SourceSettings("corp", "ldap", 0, (server.url,), **settings))  # type: ignore[arg-type]


def _person(message_id: int, number: int) -> bytes:
    attributes = {"entryUUID": [f"id-{number}"], "uid": [f"u{number}"], "mail": [f"u{number}@example.com"]}
    return liar.entry(message_id, f"uid=u{number},dc=x", attributes)


def test_a_dropped_paging_control_is_not_believed() -> None:
    """An answer whose last page lacks the paging control may be cut off: it is refused as incomplete."""

    def script(asked: int, message_id: int) -> Iterable[bytes]:
        yield _person(message_id, asked)
        yield liar.done(message_id, b"more" if asked == 0 else None)

    with pytest.raises(SourceIncomplete) as failure:
        _ask(script)
    assert failure.value.code == "paging_control_missing"
    assert "after 2 entries" in failure.value.message


def test_the_same_page_forever_is_a_loop() -> None:
    """A server that gives the same page for the same cookie again and again is stopped."""

    def script(asked: int, message_id: int) -> Iterable[bytes]:
        yield _person(message_id, min(asked, 1))
        yield liar.done(message_id, b"again")

    with pytest.raises(SourceIncomplete) as failure:
        _ask(script)
    assert failure.value.code == "paging_loop"


def test_a_cookie_that_names_the_search_may_stay_the_same() -> None:
    """Some servers number the search, not the page: progress counts, not the cookie."""

    def script(asked: int, message_id: int) -> Iterable[bytes]:
        yield _person(message_id, asked)
        yield liar.done(message_id, b"0" if asked < 5 else b"")

    assert len(_ask(script).persons) == 6


def test_pages_without_entries_are_read_on_but_not_forever(monkeypatch: pytest.MonkeyPatch) -> None:
    """A page may be empty and not the last one; a thousand in a row are a loop."""

    def script(asked: int, message_id: int) -> Iterable[bytes]:
        if asked == 5:
            yield _person(message_id, 1)
        yield liar.done(message_id, b"x%d" % asked if asked < 8 else b"")

    seen = _ask(script)
    assert (len(seen.persons), seen.proof.complete, seen.proof.pages) == (1, True, 9)
    monkeypatch.setattr(paging, "MOST_EMPTY_PAGES", 3)
    with pytest.raises(SourceIncomplete) as failure:
        _ask(script)
    assert failure.value.code == "paging_loop"


def test_pages_without_end_are_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    """New entries for ever are no directory."""
    monkeypatch.setattr(paging, "MOST_PAGES", 20)
    with pytest.raises(SourceIncomplete) as failure:
        _ask(lambda asked, message_id: (_person(message_id, asked), liar.done(message_id, b"c%d" % asked)))
    assert failure.value.code == "paging_loop"


@pytest.mark.parametrize(("code", "expected"), [(3, "time_limit"), (4, "size_limit"), (11, "admin_limit")])
def test_limits_in_the_middle_are_incomplete(code: int, expected: str) -> None:
    """Each kind of limit is named, with what had been received, also when it comes late."""

    def script(asked: int, message_id: int) -> Iterable[bytes]:
        yield _person(message_id, asked)
        yield liar.done(message_id, b"c%d" % asked, code=0 if asked < 3 else code)

    with pytest.raises(SourceIncomplete) as failure:
        _ask(script)
    assert failure.value.code == expected
    assert "after 4 entries" in failure.value.message
    assert 'olcLimits: dn.exact="cn=sync" size.soft=unlimited' in failure.value.remedy


@pytest.mark.parametrize("code", [1, 2, 12, 32, 50, 51, 53, 80, 118, 4096, 999, 70_000])
def test_every_other_result_is_an_error(code: int) -> None:
    """No result but success ends a read well, known or unknown."""
    with pytest.raises(SourceError) as failure:
        _ask(lambda asked, message_id: (_person(message_id, 1), liar.done(message_id, code=code, text="so there")))
    assert failure.value.code
    assert failure.value.remedy


def test_a_connection_closed_in_the_middle_of_a_page_is_an_error() -> None:
    """Entries without a result are half a directory."""

    def script(asked: int, message_id: int) -> Iterable[bytes]:
        yield _person(message_id, 1)
        if asked:
            raise OSError
        yield liar.done(message_id, b"more")

    with pytest.raises(SourceUnavailable) as failure:
        _ask(script)
    assert failure.value.code == "connection_lost"
    assert "2 entries had been read" in failure.value.message


@pytest.mark.parametrize("octets", [0, 1, 14, 60, 500, 5000, 20_000, 100_000])
def test_a_server_that_falls_silent_is_given_up_at_any_point(slapd: Slapd, octets: int) -> None:
    """However much had been said before, silence ends in an error within read_timeout."""
    slapd.add_people(600)
    with Cutter(slapd.port, hang_after(octets)) as between, pytest.raises(SourceUnavailable) as failure:
        read(corp(slapd, urls=(between.url,), page_size=100, read_timeout=0.2))
    assert failure.value.code == "read_timeout"


@pytest.mark.parametrize("octets", [0, 30, 5000, 40_000])
def test_nonsense_is_an_error_at_any_point(slapd: Slapd, octets: int) -> None:
    """Octets that are no LDAP end the read, whenever they come."""
    slapd.add_people(600)
    with Cutter(slapd.port, garble_after(octets)) as between, pytest.raises(SourceUnavailable) as failure:
        read(corp(slapd, urls=(between.url,), page_size=100, read_timeout=2.0))
    assert failure.value.code == "protocol_error"


@pytest.mark.parametrize(
    "nonsense",
    [
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"\x30\x84\xff\xff\xff\xff\x02\x01",
        b"\x30\x80\x02\x01\x03",
        b"\x30\x88" + b"\xff" * 8,
        b"\x30\x03\x02\x01\x03",
        b"\x30\x05\x04\x03abc",
        b"\x30\x0c\x02\x01\x63\x65\x07\x0a\x01\x00\x04\x00\x04\x00",
        b"\x16\x03\x01\x02\x00",
    ],
)
def test_nonsense_instead_of_an_answer_is_named_as_such(nonsense: bytes) -> None:
    """A web server, a TLS record, absurd lengths, answers nobody asked for: all are a protocol error, none a crash."""
    with pytest.raises(SourceUnavailable) as failure:
        _ask(lambda asked, message_id: (nonsense,), read_timeout=1.0)
    assert failure.value.code == "protocol_error"


def test_a_notice_of_disconnection_ends_the_read() -> None:
    """A server that says good-bye (RFC 4511 section 4.4.1) has not said that it was all."""
    notice = liar.message(0, liar.tlv(0x78, liar.result(52, "", "bye") + liar.tlv(0x8A, b"1.3.6.1.4.1.1466.20036")))
    with pytest.raises(SourceUnavailable) as failure:
        _ask(lambda asked, message_id: (_person(message_id, 1), notice))
    assert failure.value.code == "connection_lost"


def test_an_answer_that_trickles_for_ever_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that never falls silent, and never ends either, is given up all the same."""
    monkeypatch.setattr(wire, "PATIENCE", 0)

    def script(asked: int, message_id: int) -> Iterable[bytes]:
        for number in range(10_000):
            yield _person(message_id, number)

    with pytest.raises(SourceUnavailable) as failure:
        _ask(script)
    assert failure.value.code == "read_timeout"


def test_an_entry_too_big_to_read_is_read_again_alone() -> None:
    """Of an entry over the bound only id and state are kept, from a second look; everybody else is read as always."""

    def script(asked: int, message_id: int) -> Iterable[bytes]:
        if asked == 0:
            yield _person(message_id, 1)
            yield liar.entry(message_id, "uid=huge,dc=x", {"entryUUID": ["id-huge"], "mail": ["x" * 1000] * 5000})
            yield _person(message_id, 2)
            yield liar.done(message_id)
        else:
            yield liar.entry(message_id, "uid=huge,dc=x", {"entryUUID": ["id-huge"], "pwdAccountLockedTime": ["000001010000Z"]})
            yield liar.done(message_id, None)

    seen = _ask(script)
    huge = next(person for person in seen.persons if person.external_id == "id-huge")
    assert (huge.bare, huge.enabled, huge.place, huge.emails) == (True, False, "uid=huge,dc=x", ())
    assert {person.username for person in seen.persons} == {"u1", "u2", ""}
    assert seen.proof.complete


def test_an_entry_too_big_on_a_real_server(slapd: Slapd) -> None:
    """Somebody with 150,000 addresses can be disabled like anybody else, and nobody else waits."""
    addresses = "".join(f"mail: a{number}.{'x' * 20}@example.com\n" for number in range(150_000))
    slapd.add_people(5)
    slapd.load(f"dn: uid=huge,{slapd.base}\nobjectClass: inetOrgPerson\nuid: huge\ncn: h\nsn: h\npwdAccountLockedTime: 000001010000Z\n{addresses}\n")
    seen = read(corp(slapd))
    (huge,) = [person for person in seen.persons if person.bare]
    assert (huge.place, huge.enabled, huge.external_id) == (f"uid=huge,{slapd.base}", False, slapd.id_of(f"uid=huge,{slapd.base}"))
    assert (len(seen.persons), seen.proof.complete) == (6, True)


def test_an_entry_too_big_that_hides_its_id_is_refused() -> None:
    """When not even the id of a huge entry can be had, it is named and the read proves nothing."""

    def script(asked: int, message_id: int) -> Iterable[bytes]:
        if asked == 0:
            yield liar.entry(message_id, "uid=huge,dc=x", {"mail": ["x" * 1000] * 5000})
            yield liar.done(message_id)
        else:
            yield liar.done(message_id, None, code=32)

    seen = _ask(script)
    assert [one.place for one in seen.refused] == ["uid=huge,dc=x"]
    assert not seen.proof.complete


def test_an_answer_too_big_that_is_no_entry_is_an_error() -> None:
    """Only entries may be too big; a result of many megabytes is nonsense."""
    with pytest.raises(SourceUnavailable) as failure:
        _ask(lambda asked, message_id: (liar.done(message_id, text="x" * 5_000_000),))
    assert failure.value.code == "protocol_error"


def test_octets_that_are_not_text_do_not_stop_anybody() -> None:
    """A DN, a name and an address that are not UTF-8 are named and left out; the person is read."""

    def script(asked: int, message_id: int) -> Iterable[bytes]:
        listed: dict[str, list[str | bytes]] = {"entryUUID": ["id"], "cn": [b"\xff\xfe"], "mail": [b"\xc3\x28@x.de", "ok@x.de"]}
        yield liar.entry(message_id, "uid=x,dc=x", listed).replace(b"uid=x,dc=x", b"uid=\xff,dc=x")
        yield liar.done(message_id)

    (person,) = _ask(script).persons
    assert (person.place, person.name, [email.spelt for email in person.emails]) == ("uid=\\ff,dc=x", "", ["ok@x.de"])
    assert sorted((one.attribute, one.why) for one in person.dropped) == [("cn", "is not UTF-8"), ("mail", "is not UTF-8")]
