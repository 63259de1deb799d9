"""Connecting: TLS that is verified, passwords, failover, and servers that do not answer."""

from __future__ import annotations

import os
import socket
import ssl
from collections.abc import Callable
from pathlib import Path

import pytest

from sync.errors import ConfigError, SourceError, SourceRefused, SourceUnavailable
from sync.settings import Secret, SourceSettings
from sync.sources import open_source
from sync.sources.ldap.connection import tls_context
from tests.servers.cutter import Cutter, close_after
from tests.servers.liar import Liar
from tests.servers.ports import free_port
from tests.servers.slapd import Slapd
from tests.sync.sources.ldap.corp import corp, read


def test_ldaps_and_starttls_are_verified_against_ca_file(slapd: Slapd) -> None:
    """Both kinds of TLS read the directory when the authority and the host name fit."""
    slapd.add_people(3)
    starttls = f"ldap://localhost:{slapd.port}"
    for url, tls in ((slapd.ldaps_url, "ldaps"), (starttls, "starttls"), (f"ldaps://127.0.0.1:{slapd.tls_port}", "ldaps")):
        assert len(read(corp(slapd, urls=(url,), tls=tls, ca_file=slapd.ca_file, allow_plaintext=False)).persons) == 3


@pytest.mark.parametrize("tls", ["ldaps", "starttls"])
def test_a_certificate_of_an_unknown_authority_is_not_accepted(slapd: Slapd, tls: str) -> None:
    """Without ca_file a self-signed certificate is refused, and no password is sent."""
    url = slapd.ldaps_url if tls == "ldaps" else slapd.url
    with pytest.raises(SourceUnavailable) as failure:
        read(corp(slapd, urls=(url,), tls=tls))
    assert failure.value.code == "tls_not_verified"
    assert "ca_file" in failure.value.remedy


def test_a_certificate_for_another_host_is_not_accepted(slapd: Slapd) -> None:
    """The host name in the URL must be one that the certificate names."""
    with pytest.raises(SourceUnavailable) as failure:
        read(corp(slapd, urls=(f"ldaps://127.0.0.2:{slapd.tls_port}",), tls="ldaps", ca_file=slapd.ca_file))
    assert failure.value.code in ("tls_not_verified", "unreachable")
    with pytest.raises(SourceUnavailable) as failure:
        read(corp(slapd, urls=(f"ldap://127.1:{slapd.port}",), tls="starttls", ca_file=slapd.ca_file))
    assert failure.value.code == "tls_not_verified"


def test_data_slipped_in_before_the_handshake_is_not_taken_for_an_answer(slapd: Slapd) -> None:
    """Whoever injects an answer behind the one to StartTLS gets a broken connection, not a listener."""
    injected = b"\x30\x0c\x02\x01\x02\x61\x07\x0a\x01\x00\x04\x00\x04\x00"
    with (
        Cutter(slapd.port, lambda sent, chunk: (chunk + injected if sent == 0 else chunk, True)) as between,
        pytest.raises(SourceUnavailable) as failure,
    ):
        read(corp(slapd, urls=(between.url,), tls="starttls", ca_file=slapd.ca_file))
    assert failure.value.code == "tls_failed"


def test_tls_on_a_port_without_it_fails_and_says_so(slapd: Slapd) -> None:
    """ldaps:// to a port that speaks in the clear is a failed handshake with a hint."""
    with pytest.raises(SourceUnavailable) as failure:
        read(corp(slapd, urls=(f"ldaps://localhost:{slapd.port}",), tls="ldaps", ca_file=slapd.ca_file, connect_timeout=2.0))
    assert failure.value.code in ("tls_failed", "unreachable", "connect_timeout")


def test_tls_files_that_cannot_be_used_are_named(slapd: Slapd, tmp_path: Path) -> None:
    """A ca_file that is not there, or holds no certificate, is the operator's to mend."""
    rubbish = tmp_path / "rubbish.pem"
    rubbish.write_text("rubbish")
    for path in (tmp_path / "nowhere.pem", rubbish):
        with pytest.raises(SourceRefused) as failure:
            read(corp(slapd, urls=(slapd.ldaps_url,), tls="ldaps", ca_file=path))
        assert failure.value.code == "tls_files"
        assert str(path) in failure.value.message


