"""As whom a connection is bound: by a password, by the client certificate, by Kerberos, or as nobody."""

from __future__ import annotations

from typing import Any

import ldap3

from sync.settings import SourceSettings
from sync.sources.ldap import kerberos, translate

_WHO_AM_I = "1.3.6.1.4.1.4203.1.11.3"
_MECHANISMS = {"external": ldap3.EXTERNAL, "gssapi": ldap3.KERBEROS}
_WANTS_LAYER = 8


def described(settings: SourceSettings) -> str:
    """Return for people who binds, as the configuration says it; "" for an anonymous bind."""
    return {"external": "the client certificate", "gssapi": settings.principal}.get(settings.sasl, settings.bind_dn)


def options_of(settings: SourceSettings) -> dict[str, Any]:
    """Return what an ldap3 connection is to know of it."""
    if settings.sasl:
        # EXTERNAL: an empty answer at once, for none would make the server ask (RFC 4422 appendix A).
        return {"authentication": ldap3.SASL, "sasl_mechanism": _MECHANISMS[settings.sasl], "sasl_credentials": ""}
    # As octets: ldap3 would put a text through SASLprep, and a password that ldapsearch may use would be another one.
    password = settings.password.reveal().encode() if settings.bind_dn and settings.password else None
    return {"user": settings.bind_dn or None, "password": password}


def bind(connection: Any, settings: SourceSettings, url: str, host: str) -> str:
    """Bind an open connection to the server at `url`, whose certificate names `host`; return as whom, "" when anonymous or not known.

    That is a DN where the server tells it (RFC 4532), else what the configuration says. Raises SourceError.
    """
    if settings.sasl == "gssapi":
        kerberos.bind(connection, settings, url, host)
    else:
        connection.bind(read_server_info=False)
    result = connection.result
    if result["result"]:
        if settings.sasl == "gssapi" and result["result"] == _WANTS_LAYER:
            raise kerberos.wants_layer(url, settings, result["message"])
        raise translate.refusal(f"{url} refuses {described(settings) or 'an anonymous bind'}", result["result"], result["message"])
    return _told(connection) or settings.principal if settings.sasl else settings.bind_dn


def _told(connection: Any) -> str:
    connection.extended(_WHO_AM_I)
    told = (connection.result.get("responseValue") or b"").decode("utf-8", "replace")
    return told.removeprefix("dn:").strip() if told.startswith("dn:") else ""  # 389 says "dn: cn=…"
