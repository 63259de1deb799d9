"""The plan: merging what is known with what was seen, and comparing one user with one person."""

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from sync.directory import Listed, Person
from sync.plan import compare, fingerprint, merge
from sync.user import Kept, Known, Seen, UserPlan

NOW = 1_000_000


def person(**facts: object) -> Person:
    given_facts = {"external_id": "e1", "place": "uid=ann", "username": "ann", "name": "Ann", "emails": (), "groups": (), "enabled": True}
    return Person(**{**given_facts, **facts})  # type: ignore[arg-type]


def listed(*addresses: str) -> tuple[Listed, ...]:
    return tuple(Listed(a, a.lower()) for a in addresses)


def kept_of(plan: UserPlan, *, held: bool = True) -> Kept:
    """Return the user as the store keeps it once the plan was carried out."""
    claims = tuple(msgspec.structs.replace(claim, held=held) for claim in plan.claims)
    return Kept(plan.user_id, plan.external_id, plan.place, plan.username, plan.name, "", plan.state, plan.expires_at, claims, plan.groups)


def test_equal_people_are_unchanged_and_never_compared_in_full() -> None:
    """A directory in which nothing happened yields nothing but `unchanged`."""
    print_ = fingerprint(person())
    assert list(merge([Known("e1", "u1", print_, "active", False)], [Seen("e1", print_)])) == [
        ("unchanged", Known("e1", "u1", print_, "active", False), Seen("e1", print_))
    ]


@given(st.dictionaries(st.text(max_size=3), st.booleans()), st.dictionaries(st.text(max_size=3), st.booleans()))
def test_the_merge_agrees_with_set_arithmetic(ours: dict[str, bool], theirs: dict[str, bool]) -> None:
    """For any two sides, each id gets exactly the verdict that sets would give it."""
    known = [Known(i, "u" + i, b"%d" % flag, "active", False) for i, flag in sorted(ours.items())]
    seen = [Seen(i, b"%d" % flag) for i, flag in sorted(theirs.items())]
    got = {(user or person).external_id: verdict for verdict, user, person in merge(known, seen)}  # type: ignore[union-attr]
    both = ours.keys() & theirs.keys()
    assert got == (
        dict.fromkeys(theirs.keys() - ours.keys(), "added")
        | dict.fromkeys(ours.keys() - theirs.keys(), "absent")
        | {i: "unchanged" if ours[i] == theirs[i] else "changed" for i in both}
    )


def test_somebody_back_is_compared_again_even_with_the_same_print() -> None:
    """A missing, removed or unproven user who is seen again is looked at, whatever the fingerprint; a removed one absent is not."""
    print_ = fingerprint(person())
    for state, unproven in (("missing", False), ("removed", False), ("active", True)):
        assert next(merge([Known("e1", "u1", print_, state, unproven)], [Seen("e1", print_)]))[0] == "changed"
    assert not list(merge([Known("e1", "u1", print_, "removed", False)], []))


def test_a_rename_a_move_and_a_new_address_in_one_edit_stay_one_user() -> None:
    """The id decides who it is: everything else about the entry may change at once."""
    before = kept_of(compare(None, person(emails=listed("ann@x.com")), user_id="u1", now=NOW))
    plan = compare(before, person(place="uid=eve,ou=new", username="eve", emails=listed("eve@x.com")), user_id="u1", now=NOW + 1)
    assert plan.user_id == "u1"
    assert plan.kinds == ("changed",)
    assert plan.after["emails"] == ["eve@x.com"]
    assert not plan.loses_last_address


def test_a_dropped_address_stays_held_in_quarantine_and_an_unheld_one_goes() -> None:
    """What the entry no longer lists is remembered, dropped, only while the user holds it."""
    first = compare(None, person(emails=listed("a@x.com", "b@x.com")), user_id="u1", now=NOW)
    holding = compare(kept_of(first), person(emails=listed("a@x.com")), user_id="u1", now=NOW + 5)
    assert [(c.matched, c.dropped_at) for c in holding.claims] == [("a@x.com", None), ("b@x.com", NOW + 5)]
    not_holding = compare(kept_of(first, held=False), person(emails=listed("a@x.com")), user_id="u1", now=NOW + 5)
    assert [c.matched for c in not_holding.claims] == ["a@x.com"]


def test_the_primary_stays_until_it_is_unlisted_or_another_is_marked() -> None:
    """A reordered attribute changes no primary; the directory's own mark does."""
    kept = kept_of(compare(None, person(emails=listed("a@x.com", "b@x.com")), user_id="u1", now=NOW))

    def primary(emails: tuple[Listed, ...]) -> list[str]:
        return [c.matched for c in compare(kept, person(emails=emails), user_id="u1", now=NOW).claims if c.is_primary]

    assert primary(listed("b@x.com", "a@x.com")) == ["a@x.com"]
    assert primary(listed("b@x.com", "c@x.com")) == ["b@x.com"]
    assert primary((Listed("a@x.com", "a@x.com"), Listed("b@x.com", "b@x.com", True))) == ["b@x.com"]


def test_losing_the_last_address_is_weighed_and_withheld_without_withholding_the_rest() -> None:
    """A name change goes through while the loss of every address waits for a human."""
    kept = kept_of(compare(None, person(emails=listed("a@x.com")), user_id="u1", now=NOW))
    assert compare(kept, person(), user_id="u1", now=NOW).loses_last_address
    withheld = compare(kept, person(name="New"), user_id="u1", now=NOW, withheld=frozenset({"last_address"}))
    assert withheld.name == "New"
    assert [c.dropped_at for c in withheld.claims] == [None]


def test_a_bare_entry_still_disables_and_keeps_everything_else() -> None:
    """An entry too big to read gives id and state only; addresses, groups and name stay as they were."""
    kept = kept_of(compare(None, person(emails=listed("a@x.com"), groups=("g",)), user_id="u1", now=NOW))
    plan = compare(kept, Person("e1", "uid=ann", "", "", (), (), False, bare=True), user_id="u1", now=NOW)
    assert (plan.state, plan.name, plan.groups, [c.matched for c in plan.claims]) == ("disabled", "Ann", frozenset({"g"}), ["a@x.com"])
    assert plan.kinds == ("disabled",)


def test_being_disabled_is_stated_and_can_be_withheld() -> None:
    """The guard sees what the directory states outright, and a withheld one stays active."""
    kept = kept_of(compare(None, person(), user_id="u1", now=NOW))
    assert compare(kept, person(enabled=False), user_id="u1", now=NOW).stated_disable
    assert compare(kept, person(expires_at=NOW - 1), user_id="u1", now=NOW).stated_disable
    held = compare(kept, person(enabled=False), user_id="u1", now=NOW, withheld=frozenset({"disabled"}))
    assert (held.state, held.kinds) == ("active", ())
