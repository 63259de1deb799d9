"""Every table of the configuration, as data: `config.example.toml` explains the same keys to people, and a test compares the two."""

from __future__ import annotations

from daemon.config.cron import cron
from daemon.config.description import Field, Kinds, Table
from daemon.config.values import (
    any_duration,
    attribute,
    choice,
    condition,
    dn,
    domain,
    duration,
    flag,
    ldap_filter,
    mapping,
    name,
    optional_attribute,
    optional_dn,
    optional_duration,
    optional_filter,
    optional_name,
    percent,
    percent_text,
    principal,
    scim_filter,
    some,
    text,
    texts,
    whole,
)

STORE = Table(
    {
        "url": Field(some, "sqlite:////var/lib/rosterd/rosterd.db"),
        "password_file": Field(text, ""),
        "history": Field(duration, "90d"),
        "forget_after": Field(duration, "365d"),
    }
)
HTTP = Table(
    {
        "host": Field(some, "127.0.0.1"),
        "port": Field(whole(0, 65_535), 8321),
        "unix_socket": Field(text, ""),
        "tls_cert_file": Field(text, ""),
        "tls_key_file": Field(text, ""),
        "public_url": Field(text, ""),
        "trusted_proxies": Field(texts(), []),
        "metrics_token_file": Field(text, ""),
        "hosts": Field(texts(), []),
    }
)
AUDIT = Table({"file": Field(text, ""), "keep": Field(duration, "90d")})
PROXY = Table(
    {
        "header": Field(some, "X-Remote-User"),
        "match": Field(choice("username", "external_id"), "username"),
        "source": Field(optional_name, ""),
    },
    optional=True,
)
ISSUER = Table(
    {
        "issuer": Field(some, required=True),
        "audience": Field(some, required=True),
        "jwks_url": Field(text, ""),
        "jwks_ca_file": Field(text, ""),
        "jwks_file": Field(text, ""),
        "public_key_files": Field(texts(), []),
        "algorithms": Field(texts(choice("RS256", "RS384", "RS512", "PS256", "ES256", "ES384", "EdDSA")), ["RS256", "ES256", "EdDSA"]),
        "may": Field(texts(choice("virtual-key", "lookup", "operator", "admin")), ["virtual-key"]),
        "key_claim": Field(text, "vk"),
        "role_claim": Field(text, ""),
        "roles": Field(mapping, {}),
    },
)
AUTH = Table(
    {
        "issuer": Field(some, "rosterd"),
        "audience": Field(some, "rosterd"),
        "secret_file": Field(some, required=True),
        "key_sees": Field(choice("all", "own"), "all"),
    },
    tables={"proxy": PROXY},
    lists={"issuer": ISSUER},
)
ISSUE = Table(
    {
        "name": Field(name, required=True),
        "groups": Field(texts(), []),
        "sources": Field(texts(name), []),
        "expires_after": Field(optional_duration, ""),
        "renew_before": Field(duration, "30d"),
        "on_leave_group": Field(choice("disable", "keep"), "disable"),
        "was": Field(optional_name, ""),
    }
)
KEYS = Table(
    {
        "encryption_key_file": Field(some, required=True),
        "format": Field(choice("sk-bf", "jwt"), "sk-bf"),
        "jwt_key_file": Field(text, ""),
        "revive_within": Field(duration, "90d"),
    },
    lists={"issue": ISSUE},
)
SCHEDULE = Table(
    {
        "every": Field(duration, "5m"),
        "full_every": Field(duration, "24h"),
        "jitter": Field(percent_text, "10%"),
        "cron": Field(cron, ""),
    }
)
GUARD = Table(
    {
        "max_removed": Field(whole(0, 10_000_000), 10),
        "max_removed_percent": Field(percent, 5),
        "max_removed_total": Field(whole(0, 10_000_000), 200),
        "max_disabled": Field(whole(0, 10_000_000), 500),
        "max_refused_percent": Field(percent, 5),
        "grace": Field(any_duration, "7d"),
        "address_quarantine": Field(any_duration, "7d"),
        "stale_after": Field(optional_duration, ""),
        "fail_closed_after": Field(optional_duration, ""),
    }
)
ATTRIBUTES = Table(
    {
        "id": Field(attribute),
        "username": Field(optional_attribute),
        "name": Field(optional_attribute),
        "emails": Field(texts(attribute)),
        "groups": Field(optional_attribute),
    }
)
"""Without defaults: what is left out is the vendor's own (sync/sources/ldap/vendors.py), which the directory may have to be asked for."""
GROUPS = Table(
    {
        "base": Field(optional_dn, ""),
        "filter": Field(optional_filter, ""),
        "member": Field(attribute, "member"),
        "nested": Field(flag, True),
    }
)
DISABLED = Table({"when": Field(texts(condition), [])})
OAUTH2 = Table(
    {
        "token_url": Field(some, required=True),
        "client_id": Field(some, required=True),
        "client_secret_file": Field(some, required=True),
        "scope": Field(text, ""),
    },
    optional=True,
)
_ANY_SOURCE = {
    "name": Field(name, required=True),
    "kind": Field(choice("ldap", "scim", "scim-push"), required=True),
    "domains": Field(texts(domain), []),
}
LDAP = Table(
    {
        **_ANY_SOURCE,
        "urls": Field(texts(), required=True),
        "vendor": Field(choice("auto", "openldap", "389ds", "freeipa", "ad", "generic"), "auto"),
        "tls": Field(choice("ldaps", "starttls", "plain"), "ldaps"),
        "allow_plaintext": Field(flag, False),
        "ca_file": Field(text, ""),
        "cert_file": Field(text, ""),
        "key_file": Field(text, ""),
        "bind_dn": Field(text, ""),
        "password_file": Field(text, ""),
        "sasl": Field(choice("", "external", "gssapi"), ""),
        "principal": Field(principal, ""),
        "keytab_file": Field(text, ""),
        "base": Field(optional_dn, ""),
        "bases": Field(texts(dn), []),
        "filter": Field(ldap_filter),
        "page_size": Field(whole(1, 10_000), 500),
        "connect_timeout": Field(duration, "10s"),
        "read_timeout": Field(duration, "60s"),
    },
    tables={"attributes": ATTRIBUTES, "groups": GROUPS, "disabled": DISABLED, "schedule": SCHEDULE, "guard": GUARD},
)
SCIM = Table(
    {
        **_ANY_SOURCE,
        "url": Field(some, required=True),
        "allow_plaintext": Field(flag, False),
        "ca_file": Field(text, ""),
        "token_file": Field(text, ""),
        "username": Field(text, ""),
        "password_file": Field(text, ""),
        "filter": Field(scim_filter, ""),
        "page_size": Field(whole(1, 10_000), 100),
        "connect_timeout": Field(duration, "10s"),
        "read_timeout": Field(duration, "60s"),
    },
    tables={"oauth2": OAUTH2, "schedule": SCHEDULE, "guard": GUARD},
)
SCIM_PUSH = Table(_ANY_SOURCE, tables={"guard": GUARD})
TOLD = ("run.failed", "run.held", "user.disabled", "user.missing", "user.removed", "key.issued", "key.disabled", "source.stale", "lookup.fanout")
WEBHOOK = Table(
    {
        "url_file": Field(some, required=True),
        "secret_file": Field(some, required=True),
        "events": Field(texts(choice(*TOLD)), ["run.held", "run.failed", "user.disabled", "source.stale", "lookup.fanout"]),
    },
)
SOURCES = Kinds({"ldap": LDAP, "scim": SCIM, "scim-push": SCIM_PUSH})
ROOT = Table(
    tables={"store": STORE, "http": HTTP, "audit": AUDIT, "auth": AUTH, "keys": KEYS},
    lists={"source": SOURCES, "webhook": WEBHOOK},
)
