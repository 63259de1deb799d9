"""The demo's LDAP server, asked by OpenLDAP's own tools and by ldap3: what it answers is LDAP."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import ldap3
import pytest

from daemon.demo.ber import encode, integer, octets
from daemon.demo.misbehaviour import Misbehaviour
from daemon.demo.responder import Responder
from daemon.demo.tree import Tree

SIZE_LIMIT, NO_SUCH_OBJECT, CREDENTIALS, RIGHTS = 4, 32, 49, 50


def ldapsearch(responder: Responder, *arguments: str, password: str = Responder.usual_password) -> subprocess.CompletedProcess[str]:
    """Ask with OpenLDAP's ldapsearch."""
    command = ["ldapsearch", "-LLL", "-o", "ldif-wrap=no", "-x", "-H", responder.url, "-D", responder.bind_dn, "-w", password]
    return subprocess.run([*command, *arguments], capture_output=True, text=True, timeout=20)


def uids(said: subprocess.CompletedProcess[str]) -> set[str]:
    """Return whom an answer names."""
    return {line[5:] for line in said.stdout.splitlines() if line.startswith("uid: ")}


@contextmanager
def bound(responder: Responder, receive_timeout: float = 10) -> Iterator[ldap3.Connection]:
    """Yield an ldap3 connection that is bound (ldap3's own context leaves an open one open)."""
    server = ldap3.Server("127.0.0.1", responder.port, get_info=ldap3.NONE)
    connection = ldap3.Connection(server, responder.bind_dn, responder.password, auto_bind=True, receive_timeout=receive_timeout, check_names=False)
    try:
        yield connection
    finally:
        connection.unbind()


def test_a_paged_search_by_the_openldap_client_finds_everybody_once(responder: Responder) -> None:
    """Thirty people come back in pages of seven, none twice, and the client is told that it was all."""
    said = ldapsearch(responder, "-E", "pr=7/noprompt", "-b", responder.people, "(objectClass=inetOrgPerson)", "uid")
    assert said.returncode == 0, said.stderr
    assert said.stdout.count("uid: ") == len(uids(said)) == 30


def test_the_root_dse_is_read_without_a_bind(responder: Responder) -> None:
    """Anybody may ask what the server can do; it names the paged results control."""
    said = subprocess.run(["ldapsearch", "-LLL", "-x", "-H", responder.url, "-s", "base", "-b", "", "+", "*"], capture_output=True, text=True)
    assert "supportedControl: 1.2.840.113556.1.4.319" in said.stdout
    assert "namingContexts: dc=example,dc=com" in said.stdout


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("(uid=AIKO.TANABE)", {"aiko.tanabe"}),
        ("(&(c=SE)(uid=*))", {"freya.lindqvist"}),
        ("(|(c=SE)(c=DK))", {"freya.lindqvist", "lars.mikkelsen"}),
        ("(&(objectClass=inetOrgPerson)(!(memberOf=cn=everyone, ou=groups,dc=example,dc=com)))", set()),
        ("(mail=liam.o'brien+oncall@example.com)", {"liam.obrien"}),
        ("(mail=*@sales.example.com)", {"farid.haddad"}),
        ("(mail=jonas*weiß@*)", {"jonas.weiss"}),
        ("(&(uid>=w)(uid<=z))", {"yael.shapira"}),
        ("(pwdAccountLockedTime=000001010000Z)", {"tomas.herrera"}),
        ("(pwdAccountLockedTime=*)", {"tomas.herrera"}),
        ("(!(nobodyKnowsThis=1))", set()),
        ("(cn:caseExactMatch:=x)", set()),
    ],
)
def test_filters_mean_what_the_rfc_says(responder: Responder, asked: str, found: set[str]) -> None:
    """And, or, not, equality, presence, substrings and order; what is undefined matches nobody, negated or not."""
    assert uids(ldapsearch(responder, "-b", responder.people, asked, "uid")) == found


def test_operational_attributes_come_only_when_asked_for(responder: Responder) -> None:
    """entryUUID and memberOf are left out of an ordinary answer, as OpenLDAP does."""
    ordinary = ldapsearch(responder, "-b", responder.people, "(uid=aiko.tanabe)").stdout
    asked = ldapsearch(responder, "-b", responder.people, "(uid=aiko.tanabe)", "entryUUID", "memberOf").stdout
    assert "entryUUID" not in ordinary and "memberOf" not in ordinary and "displayName: Aiko Tanabe" in ordinary
    assert "entryUUID: " in asked and "memberOf: cn=ai-users,ou=groups,dc=example,dc=com" in asked and "displayName" not in asked


@pytest.mark.parametrize("scope,found", [("base", 1), ("one", 30), ("sub", 31)])
def test_scopes(responder: Responder, scope: str, found: int) -> None:
    """A base search sees the entry itself, one level those right below it, subtree all of it."""
    assert ldapsearch(responder, "-s", scope, "-b", responder.people, "(objectClass=*)", "1.1").stdout.count("dn: ") == found


