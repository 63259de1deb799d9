"""Binding by Kerberos (SASL GSSAPI, RFC 4752), with a keytab of one's own: tickets live in memory only, and no security layer is agreed upon."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ldap3.protocol.sasl.sasl import send_sasl_negotiation

from sync.errors import SourceError, SourceRefused, SourceUnavailable
from sync.settings import SourceSettings
from sync.sources.ldap import translate

_IN_PROGRESS = 14
_NO_LAYER = 1
"""RFC 4752 section 3.3: the bit of a server that takes unprotected messages; TLS protects them."""
_MOST_STEPS = 8
_NO_TICKET = -1765328189
"""KRB5_FCC_NOFILE: nothing in the keytab led to a ticket."""
_BAD_KEYTAB = (-1765328203, -1765328200, -1765328171, -1765328154, -1765328149)
"""KRB5_KT_NOTFOUND, KRB5_KT_IOERR, KRB5_KEYTAB_BADVNO, KRB5_KT_KVNONOTFOUND, KRB5_KT_FORMAT."""
_REFUSED = (-1765328360, -1765328378, -1765328366, -1765328361, -1765328383)
"""KRB5KDC_ERR_PREAUTH_FAILED, _C_PRINCIPAL_UNKNOWN, _CLIENT_REVOKED (disabled, locked), _KEY_EXP, _NAME_EXP."""
_NO_CENTRE = (-1765328228, -1765328230, -1765328164, -1765328355)
"""KRB5_KDC_UNREACH, KRB5_REALM_UNKNOWN, KRB5_REALM_CANT_RESOLVE, KRB5KDC_ERR_SVC_UNAVAILABLE."""
_SKEWED = (-1765328347, -1765328236, -1765328351)
"""KRB5KRB_AP_ERR_SKEW, KRB5_KDCREP_SKEW, KRB5KRB_AP_ERR_TKT_NYV."""
_NO_SERVICE = (-1765328377, -1765328229)
"""KRB5KDC_ERR_S_PRINCIPAL_UNKNOWN, KRB5_SERVICE_UNKNOWN."""
_TRY = "`kinit -k -t KEYTAB PRINCIPAL` tries the same by hand."


def bind(connection: Any, settings: SourceSettings, url: str, host: str) -> None:
    """Bind `connection` (ldap3's, open) as `settings.principal`; its `result` tells how that ended. Raises SourceError.

    Tickets are asked for anew each time, for the service ldap/HOST in the realm of the principal: no name that DNS or a reverse look-up could
    change has a part in it. Where there is TLS the bind holds for this channel only (RFC 5929, tls-server-end-point).
    """
    gssapi, bindings = _library(connection.socket)
    realm = settings.principal.rpartition("@")[2]
    named = gssapi.NameType.kerberos_principal
    with _translated(gssapi.exceptions.GSSError, settings, url, host):
        store = {"client_keytab": f"FILE:{settings.keytab_file}", "ccache": f"MEMORY:{uuid.uuid4()}"}
        mechanism = gssapi.MechType.kerberos
        own = gssapi.Credentials(name=gssapi.Name(settings.principal, named), usage="initiate", mechs=[mechanism], store=store)
        flags = gssapi.RequirementFlag.mutual_authentication | gssapi.RequirementFlag.out_of_sequence_detection
        service = gssapi.Name(f"ldap/{host}@{realm}", named)
        context = gssapi.SecurityContext(name=service, creds=own, mech=mechanism, usage="initiate", flags=flags, channel_bindings=bindings)
        first = context.step()
    _converse(connection, context, first, gssapi.exceptions.GSSError, url, settings)


def _library(sock: Any) -> tuple[Any, Any]:
    """Return the package `gssapi`, which is an extra, and the channel bindings of a socket: None without TLS, or where RFC 5929 knows none."""
    try:
        import gssapi
        from ldap3.protocol.sasl.kerberos import get_channel_bindings
    except ImportError as error:
        remedy = "Install python3-gssapi, or, where rosterd was installed by hand, pip install gssapi (docs/ldap.md, “Kerberos”)."
        raise SourceRefused("kerberos_missing", f'sasl = "gssapi" needs the package gssapi, which cannot be loaded: {error}.', remedy) from error
    try:
        return gssapi, get_channel_bindings(sock)
    except AttributeError:  # a certificate whose signature names no hash function, such as Ed25519
        return gssapi, None


def _converse(connection: Any, context: Any, token: bytes | None, failed: type[Exception], url: str, settings: SourceSettings) -> None:
    """Exchange tokens until both sides know each other, refuse every security layer, and leave the last answer in `connection.result`."""
    try:
        for _ in range(_MOST_STEPS):
            result = send_sasl_negotiation(connection, None, token or b"")
            said = result["saslCreds"] or b""
            if result["result"] != _IN_PROGRESS:
                break
            if context.complete:
                offered = bytes(context.unwrap(said).message)
                if len(offered) != 4 or not offered[0] & _NO_LAYER:
                    raise wants_layer(url, settings, "")
                send_sasl_negotiation(connection, None, context.wrap(bytes([_NO_LAYER, 0, 0, 0]), False).message)
                return
            token = context.step(said)
    except failed as error:
        raise translate.garbled(url, f"its part of the GSSAPI bind is wrong: {_last_words(error)}") from error
    if result["result"] in (0, _IN_PROGRESS):
        raise translate.garbled(url, "it ended the GSSAPI bind without having shown who it is")


def wants_layer(url: str, settings: SourceSettings, said: str) -> SourceRefused:
    """Return the error for a directory that signs or seals what follows a GSSAPI bind, or does not bind: TLS is the only protection we speak."""
    remedy = "Let the directory take GSSAPI binds over TLS without signing (docs/ldap.md, “Kerberos”)."
    if settings.tls == "plain":
        remedy = 'Use tls = "ldaps" or "starttls".'
    why = f"{url} wants to sign or seal what follows a GSSAPI bind{f', “{translate.cut(said)}”' if said else ''}."
    return SourceRefused("stronger_auth_required", why, remedy)


@contextmanager
def _translated(failed: type[Exception], settings: SourceSettings, url: str, host: str) -> Iterator[None]:
    """Turn what GSS-API raises before the directory has been asked anything into SourceErrors."""
    try:
        yield
    except failed as error:
        number = (getattr(error, "min_code", 0) & 0xFFFFFFFF) - (1 << 32)
        raise _error_of(number, _last_words(error), settings, url, host) from error


def _error_of(number: int, said: str, settings: SourceSettings, url: str, host: str) -> SourceError:
    """Return the error for one of libkrb5's (krb5.h)."""
    who, realm = settings.principal, settings.principal.rpartition("@")[2]
    if number in (_NO_TICKET, *_BAD_KEYTAB):
        why = f"{settings.keytab_file} holds no key that can be used for {who}."
        return SourceRefused("keytab_unusable", why, "Correct principal or keytab_file; `klist -k KEYTAB` shows whose keys it holds.")
    if number in _REFUSED:
        return SourceRefused("invalid_credentials", f"The realm {realm} refuses {who}: {said}.", f"Correct principal or keytab_file. {_TRY}")
    if number in _NO_CENTRE:
        remedy = f"Check the network, and DNS (_kerberos._udp.{realm}) or /etc/krb5.conf, which say where it is."
        return SourceUnavailable("kdc_unreachable", f"The key distribution centre of {realm} cannot be reached: {said}.", remedy)
    if number in _SKEWED:
        why = f"The clocks of this machine and of {realm} differ: {said}."
        return SourceUnavailable("clock_skew", why, "Let both keep their time (NTP): Kerberos allows five minutes.")
    if number in _NO_SERVICE:
        remedy = "Name the server in `urls` as the realm knows it: a domain controller by its full name."
        return SourceRefused("service_unknown", f"The realm {realm} knows no service ldap/{host}: {said}.", remedy)
    return SourceUnavailable("kerberos_failed", f"Kerberos failed before {url} was asked: {said}.", _TRY)


def _last_words(error: Any) -> str:
    """Return what the mechanism says of an error: the part of it that is not the same for all."""
    told = error.get_all_statuses(error.min_code, False) or error.get_all_statuses(error.maj_code, True)
    return translate.cut(" ".join(str(text) for text in told)).rstrip(".")
