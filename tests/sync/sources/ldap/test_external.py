"""Binding by a client certificate (SASL EXTERNAL, RFC 4422 appendix A), against a real slapd."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from typing import Any

import pytest

from sync.errors import SourceRefused
from sync.settings import SourceSettings
from sync.sources.ldap.probe import probe
from tests.servers.slapd import Slapd
from tests.sync.sources.ldap.corp import corp, read


@pytest.fixture
def server(make_slapd: Callable[[], Slapd]) -> Slapd:
    """A server that takes client certificates which its own authority has signed, and shows nobody anything but who is bound."""
    slapd = make_slapd()
    slapd.configure("cn=config", olcTLSCACertificateFile="server.crt", olcTLSVerifyClient="allow")
    slapd.restart()
    slapd.add_people(3)
    return slapd


def _certificate(slapd: Slapd, subject: str) -> dict[str, Any]:
    """Return settings that present a certificate for `subject` and no password."""

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=slapd.folder, check=True, capture_output=True)

    openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", subject, "-keyout", "me.key", "-out", "me.csr")
    openssl("x509", "-req", "-in", "me.csr", "-CA", "server.crt", "-CAkey", "server.key", "-CAcreateserial", "-days", "2", "-out", "me.crt")
    return {"cert_file": slapd.folder / "me.crt", "key_file": slapd.folder / "me.key", "sasl": "external", "bind_dn": "", "password": None}


def _external(slapd: Slapd, tls: str, **changes: Any) -> SourceSettings:
    url = slapd.ldaps_url if tls == "ldaps" else slapd.url.replace("127.0.0.1", "localhost")
    return corp(slapd, urls=(url,), tls=tls, allow_plaintext=False, ca_file=slapd.ca_file, **changes)


@pytest.mark.parametrize("tls", ["ldaps", "starttls"])
def test_the_certificate_says_who_binds(server: Slapd, tls: str) -> None:
    """No DN, no password: the certificate's subject is the account, and check names it."""
    settings = _external(server, tls, **_certificate(server, "/DC=com/DC=example/CN=sync"))
    assert len(read(settings).persons) == 3
    bound = next(found for found in probe(settings) if found.step.startswith("bind"))
    assert bound.detail == f"by the client certificate, as {server.bind_dn}"


def test_another_subject_is_another_account(server: Slapd) -> None:
    """What one account may see, another may not: nobody is anonymous by accident."""
    server.set_acl(f'to * by dn.exact="{server.bind_dn}" read by * none')
    stranger = _external(server, "ldaps", **_certificate(server, "/DC=com/DC=example/CN=stranger"))
    with pytest.raises(SourceRefused):
        read(stranger)
    assert len(read(_external(server, "ldaps", **_certificate(server, "/DC=com/DC=example/CN=sync"))).persons) == 3


def test_a_certificate_that_the_server_does_not_ask_for_is_refused(server: Slapd) -> None:
    """A server that asks for no certificate knows nobody by one; the error says which account was refused, and no password is tried."""
    server.configure("cn=config", olcTLSVerifyClient="never")
    server.restart()
    with pytest.raises(SourceRefused, match="refuses the client certificate"):
        read(_external(server, "ldaps", **_certificate(server, "/DC=com/DC=example/CN=sync")))


def test_external_without_a_certificate_is_a_mistake(server: Slapd) -> None:
    """Neither in the clear, nor without a certificate, nor beside a bind DN."""
    good = _certificate(server, "/CN=x")
    for changes in ({"cert_file": None}, {"bind_dn": "cn=x"}):
        steps = list(probe(_external(server, "ldaps", **(good | changes))))
        assert [(step.step, step.ok) for step in steps] == [("configuration", False)]