def test_whoever_has_not_bound_or_binds_wrongly_sees_nobody(responder: Responder) -> None:
    """No bind: no rights. A wrong password: invalid credentials. A DN without a password: refused."""
    anonymous = subprocess.run(["ldapsearch", "-x", "-H", responder.url, "-b", responder.people], capture_output=True, text=True)
    assert anonymous.returncode == RIGHTS
    assert ldapsearch(responder, "-b", responder.people, password="wrong").returncode == CREDENTIALS
    assert ldapsearch(responder, "-b", responder.people, password="").returncode != 0


def test_a_base_that_is_not_there_names_its_nearest_ancestor(responder: Responder) -> None:
    """noSuchObject carries matchedDN, which is evidence that the place above can be read."""
    with bound(responder) as connection:
        connection.search("uid=nobody,ou=people,dc=example,dc=com", "(objectClass=*)", ldap3.BASE)
        assert (connection.result["result"], connection.result["dn"]) == (NO_SUCH_OBJECT, responder.people)


def test_people_come_go_and_move_while_it_runs(responder: Responder) -> None:
    """A change of the tree shows in the next answer; a move keeps the id and the groups."""
    tree = responder.tree
    new = tree.add_person("new.joiner", mail=["new@example.com", "joiner@example.com"])
    aiko = "uid=aiko.tanabe,ou=people,dc=example,dc=com"
    before = tree.id_of(aiko)
    moved = tree.move(aiko, "uid=aiko.ito,ou=people,dc=example,dc=com")
    tree.modify(moved, uid="aiko.ito", mail="aiko.ito@example.com")
    tree.delete("uid=bruno.carvalho,ou=people,dc=example,dc=com")
    shown = ldapsearch(responder, "-b", responder.people, "(uid=*)", "uid", "memberOf", "entryUUID")
    assert uids(shown) >= {"new.joiner", "aiko.ito"} and not uids(shown) & {"aiko.tanabe", "bruno.carvalho"}
    assert tree.id_of(moved) == before and "cn=ai-users" in str(tree.entry(moved))
    assert "bruno" not in str(tree.entry(f"cn=ai-users,{responder.groups}"))
    tree.delete(new)
    assert "new.joiner" not in uids(ldapsearch(responder, "-b", responder.people, "(uid=*)", "uid"))


def test_writes_and_starttls_are_declined_politely(responder: Responder) -> None:
    """The demo's directory is read only, and says so instead of hanging up."""
    with bound(responder) as connection:
        assert not connection.delete("uid=aiko.tanabe,ou=people,dc=example,dc=com")
        assert connection.result["description"] == "unwillingToPerform"
        assert connection.search(responder.people, "(uid=aiko.tanabe)")


def test_an_unknown_critical_control_is_refused(responder: Responder) -> None:
    """A control that must be understood and is not: unavailableCriticalExtension."""
    with bound(responder) as connection:
        connection.search(responder.people, "(uid=*)", controls=[("1.2.3.4", True, None)])
        assert connection.result["description"] == "unavailableCriticalExtension"


def walk(responder: Responder, size: int = 10) -> list[tuple[int, int, bytes | None]]:
    """Read at most six pages with ldap3; return (entries, result code, cookie) of each."""
    pages, cookie = [], b""
    with bound(responder) as connection:
        for _ in range(6):
            connection.search(responder.people, "(objectClass=inetOrgPerson)", attributes=["uid", "entryUUID"], paged_size=size, paged_cookie=cookie)
            control = connection.result.get("controls", {}).get("1.2.840.113556.1.4.319")
            cookie = control["value"]["cookie"] if control else None
            pages.append((len(connection.response), connection.result["result"], cookie))
            if not cookie:
                break
    return pages


