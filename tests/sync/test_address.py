"""Addresses: what counts as one, and when two are the same."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sync.address import MalformedAddress, normalise, normalise_plainly


@pytest.mark.parametrize(
    ("spelt", "matched"),
    [
        ("O'Brien+x@Example.COM", "o'brien+x@example.com"),
        ("a/b@example.com", "a/b@example.com"),
        ("JÖRG@Bücher.example", "jörg@xn--bcher-kva.example"),
        ("jo\u0308rg@bu\u0308cher.example", "jörg@xn--bcher-kva.example"),
        ("bob@corp.local", "bob@corp.local"),
        ("bob@localhost", "bob@localhost"),
        ("x@my_host.corp.local", "x@my_host.corp.local"),
        ("x@_dmarc.example", "x@_dmarc.example"),
        ("first.last+tag@sub.example.com", "first.last+tag@sub.example.com"),
        ("straße@example.com", "straße@example.com"),
        ("ΑΣ@example.com", "ας@example.com"),
    ],
)
def test_an_address_has_one_compared_form(spelt: str, matched: str) -> None:
    """However an address is spelt, one form is compared, and it is its own form."""
    assert normalise(spelt) == matched
    assert normalise(matched) == matched


@pytest.mark.parametrize(
    "text",
    ["", "bob", "@example.com", "bob@", "a b@example.com", "a\tb@example.com", "bob@exam ple.com", "bob\u202e@example.com", "bob\u00a0@example.com",
     "bob@example.com\n", '"bob"@example.com', "bob@[127.0.0.1]", ".bob@example.com", "bob.@example.com", "b..b@example.com", "a@b@example.com",
     "bob@-x.example", "bob@x..example", "bob@ex\u200dample.com", "bob\x00@example.com", "x" * 243 + "@example.com", "\ud800@example.com"],
)  # fmt: skip
def test_what_is_no_address_is_refused_without_being_repeated(text: str) -> None:
    """Whatever the contract calls no address is refused, and the reason does not echo it."""
    with pytest.raises(MalformedAddress) as refusal:
        normalise(text)
    assert not text or text not in str(refusal.value)


def test_sharp_s_and_double_s_are_two_mailboxes() -> None:
    """Lower case, not casefold: nobody reads somebody else's key because of a German letter."""
    assert normalise("straße@example.com") != normalise("strasse@example.com")


def test_tags_and_dots_are_kept_apart() -> None:
    """No provider's private rules are guessed: a plus tag and a dot make another address."""
    assert len({normalise(a) for a in ("bob.x@e.com", "bobx@e.com", "bobx+1@e.com")}) == 3


@given(st.text(max_size=40), st.text(max_size=40))
def test_normalising_is_idempotent_or_refuses(local: str, domain: str) -> None:
    """For any text: refused, or a form that normalises to itself."""
    try:
        once = normalise(f"{local}@{domain}")
    except MalformedAddress:
        return
    assert normalise(once) == once


@given(
    st.from_regex(r"[a-zA-Z0-9_.@-]{1,20}@?[a-zA-Z0-9.-]{0,20}\n?", fullmatch=True)
    | st.text(max_size=30)
    | st.integers(230, 260).map(lambda size: "x" * size + "@a.example")
)
def test_the_shorter_way_is_the_plain_one(text: str) -> None:
    """Addresses that are returned as they are would have been the same after all the work."""
    outcomes = []
    for way in (normalise, normalise_plainly):
        try:
            outcomes.append(way(text))
        except MalformedAddress as refusal:
            outcomes.append(f"refused: {refusal}")
    assert outcomes[0] == outcomes[1]
