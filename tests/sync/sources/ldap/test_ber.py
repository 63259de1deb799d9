"""Decoding what comes off the wire."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sync.sources.ldap import ber
from sync.sources.ldap.ber import Garbled
from tests.servers import liar

_NAMES = st.sampled_from(["mail", "uid", "entryUUID", "description"])


def _decode(raw: bytes) -> ber.Entry | ber.Done | None:
    assert ber.message_length(raw, 0) == len(raw)
    _, tag, at, end = ber.open_message(raw, 0, len(raw))
    if tag == ber.ENTRY:
        return ber.EntryReader().read(raw, at, end)
    return ber.read_done(raw, at, end, len(raw)) if tag == ber.DONE else None


@given(st.text(max_size=300), st.dictionaries(_NAMES, st.lists(st.binary(max_size=400), max_size=5)), st.integers(0, 2**31 - 1))
def test_an_entry_is_read_back_as_it_was_written(dn: str, attributes: dict[str, list[bytes]], number: int) -> None:
    """Lengths of every size, empty values, any octets: an entry comes back as it was sent."""
    dn = dn.encode("utf-8", "replace").decode()
    raw = liar.entry(number, dn, attributes)
    assert ber.open_message(raw, 0, len(raw))[0] == number
    assert _decode(raw) == ber.Entry(dn, {name.lower(): values for name, values in attributes.items()})


def test_values_with_an_option_stand_behind_the_plain_ones() -> None:
    """mail;lang-en is mail too, but after it, wherever it came in the message."""
    entry = _decode(liar.entry(1, "uid=x", {"mail;lang-en": ["b"], "MAIL": ["a"], "mail;x-old": ["c"]}))
    assert isinstance(entry, ber.Entry)
    assert entry.attributes == {"mail": [b"a", b"b", b"c"]}


def test_an_attribute_that_came_in_part_marks_the_entry() -> None:
    """member;range=0-1499 says that there is more; range=0-* that this was all."""
    part = _decode(liar.entry(1, "cn=x", {"member;range=0-1499": ["a"]}))
    whole = _decode(liar.entry(1, "cn=x", {"member;range=0-*": ["a"]}))
    assert isinstance(part, ber.Entry)
    assert isinstance(whole, ber.Entry)
    assert (part.cut, whole.cut) == (True, False)
    assert part.attributes == whole.attributes == {"member": [b"a"]}


@pytest.mark.parametrize("code", [b"", b"\x01" * 3000])
def test_a_result_without_a_code_is_no_success(code: bytes) -> None:
    """No octet at all would read as 0; a number without end could not even be told."""
    with pytest.raises(Garbled):
        _decode(liar.message(1, liar.tlv(0x65, liar.tlv(0x0A, code) + liar.tlv(0x04, b"") + liar.tlv(0x04, b""))))


@given(st.none() | st.binary(max_size=200), st.integers(0, 70_000), st.text(max_size=40))
def test_a_result_is_read_back_with_its_cookie(cookie: bytes | None, code: int, said: str) -> None:
    """Code, matched DN, text and cookie come back; no control is not an empty cookie."""
    said = said.encode("utf-8", "replace").decode()
    assert _decode(liar.done(7, cookie, code, "dc=x", said)) == ber.Done(code, "dc=x", said, cookie)


def test_the_cookie_is_found_among_other_controls() -> None:
    """Other controls before it, and a criticality, do not hide the paged results control."""
    value = liar.tlv(0x04, liar.tlv(0x30, liar.number(0) + liar.tlv(0x04, b"cookie")))
    other = liar.tlv(0x30, liar.tlv(0x04, b"1.2.3"))
    paged = liar.tlv(0x30, liar.tlv(0x04, liar.PAGED) + b"\x01\x01\xff" + value)
    result = _decode(liar.message(1, liar.tlv(0x65, liar.result(0)), other + paged))
    assert isinstance(result, ber.Done)
    assert result.cookie == b"cookie"


@given(st.binary(max_size=200))
def test_random_octets_are_garbled_or_read(raw: bytes) -> None:
    """Octets from anywhere raise Garbled and nothing else."""
    _read_anything(raw)


@given(st.data())
def test_a_message_with_a_wrong_octet_is_garbled_or_read(data: st.DataObject) -> None:
    """One changed or missing octet in a good message raises Garbled and nothing else."""
    entry = liar.entry(3, "uid=x,dc=y", {"mail": ["a@b", "c" * 200], "uid": ["x"], "cn": []})
    raw = bytearray(data.draw(st.sampled_from([entry, liar.done(3, b"cookie", 4, "dc=y", "text")])))
    raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    _read_anything(bytes(raw))
    _read_anything(bytes(raw[: data.draw(st.integers(0, len(raw)))]))


def _read_anything(raw: bytes) -> None:
    with contextlib.suppress(Garbled):
        ber.message_length(raw, 0)
        ber.open_message(raw, 0, len(raw))
    with contextlib.suppress(Garbled):
        ber.EntryReader().read(raw, 0, len(raw))
    with contextlib.suppress(Garbled):
        ber.read_done(raw, 0, len(raw) // 2, len(raw))


@pytest.mark.parametrize("have", [b"", b"0", b"0\x82", b"0\x82\x01"])
def test_a_length_that_is_not_all_there_is_waited_for(have: bytes) -> None:
    """Too few octets to tell are no error."""
    assert ber.message_length(have, 0) == 0
