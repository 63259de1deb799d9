"""Remembering millions of ids."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sync.sources.idset import IdSet


@given(st.lists(st.text(max_size=8)))
def test_an_id_is_new_exactly_once(ids: list[str]) -> None:
    """The set says the same as a set of texts would."""
    known, met = set[str](), IdSet()
    for one in ids:
        assert met.add(one) == (one not in known)
        known.add(one)


def test_it_grows_and_forgets_nothing() -> None:
    """Twenty thousand ids are all remembered."""
    met = IdSet()
    assert all(met.add(f"id-{number}") for number in range(20_000))
    assert not any(met.add(f"id-{number}") for number in range(20_000))