def test_a_wrong_password_is_refused_once_and_by_no_second_server(make_slapd: Callable[[], Slapd]) -> None:
    """Result 49 is not failed over: one wrong bind is one wrong bind, and the password is in no message."""
    with Liar(lambda number, message_id: ()) as second:
        slapd = make_slapd()
        with pytest.raises(SourceRefused) as failure:
            read(corp(slapd, urls=(slapd.url, second.url), password=Secret("hunter2")))
        assert failure.value.code == "invalid_credentials"
        assert slapd.bind_dn in failure.value.message
        assert "hunter2" not in f"{failure.value} {failure.value!r}"
        assert second.binds == 0


def test_results_of_a_bind_keep_their_names() -> None:
    """Whatever else a directory says to a bind is repeated with its code and its text."""
    for code, expected in ((8, "stronger_auth_required"), (13, "stronger_auth_required"), (48, "stronger_auth_required"), (53, "directory_refused")):
        with Liar(lambda number, message_id: (), bind_code=code, bind_text="because I say so") as liar, pytest.raises(SourceRefused) as failure:
            read(_settings(liar.url))
        assert failure.value.code == expected
        assert f"({code})" in failure.value.message
        assert "because I say so" in failure.value.message


def test_a_busy_server_is_left_for_the_next(slapd: Slapd) -> None:
    """Busy and unavailable are reasons to ask another server."""
    slapd.add_people(3)
    for code in (51, 52):
        with Liar(lambda number, message_id: (), bind_code=code) as busy:
            assert len(read(corp(slapd, urls=(busy.url, slapd.url))).persons) == 3


def test_the_first_server_that_answers_is_used(make_slapd: Callable[[], Slapd]) -> None:
    """A server that is down, or breaks off before the first page, is passed over for the next in order."""
    slapd = make_slapd()
    slapd.add_people(600)
    dead = f"ldap://127.0.0.1:{free_port()}"
    with Cutter(slapd.port, close_after(200)) as broken:
        seen = read(corp(slapd, urls=(dead, broken.url, slapd.url)))
        assert broken.connections == 1
    assert (len(seen.persons), seen.server, seen.proof.server) == (600, slapd.url, slapd.url)


def test_two_servers_are_never_mixed_in_one_read(slapd: Slapd) -> None:
    """Once a page has been read, a broken connection is an error, though another server stands ready."""
    slapd.add_people(600)
    with Cutter(slapd.port, close_after(60_000)) as broken, pytest.raises(SourceUnavailable) as failure:
        read(corp(slapd, urls=(broken.url, slapd.url), page_size=100))
    assert failure.value.code == "connection_lost"
    assert "entries had been read" in failure.value.message


def test_when_no_server_answers_all_are_named() -> None:
    """The error of a directory that is down names every server and what was wrong with it."""
    urls = tuple(f"ldap://127.0.0.1:{free_port()}" for _ in range(3))
    with pytest.raises(SourceUnavailable) as failure:
        read(_settings(*urls))
    assert failure.value.code == "unreachable"
    assert all(url in failure.value.message for url in urls)


def test_hosts_that_do_not_exist_and_urls_that_are_none_are_errors() -> None:
    """A host name without an address, an impossible port, a URL without a host: one sentence each."""
    for url in ("ldap://nowhere.invalid", "ldap://127.0.0.1:99999", "ldap://", "ldap://[::1", f"ldap://{'a' * 70}.example", "ldap://\x00/"):
        with pytest.raises(SourceError) as failure:
            read(_settings(url))
        assert failure.value.code in ("unknown_host", "bad_url"), url


def test_a_password_in_a_url_is_refused_and_not_repeated() -> None:
    """Secrets do not belong in URLs; the error shows neither name nor password."""
    with pytest.raises(SourceRefused) as failure:
        read(_settings("ldap://cn=sync:hunter2@127.0.0.1"))
    assert failure.value.code == "bad_url"
    assert "hunter2" not in str(failure.value)
    assert "cn=sync" not in str(failure.value)