@pytest.mark.parametrize(
    ("wrong", "shape"),
    [
        ({}, [(10, 0, True), (10, 0, True), (10, 0, False)]),
        ({"drop_paging": True}, [(10, 0, None)]),
        ({"repeat_cookie": True}, [(10, 0, True)] * 6),
        ({"result": 51, "on_page": 2}, [(10, 0, True), (10, 51, True), (10, 0, False)]),
        ({"size_limit": 15}, [(10, 0, True), (5, 4, True), (0, 4, False)]),
        ({"empty": True}, [(0, 0, False)]),
        ({"lie_about_base": True}, [(0, 32, None)]),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_pages_go_wrong_on_command(wrong: dict[str, Any], shape: list[tuple[int, int, bool | None]]) -> None:
    """Each fault of paging looks on the wire as its name says."""
    with Responder(misbehave=Misbehaviour(**wrong)) as responder:
        pages = [(count, code, None if cookie is None else bool(cookie)) for count, code, cookie in walk(responder)]
    assert pages == shape


def shown(responder: Responder, attribute: str) -> list[list[bytes]]:
    """Return an attribute of everybody, in order."""
    with bound(responder) as connection:
        connection.search(responder.people, "(objectClass=inetOrgPerson)", attributes=[attribute])
        return [entry["raw_attributes"].get(attribute, []) for entry in connection.response]


def test_entries_go_wrong_on_command() -> None:
    """Ids go missing or double, attributes vanish, one entry grows to six megabytes."""
    with Responder() as responder:
        responder.misbehave = Misbehaviour(without_id=3)
        assert [bool(ids) for ids in shown(responder, "entryUUID")] == [False] * 3 + [True] * 27
        responder.misbehave = Misbehaviour(duplicate_id=True)
        first, second, *_ = shown(responder, "entryUUID")
        assert first == second
        responder.misbehave = Misbehaviour(hide=frozenset({"MAIL"}))
        assert shown(responder, "mail") == [[]] * 30
        responder.misbehave = Misbehaviour(huge="uid=ada.okafor,ou=people,dc=example,dc=com")
        assert sum(map(len, shown(responder, "mail")[0])) > 5_000_000
        responder.misbehave = Misbehaviour(refuse_bind=CREDENTIALS)
        assert ldapsearch(responder, "-b", responder.people).returncode == CREDENTIALS


def raw_answer(responder: Responder) -> bytes:
    """Search by hand and return every octet until the server closes the connection."""
    bind = encode(0x60, integer(3), octets(responder.bind_dn), octets(responder.password, 0x80))
    limits = encode(0x0A, b"\2") + encode(0x0A, b"\0") + integer(0) + integer(0) + encode(0x01, b"\0")
    search = encode(0x63, octets(responder.people), limits, octets("uid", 0x87), encode(0x30))
    with socket.create_connection(("127.0.0.1", responder.port), 10) as line:
        line.sendall(encode(0x30, integer(1), bind) + encode(0x30, integer(2), search))
        received = b""
        while chunk := line.recv(65536):
            received += chunk
        return received


def test_the_wire_goes_wrong_on_command() -> None:
    """A connection that closes in the middle of an entry, bytes of another protocol, lengths that do not add up."""
    with Responder(misbehave=Misbehaviour(close_after=2)) as responder:
        received = raw_answer(responder)
        assert received.count(b"uid=") == 3
        responder.misbehave = Misbehaviour(garbage_after=0)
        assert raw_answer(responder).endswith(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        responder.misbehave = Misbehaviour(wrong_length_after=1)
        assert raw_answer(responder).endswith(b"\x04\x7fcn=far,dc=away")


def test_a_hang_sends_what_it_has_and_then_nothing() -> None:
    """Entries before the hang arrive; the connection stays open and silent, and still the responder can stop."""
    with (
        Responder(misbehave=Misbehaviour(hang_after=2)) as responder,
        bound(responder, receive_timeout=1) as connection,
        pytest.raises(ldap3.core.exceptions.LDAPSocketReceiveError),
    ):
        connection.search(responder.people, "(uid=*)")


def test_octets_can_drip() -> None:
    """A slow server is still a correct one."""
    with Responder(misbehave=Misbehaviour(drip=0.0001)) as responder:
        assert ldapsearch(responder, "-b", responder.people, "(uid=aiko.tanabe)", "uid").stdout.count("uid: ") == 1


def test_nonsense_from_a_client_ends_only_that_conversation(responder: Responder) -> None:
    """Bytes that are no LDAP are hung up on; others are served."""
    for nonsense in (b"GET / HTTP/1.0\r\n\r\n", b"\x30\x84\xff\xff\xff\xff", b"\x30\x05\x02\x01\x01\x63\x00", b"\x30\x03\x02\x01\x01", b"\x30\x80"):
        with socket.create_connection(("127.0.0.1", responder.port), 10) as line:
            line.sendall(nonsense)
            assert line.recv(100) == b""
    assert uids(ldapsearch(responder, "-b", responder.people, "(uid=aiko.tanabe)", "uid")) == {"aiko.tanabe"}


def test_it_counts_what_it_was_asked() -> None:
    """Tests can tell how often somebody tried to bind."""
    with Responder(lambda tree: None) as responder:
        ldapsearch(responder, "-b", responder.people, password="wrong")
        ldapsearch(responder, "-b", responder.people)
        assert (responder.binds, responder.searches) == (2, 1)


def test_a_stopped_responder_leaves_neither_port_nor_thread() -> None:
    """After the context the port is free, even if a client still hangs on."""
    with Responder(people_of_one) as responder:
        client = socket.create_connection(("127.0.0.1", responder.port), 10)
        port = responder.port
    client.close()
    with socket.create_server(("127.0.0.1", port)):
        pass


def people_of_one(tree: Tree) -> None:
    """Fill a tree with one person."""
    tree.add_person("only.one")
