"""Mutated messages: our decoder agrees with a slow one that goes by the book, and the fuzzer notices when it does not. `make fuzz` runs millions."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ldap3.protocol.rfc4511 import LDAPMessage
from pyasn1.codec.ber.decoder import decode

from sync.sources.ldap import ber, wire
from sync.sources.ldap.skim import skim
from tests.fuzz import mutate, reference
from tests.fuzz.__main__ import BATCH, run_batch
from tests.fuzz.target import NUMBER, Disagreement, Fuzzer
from tests.servers import liar


@pytest.mark.parametrize("seed", range(20))
def test_twenty_thousand_mutated_messages_are_read_alike_or_refused_alike(seed: int) -> None:
    """Nothing but Garbled and CursorLost is raised, nothing hangs, and what is accepted is what the octets say."""
    accepted, _ = run_batch(seed)
    assert 0.1 * BATCH < accepted < 0.9 * BATCH, "some of the messages must still be good, and some must not"


def test_the_reference_reads_good_messages_as_asn1_does() -> None:
    """A full ASN.1 decoder with the module of RFC 4511 finds the same DN, attributes and results."""
    random = Random(1)
    for _ in range(200):
        read, rest = reference.message(raw := mutate.an_entry(random, NUMBER))
        message, _ = decode(raw, asn1Spec=LDAPMessage())
        theirs = message["protocolOp"]["searchResEntry"]
        pairs = [(bytes(one["type"]), [bytes(value) for value in one["vals"]]) for one in theirs["attributes"]]
        mine = reference.entry(read.body)
        assert (mine.dn.encode(), rest) == (bytes(theirs["object"]), b"")
        assert sorted(value for values in mine.attributes.values() for value in values) == sorted(value for _, values in pairs for value in values)
        done, _ = reference.message(raw := mutate.a_done(random, NUMBER))
        result = decode(raw, asn1Spec=LDAPMessage())[0]["protocolOp"]["searchResDone"]
        assert (reference.done(done).code, reference.done(done).text.encode()) == (int(result["resultCode"]), bytes(result["diagnosticMessage"]))


_TAGS = st.sampled_from([0x30, 0x04, 0x31, 0x00, 0xFF])


_ATTRIBUTES = st.builds(
    lambda kind, values: liar.tlv(0x30, liar.tlv(0x04, kind) + liar.tlv(0x31, b"".join(liar.tlv(0x04, value) for value in values))),
    st.binary(max_size=20),
    st.lists(st.binary(max_size=60), max_size=4),
)


@given(st.binary(max_size=150) | _ATTRIBUTES, st.integers(0, 5), st.data())
def test_the_quick_way_through_an_attribute_is_the_plain_one(raw: bytes, before: int, data: st.DataObject) -> None:
    """Whatever stands there, and wherever what holds it ends, both return the same or refuse."""
    changed = bytearray(b"\x30" * before + raw + data.draw(st.binary(max_size=5)))
    if changed and data.draw(st.booleans()):
        changed[data.draw(st.integers(0, len(changed) - 1))] = data.draw(_TAGS | st.integers(0, 255))
    end = data.draw(st.integers(0, len(changed)))
    outcomes = []
    for way in (ber.read_attribute, ber.read_attribute_plainly):
        try:
            outcomes.append(way(bytes(changed), before, end))
        except ber.Garbled:
            outcomes.append(None)
    assert outcomes[0] == outcomes[1]


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("read_attribute", lambda data, at, end: (b"mail", [b"eve@example.com"], end)),
        ("message_length", lambda data, at: len(data) - at),
        ("read_done", lambda data, at, end, stop: ber.Done(0, "", "", b"")),
        ("skim", lambda data, at, opening, most, *ways: skim(data, at, opening, most + 400, *ways)),
        ("skim", lambda data, at, opening, most, ask, take: skim(data, at, opening, most, lambda octets: ask(octets[1:]), take)),
        ("skim", lambda data, at, opening, most, ask, take: skim(data, at, opening, most, ask, lambda *where: (take(*where), take(*where)))),
    ],
)
def test_a_decoder_that_is_wrong_is_noticed(name: str, wrong: object, monkeypatch: pytest.MonkeyPatch) -> None:
    """The fuzzer can fail: a decoder that makes something up disagrees with the reference within a thousand messages."""
    monkeypatch.setattr(wire if name == "skim" else ber, name, wrong)
    with pytest.raises(Disagreement):
        Fuzzer(1).run(BATCH)
