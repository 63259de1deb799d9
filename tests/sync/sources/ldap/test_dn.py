"""DNs as they are compared."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sync.sources import normalise_group
from sync.sources.ldap.dn import MalformedDn, is_under, normalise_dn, parse_dn, same_dn

SAME = [
    ("CN=AI Users,OU=Groups,DC=Example,DC=com", "cn=ai users,ou=groups,dc=example,dc=com"),
    ("cn=a , ou = b ,dc=c", "cn=a,ou=b,dc=c"),
    ("cn=a;ou=b", "cn=a,ou=b"),
    ("cn=two   spaces", "cn=two spaces"),
    (r"cn=Smith\, John,dc=c", r"cn=smith\2C john,dc=c"),
    (r"cn=Smith\, John,dc=c", 'cn="Smith, John",dc=c'),
    (r"cn=J\C3\B6rg", "cn=JÖRG"),
    ("cn=J\u006f\u0308rg", "cn=jörg"),
    ("cn=a+uid=b,dc=c", "UID=B+CN=A,dc=c"),
    ("2.5.4.3=a,0.9.2342.19200300.100.1.25=c", "cn=a,dc=c"),
    ("OID.2.5.4.11=x", "ou=x"),
    ("commonName=a,userid=b", "cn=a,uid=b"),
    (r"cn=\#hash", r"cn=\23hash"),
    (r"cn=\ lead", "cn=lead"),
    ("cn=#040461626364", "cn=abcd"),
    ("cn=a=b", r"cn=a\=b"),
    (r"cn=a\+b\"c\\d\<e\>f\;g", r"cn=a\2bb\22c\5cd\3ce\3ef\3bg"),
    ("cn=\uff21", "cn=a"),
]
DIFFERENT = [
    ("cn=a,dc=c", "cn=b,dc=c"),
    ("cn=a,dc=c", "ou=a,dc=c"),
    ("cn=a+uid=b", "cn=a,uid=b"),
    ("cn=straße", "cn=strasse"),
    ("cn=ab", "cn=a b"),
    (r"cn=a\,b", "cn=a,ou=b"),
    ("cn=a", "cn=a,dc=c"),
    ("cn=#0500", "cn=0500"),
]
MALFORMED = [
    "people",
    "cn",
    "=a",
    "cn=a,",
    ",cn=a",
    "cn=a,,dc=c",
    "cn=a\\",
    'cn="a',
    'cn="a"b',
    "cn=#zz",
    "cn=#040",
    "c n=a",
    "cn=a<b",
    'cn=a"b',
    "-=a",
    "cn=a,dc",
]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_spellings_of_one_dn_compare_equal(one: str, other: str) -> None:
    """Case, spaces, escapes, type names and the order within an RDN do not make another entry."""
    assert normalise_dn(one) == normalise_dn(other)
    assert same_dn(one, other)


@pytest.mark.parametrize(("one", "other"), DIFFERENT)
def test_different_dns_stay_different(one: str, other: str) -> None:
    """What a directory tells apart is told apart."""
    assert normalise_dn(one) != normalise_dn(other)
    assert not same_dn(one, other)


@pytest.mark.parametrize("text", MALFORMED)
def test_what_is_no_dn_is_refused(text: str) -> None:
    """Text that is no DN is an error, and as a group's name compares as it is."""
    with pytest.raises(MalformedDn):
        normalise_dn(text)
    assert normalise_group("ldap", text) == text
    assert not is_under(text, "dc=c")
    assert not is_under("dc=c", text)


def test_standing_under_is_a_matter_of_levels() -> None:
    """Under a base stands itself and what is below it, not what merely ends in the same letters."""
    base = "OU=People,dc=example"
    assert is_under("uid=a,ou=people,DC=Example", base)
    assert is_under(base, base)
    assert is_under("uid=a,ou=x,ou=people,dc=example", base)
    assert is_under("anything=x", "")
    assert not is_under("dc=example", base)
    assert not is_under("ou=old people,dc=example", base)
    assert not is_under(r"uid=a\,ou=people,dc=example", base)


_VALUES = st.text(min_size=1, max_size=20)
_KINDS = st.sampled_from(["cn", "OU", "dc", "uid", "1.2.3", "x-Y"])


def _written(value: str) -> str:
    return "".join(f"\\{octet:02X}" for octet in value.encode("utf-8", "surrogatepass"))


@given(st.lists(st.tuples(_KINDS, _VALUES), min_size=1, max_size=5))
def test_the_compared_form_is_a_dn_that_compares_the_same(pairs: list[tuple[str, str]]) -> None:
    """Normalising twice is normalising once, whatever the values hold."""
    once = normalise_dn(",".join(f"{kind}={_written(value)}" for kind, value in pairs))
    assert normalise_dn(once) == once
    assert len(parse_dn(once)) == len(pairs)


@given(st.text(max_size=60))
def test_any_text_is_a_dn_or_malformed(text: str) -> None:
    """No text makes the parser fail in any other way, and what it takes it takes again."""
    try:
        once = normalise_dn(text)
    except MalformedDn:
        return
    assert normalise_dn(once) == once


@given(st.text(alphabet='cnou=,+;"\\# <>0aF\u00e9', max_size=40))
def test_any_dn_like_text_is_a_dn_or_malformed(text: str) -> None:
    """The same for text made of the characters that mean something in a DN."""
    test_any_text_is_a_dn_or_malformed.hypothesis.inner_test(text)  # type: ignore[attr-defined]


def test_a_dn_without_end_is_read_in_one_go() -> None:
    """Whoever may write a group may write a member of a megabyte; ten times the parts take about ten times as long, not a hundred."""

    def seconds(parts: int) -> float:
        began = time.process_time()
        parse_dn("a=\\2c," * parts + "dc=x")
        return time.process_time() - began

    assert seconds(200_000) < 30 * seconds(20_000) + 1