def test_passwords_are_sent_as_they_are(slapd: Slapd) -> None:
    """Letters that some libraries would fold into others reach the directory unchanged."""
    slapd.add_people(3)
    for password in ("pässwörd", "ª№", "with space ", "\u00ad", "a\x07b", "パス"):
        slapd.modify(slapd.bind_dn, userPassword=password.encode())
        assert len(read(corp(slapd, password=Secret(password))).persons) == 3, password


def test_a_server_that_accepts_and_says_nothing_is_given_up(slapd: Slapd) -> None:
    """read_timeout ends the wait for a bind that is never answered."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"ldap://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(SourceUnavailable) as failure:
            read(_settings(url, read_timeout=0.2))
    assert failure.value.code == "read_timeout"
    slapd.pause()
    with pytest.raises(SourceUnavailable):
        read(corp(slapd, read_timeout=0.2))


def test_a_handshake_that_never_ends_is_given_up() -> None:
    """connect_timeout holds for the TLS handshake too."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        settings = _settings(f"ldaps://127.0.0.1:{silent.getsockname()[1]}", tls="ldaps", connect_timeout=0.2)
        with pytest.raises(SourceUnavailable) as failure:
            read(settings)
    assert failure.value.code == "connect_timeout"


def test_an_anonymous_bind_reads_what_anybody_may(slapd: Slapd) -> None:
    """Without bind_dn the directory is read as nobody in particular."""
    slapd.add_people(3)
    settings = corp(slapd, bind_dn="", password=None, allow_plaintext=False)
    with pytest.raises(SourceRefused):
        read(settings)
    slapd.set_acl("to * by * read")
    assert len(read(settings).persons) == 3


def test_what_cannot_work_is_a_mistake_of_the_configuration(slapd: Slapd) -> None:
    """A password in the clear, kinds and vendors of later, a bind without a password: all are named before anything is sent."""
    wrong = corp(slapd, allow_plaintext=False, vendor="novell", sasl="external", bases=(), urls=("ldaps://x",))
    with pytest.raises(ConfigError) as failure:
        open_source(wrong)
    assert len(failure.value.problems) == 5
    with pytest.raises(ConfigError):
        open_source(corp(slapd, password=None))
    with pytest.raises(ConfigError):
        open_source(corp(slapd, kind="scim-push"))


def test_a_connection_left_alone_for_long_is_replaced(slapd: Slapd, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between two questions that are far apart no connection is trusted: a server that restarted is asked anew."""
    slapd.add_people(3)
    with open_source(corp(slapd)).open() as reading:
        assert reading.find("u000001@example.com").persons
        slapd.restart()
        monkeypatch.setattr("sync.sources.ldap.servers.IDLE", -1.0)
        assert reading.find("u000001@example.com").persons


def test_every_connection_is_closed(slapd: Slapd) -> None:
    """Neither a finished nor an abandoned nor a failed read leaves a connection behind."""
    slapd.add_people(5)
    settings = corp(slapd, page_size=2)
    read(settings)
    with open_source(settings).open() as reading:
        next(reading.full())
        assert slapd.connections_of(os.getpid()) == 1
    with pytest.raises(SourceRefused):
        read(corp(slapd, bases=("ou=no,dc=example,dc=com",)))
    with pytest.raises(SourceRefused):
        read(corp(slapd, password=Secret("wrong")))
    assert slapd.connections_of(os.getpid()) == 0


def test_the_least_tls_is_1_2(slapd: Slapd) -> None:
    """Older versions of TLS are not spoken."""
    context = tls_context(corp(slapd))
    assert context.minimum_version >= ssl.TLSVersion.TLSv1_2
    assert context.check_hostname
    assert context.verify_mode == ssl.CERT_REQUIRED


def _settings(*urls: str, **changes: object) -> SourceSettings:
    plain: dict[str, object] = {"tls": "plain", "allow_plaintext": True, "bind_dn": "cn=sync", "password": Secret("secret"), "bases": ("dc=example",)}
    return SourceSettings("corp", "ldap", 0, urls, **(plain | changes))  # type: ignore[arg-type]
