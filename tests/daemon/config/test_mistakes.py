"""Every mistake is named by its table and key, all of them at once."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from daemon.config import load
from sync.errors import ConfigError
from tests.servers.pem import ED25519, make_pem

SECOND = """
[[source]]
name = "two"
kind = "ldap"
urls = ["ldaps://two.example.com"]
base = "dc=two"
"""

ADDED = [
    # what stands behind the small configuration, what is said about it
    ("[sotre]\n", "[sotre]: is no table of this file; did you mean [store]?"),
    ("[logging]\n", "[logging]: is no table of this file"),
    ("page_sise = 5", "[[source]] corp: page_sise: is not a key of this table; did you mean page_size?"),
    ("password = 'hunter2'", "[[source]] corp: password: is not a key of this table; did you mean password_file?"),
    ("[source.guard]\npage_size = 5", "[[source]] corp: guard.page_size: is not a key of this table; it belongs to [[source]]"),
    ("[source.guard]\npassword_file = 'a'", "[[source]] corp: guard.password_file: is not a key of this table; it belongs to [store] or [[source]]"),
    ("[source.guard]\nxyzzy = 5", "[[source]] corp: guard.xyzzy: is not a key of this table"),
    ("page_size = '5'", "[[source]] corp: page_size: must be a whole number from 1 to 10000, not a text"),
    ("page_size = true", "[[source]] corp: page_size: must be a whole number from 1 to 10000, not true or false"),
    ("page_size = 0", "[[source]] corp: page_size: must be from 1 to 10000"),
    ("allow_plaintext = 'yes'", "[[source]] corp: allow_plaintext: must be true or false, without quotes, not a text"),
    ("filter = 5", "[[source]] corp: filter: must be a text in quotes, not a number"),
    ("filter = ''", "[[source]] corp: filter: is empty"),
    ("filter = '(uid=a'", "[[source]] corp: filter: leaves 1 parenthesis open"),
    ("filter = '((uid=a'", "[[source]] corp: filter: leaves 2 parentheses open"),
    ("filter = '(uid=a))'", "[[source]] corp: filter: is more than one filter; join them: (&(…)(…))"),
    ("filter = 'uid=a)'", "[[source]] corp: filter: closes a parenthesis that is not open, at character 6"),
    ("filter = '(uid=a)(uid=b)'", "[[source]] corp: filter: is more than one filter; join them: (&(…)(…))"),
    ("filter = '(person)'", "[[source]] corp: filter: holds no comparison like (objectClass=person)"),
    (
        r"filter = '(cn=a\,b)'",
        r"[[source]] corp: filter: holds a \ that no two hexadecimal digits follow; write ( ) * \ in a value as \28 \29 \2a \5c",
    ),
    ("domains = 'example.com'", '[[source]] corp: domains: must be a list of texts like ["…", "…"], not a text'),
    ("domains = ['@example.com']", '[[source]] corp: domains: item 1 is no domain; write it like "example.com", without @ and without *'),
    ("domains = ['a.example', 'a.example']", "[[source]] corp: domains: names something twice"),
    ("bases = ['dc=other']", "[[source]] corp: bases: stands beside base; write all of them into bases"),
    ("vendor = 'novell'", '[[source]] corp: vendor: must be one of "auto", "openldap", "389ds", "freeipa", "ad", "generic"'),
    ("principal = 'r@CORP'", '[[source]] corp: principal: is for sasl = "gssapi" alone; set that, or take it out'),
    ("principal = 'r'", '[[source]] corp: principal: must be written with its realm: "rosterd@CORP.EXAMPLE.COM"'),
    ("connect_timeout = 10", "[[source]] corp: connect_timeout: must be a text in quotes, not a number"),
    ("connect_timeout = '10'", '[[source]] corp: connect_timeout: must be a number and a unit: "90s", "5m", "24h", "90d"'),
    ("connect_timeout = '0s'", "[[source]] corp: connect_timeout: must be longer than nothing and shorter than a century"),
    ("connect_timeout = '99999d'", "[[source]] corp: connect_timeout: must be longer than nothing and shorter than a century"),
    ("tls = 'ssl'", '[[source]] corp: tls: must be one of "ldaps", "starttls", "plain"'),
    ("tls = 'starttls'", '[[source]] corp: urls: ldaps://ldap.example.com means TLS from the first byte; set tls = "ldaps", or write ldap://…'),
    ("cert_file = 'jwt.secret'", "[[source]] corp: key_file: is missing; cert_file and key_file go together"),
    ("ca_file = 'nowhere.pem'", "[[source]] corp: ca_file: {folder}/nowhere.pem does not exist"),
    ("[source.attributes]\nid = ''", "[[source]] corp: attributes.id: is no name of an attribute"),
    ("[source.attributes]\nemails = []", "[[source]] corp: attributes.emails: is empty; addresses are what people are found by"),
    ("[source.attributes]\nemails = ['mail', 'e mail']", "[[source]] corp: attributes.emails: item 2 is no name of an attribute"),
    ("[source.groups]\nbase = 'groups'", '[[source]] corp: groups.base: is no DN; write it like "ou=people,dc=example,dc=com"'),
    (
        "[source.disabled]\nwhen = ['nsAccountLock']",
        '[[source]] corp: disabled.when: item 1 must be "attribute=value", or "attribute=*" for any value',
    ),
    ("[source.schedule]\njitter = '80%'", '[[source]] corp: schedule.jitter: must be a percentage from "0%" to "50%"'),
    ("[source.schedule]\njitter = 0.1", "[[source]] corp: schedule.jitter: must be a text in quotes, not a number"),
    ("[source.schedule]\nevery = '2h'\nfull_every = '1h'", "[[source]] corp: schedule.full_every: is shorter than every"),
    ("[source.schedule]\nevery = '2h'\ncron = '0 2 * * *'", "[[source]] corp: schedule.cron: replaces every; take one of them out"),
    ("[source.guard]\nmax_removed = -1", "[[source]] corp: guard.max_removed: must be from 0 to 10000000"),
    ("[source.guard]\nmax_removed_percent = 101", "[[source]] corp: guard.max_removed_percent: must be from 0 to 100"),
    (
        "[source.guard]\nmax_removed_percent = '5%'",
        "[[source]] corp: guard.max_removed_percent: must be a number from 0 to 100 (5 means 5 %), not a text",
    ),
    (
        "[source.guard]\nmax_removed = 20\nmax_removed_total = 10",
        "[[source]] corp: guard.max_removed_total: is smaller than max_removed, which it bounds",
    ),
    (
        "[source.guard]\nfail_closed_after = '1m'",
        "[[source]] corp: guard.fail_closed_after: is shorter than the time between two runs: every key would go off in between",
    ),
    (SECOND.replace("two", "corp"), "[[source]] corp: name: stands twice; two sources cannot have the same name"),
    (
        SECOND.replace('"two"', '"t w o"'),
        "[[source]] t w o: name: must be 1 to 64 letters, digits, dots, dashes or underscores, beginning with a letter or digit",
    ),
    ("[[source]]\nname = 'two'\nurls = ['ldaps://x']\nbase = 'dc=two'", "[[source]] two: kind: is missing"),
    (
        "[[source]]\nname = 'two'\nkind = 'scim-push'",
        '[[source]] two: kind: is "scim-push", which needs [http] public_url: the URL that the provider knows rosterd by',
    ),
    ("[[source]]\nname = 'two'\nkind = 'nis'\nurls = ['ldaps://x']", '[[source]] two: kind: must be one of "ldap", "scim", "scim-push"'),
    (
        "[[webhook]]\nurl_file = 'jwt.secret'\nsecret_file = 'jwt.secret'",
        "[[webhook]] number 1: url_file: must hold an https:// URL (http:// only to this machine), without a user name",
    ),
    ("[[keys.issue]]\n", "[[keys.issue]] number 1: name: is missing"),
    ("[[keys.issue]]\nname = 'a'\n[[keys.issue]]\nname = 'a'", "[[keys.issue]] a: name: stands twice; two policies cannot have the same name"),
    ("[[keys.issue]]\nname = 'a'\nsources = ['crop']", "[[keys.issue]] a: sources: there is no [[source]] named crop"),
    (f"{SECOND}\n[[keys.issue]]\nname = 'a'", "[[keys.issue]] a: sources: must be named, because there are several: corp, two"),
    (
        "[[keys.issue]]\nname = 'a'\ngroups = ['ai-users']",
        '[[keys.issue]] a: groups: ai-users is no DN; write the whole of it, like "cn=ai-users,ou=groups,dc=example,dc=com"',
    ),
    ("[[keys.issue]]\nname = 'a'\non_leave_group = 'off'", '[[keys.issue]] a: on_leave_group: must be one of "disable", "keep"'),
    (
        "[[keys.issue]]\nname = 'a'\nexpires_after = '30d'",
        "[[keys.issue]] a: renew_before: is not shorter than expires_after: every key would be renewed at once",
    ),
    (
        "[[keys.issue]]\nname = 'a'\n[[keys.issue]]\nname = 'b'\nwas = 'a'",
        "[[keys.issue]] b: was: names a policy that is still there, or that another one was",
    ),
    ("[http]\nport = 70000", "[http] port: must be from 0 to 65535"),
    ("[http]\nhost = 'http://x'", "[http] host: http://x is neither a host name nor an address; write it without scheme and port"),
    ("[http]\nhosts = ['a:80']", "[http] hosts: a:80 is neither a host name nor an address; write it without scheme and port"),
    ("[http]\nunix_socket = 'run/x.sock'", "[http] unix_socket: must be an absolute path of at most 107 characters"),
    ("[http]\ntls_cert_file = 'jwt.secret'", "[http] tls_key_file: is missing; the certificate and its key go together"),
    ("[http]\npublic_url = 'keys.example.com'", '[http] public_url: must be a URL like "https://keys.example.com"'),
    ("[http]\ntrusted_proxies = ['0.0.0.0/0']", "[http] trusted_proxies: 0.0.0.0/0 would believe everybody"),
    (
        "[http]\ntrusted_proxies = ['10.0.0.1/8']",
        '[http] trusted_proxies: 10.0.0.1/8 is no address and no network like "10.0.0.0/8" (no bits set after the prefix)',
    ),
    ("[http]\nmetrics_token_file = 'nowhere'", "[http] metrics_token_file: {folder}/nowhere does not exist"),
    ("[[http]]\nport = 1", "[http]: is a table, written once as [http]"),
    ("[audit]\nkeep = ''", '[audit] keep: must be a number and a unit: "90s", "5m", "24h", "90d"'),
]


@pytest.mark.parametrize(("added", "said"), ADDED, ids=[said[:60] for _, said in ADDED])
def test_a_mistake_is_named(folder: Any, added: str, said: str) -> None:
    """One mistake in an otherwise good file gives one line that names table, key and remedy."""
    assert folder.problems(added) == [said.replace("{folder}", str(folder.path))]


_EXTERNAL = 'sasl = "external"\ncert_file = "jwt.secret"\nkey_file = "jwt.secret"'
_BIND_DN, _PASSWORD = 'bind_dn = "cn=sync,dc=example,dc=com"', 'password_file = "ldap.password"'
_SAYS_WHO = 'stands beside sasl = "external", where the client certificate says who binds; take it out'

_GSSAPI = 'sasl = "gssapi"\nprincipal = "rosterd@CORP.EXAMPLE.COM"\nkeytab_file = '
_KERBEROS = 'stands beside sasl = "gssapi", where principal and keytab_file say who binds; take it out'

REPLACED = [
    (_PASSWORD, f'{_GSSAPI}"corp.keytab"', f"[[source]] corp: bind_dn: {_KERBEROS}"),
    (_BIND_DN, f'{_GSSAPI}"corp.keytab"', f"[[source]] corp: password_file: {_KERBEROS}"),
    (f"{_BIND_DN}\n{_PASSWORD}", f'{_GSSAPI}""', '[[source]] corp: keytab_file: is missing; sasl = "gssapi" binds by it'),
    (f"{_BIND_DN}\n{_PASSWORD}", f'{_GSSAPI}"jwt.secret"', "[[source]] corp: keytab_file: {folder}/jwt.secret is no keytab"),
    (_PASSWORD, _EXTERNAL, f"[[source]] corp: bind_dn: {_SAYS_WHO}"),
    (_BIND_DN, _EXTERNAL, f"[[source]] corp: password_file: {_SAYS_WHO}"),
    (f"{_BIND_DN}\n{_PASSWORD}", 'sasl = "external"', '[[source]] corp: cert_file: is missing; sasl = "external" binds by it'),
    *(
        ('url = "sqlite:///rosterd.db"', f'url = "{url}"', f"[store] url: {said}")
        for url, said in (
            ("postgresql+psycopg://u:hunter2@h/d", "must not hold a password; password_file names the file that does"),
            ("postgresql+psycopg://u@h/d?sslmode=require&password=hunter2", "must not hold a password; password_file names the file that does"),
            ("postgresql://u@h/d", "must begin with postgresql+psycopg://"),
            ("postgresql+psycopg://h/d", "must name a user, as in postgresql+psycopg://user@host/database"),
            ("postgresql+psycopg://u@h", "must be postgresql+psycopg://user@host/database, perhaps with options of libpq behind a question mark"),
            ("postgresql+psycopg://u@h:x/d", "must be postgresql+psycopg://user@host/database, perhaps with options of libpq behind a question mark"),
        )
    ),
    ('url = "sqlite:///rosterd.db"', 'url = "postgresql+psycopg://u@h/d"', "[audit] file: must name a file when the store is on a server"),
    (
        'url = "sqlite:///rosterd.db"',
        'url = "/var/lib/rosterd.db"',
        "[store] url: must be sqlite:/// and a path, like sqlite:////var/lib/rosterd/rosterd.db, or postgresql+psycopg://user@host/database",
    ),
    ('url = "sqlite:///rosterd.db"', 'url = "sqlite:///:memory:"', "[store] url: must name a file, without options"),
    (
        'url = "sqlite:///rosterd.db"',
        'url = "sqlite:///a"\npassword_file = "x"',
        "[store] password_file: is for a database server; a file needs no password",
    ),
    (
        'url = "sqlite:///rosterd.db"',
        'forget_after = "30d"',
        "[store] history: is longer than forget_after: changes would name people who are forgotten",
    ),
    ('secret_file = "jwt.secret"', "", "[auth] secret_file: is missing"),
    ('secret_file = "jwt.secret"', 'secret_file = "nowhere"', "[auth] secret_file: {folder}/nowhere does not exist"),
    ('secret_file = "jwt.secret"', 'secret_file = "."', "[auth] secret_file: {folder} is no file"),
    ('secret_file = "jwt.secret"', 'secret_file = "credential:../x"', "[auth] secret_file: names no credential; write credential:NAME"),
    ('secret_file = "jwt.secret"', 'secret_file = "jwt.secret"\nkey_sees = "none"', '[auth] key_sees: must be one of "all", "own"'),
    ('encryption_key_file = "vault.keys"', 'encryption_key_file = ""', "[keys] encryption_key_file: is empty"),
    ('encryption_key_file = "vault.keys"', 'encryption_key_file = "vault.keys"\nformat = "jws"', '[keys] format: must be one of "sk-bf", "jwt"'),
    (
        'encryption_key_file = "vault.keys"',
        'encryption_key_file = "vault.keys"\nformat = "jwt"',
        '[keys] jwt_key_file: is missing, and format = "jwt" signs with it; '
        "`openssl genpkey -algorithm ed25519 -out jwt.key` makes one (`chmod 0600 jwt.key`)",
    ),
    (
        'encryption_key_file = "vault.keys"',
        'encryption_key_file = "vault.keys"\njwt_key_file = "nowhere"',
        "[keys] jwt_key_file: {folder}/nowhere does not exist",
    ),
    ('name = "corp"\n', "", "[[source]] number 1: name: is missing"),
    ('urls = ["ldaps://ldap.example.com"]', "", "[[source]] corp: urls: is missing"),
    ('urls = ["ldaps://ldap.example.com"]', "urls = []", "[[source]] corp: urls: is empty; name at least one server"),
    (
        'urls = ["ldaps://ldap.example.com"]',
        'urls = ["ldap://x"]',
        '[[source]] corp: urls: ldap://x does not fit tls = "ldaps"; write ldaps://…',
    ),
    (
        'urls = ["ldaps://ldap.example.com"]',
        'urls = ["ldap.example.com"]',
        "[[source]] corp: urls: ldap.example.com is no URL of a server; write ldaps://host or ldaps://host:port",
    ),
    ('urls = ["ldaps://ldap.example.com"]', 'urls = ["ldaps://x:99999"]', "[[source]] corp: urls: ldaps://x:99999 is no URL of a server"),
    (
        'urls = ["ldaps://ldap.example.com"]',
        'urls = ["ldaps://me:hunter2@x"]',
        "[[source]] corp: urls: x says more than the server; bind_dn, base and filter have keys of their own",
    ),
    ('base = "ou=people,dc=example,dc=com"', "", "[[source]] corp: base: is missing; below which entry do the people stand?"),
    (
        'base = "ou=people,dc=example,dc=com"',
        'base = "example.com"',
        '[[source]] corp: base: is no DN; write it like "ou=people,dc=example,dc=com"',
    ),
    ('bind_dn = "cn=sync,dc=example,dc=com"', "", "[[source]] corp: bind_dn: is missing; password_file needs it"),
    (
        'password_file = "ldap.password"',
        "",
        "[[source]] corp: password_file: is missing; with bind_dn alone a directory binds anonymously and shows less",
    ),
    (
        'urls = ["ldaps://ldap.example.com"]',
        'urls = ["ldap://x"]\ntls = "plain"',
        '[[source]] corp: tls: is "plain": the password would travel in the clear; use "ldaps" or "starttls", or set allow_plaintext = true',
    ),
    ("[[source]]", "[source]", "[[source]]: may stand several times, so it is written [[source]]"),
]


@pytest.mark.parametrize(("old", "new", "said"), REPLACED, ids=[said[:60] for _, _, said in REPLACED])
def test_a_changed_line_is_named(folder: Any, replaced: Callable[..., str], old: str, new: str, said: str) -> None:
    """One line of a good file gone wrong gives a line that names table, key and remedy."""
    assert folder.problems(small=replaced(old, new))[0] == said.replace("{folder}", str(folder.path))


def test_all_mistakes_come_at_once(folder: Any) -> None:
    """A file with mistakes in several tables and files is told all of them in one go."""
    folder.secret("jwt.secret", "short")
    folder.secret("vault.keys", "bm90IGVub3VnaA==")
    problems = folder.problems("pagesize = 5\n[source.guard]\ngrace = 7\n[http]\nport = 'x'\n[[keys.issue]]\nname = '?'")
    assert len(problems) == 6
    assert {problem.partition(":")[0] for problem in problems} == {
        "[[source]] corp", "[http] port", "[[keys.issue]] ?", "[auth] secret_file", "[keys] encryption_key_file",
    }  # fmt: skip


def test_a_syntax_error_has_line_and_column(folder: Any) -> None:
    """What is no TOML is said to be none, with the place."""
    folder.file.write_text("[store]\nurl = \n")
    with pytest.raises(ConfigError, match=r"no TOML: Invalid value \(at line 2, column 7\)"):
        load(folder.file)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    """A missing file is told with what writes one."""
    with pytest.raises(ConfigError, match=r"nowhere\.toml: 1 mistake:\n  the file does not exist; `rosterd init` writes one"):
        load(tmp_path / "nowhere.toml")


def test_a_file_in_another_encoding(folder: Any) -> None:
    """A file that is no UTF-8 is said to be none."""
    folder.file.write_bytes("[store] # für\n".encode("latin-1"))
    with pytest.raises(ConfigError, match=r"no UTF-8 text \(octet 11\)"):
        load(folder.file)


def test_unknown_keys_of_other_kinds_and_inner_tables_are_mistakes(folder: Any) -> None:
    """What is a key of one kind of source only is a mistake in another kind; and so is what a table inside a table does not know."""
    problems = folder.problems("[[source]]\nname = 'two'\nkind = 'scim'\nurl = 'https://x'\nurls = []\n[auth.proxy]\nheadr = 'x'")
    assert "[[source]] two: urls: is not a key of this table; did you mean url?" in problems
    assert "[auth.proxy] headr: is not a key of this table; did you mean header?" in problems


def test_no_secret_is_repeated(folder: Any) -> None:
    """What stands in a wrong place or a wrong file is never printed back."""
    folder.secret("ldap.password", "hunter2\nhunter3\n")
    folder.secret("jwt.secret", "hunter4")
    folder.secret("vault.keys", "hunter5")
    text = "\n".join(folder.problems("password = 'hunter6'\nkey_file = ['hunter7']"))
    assert text.count("[") > 4
    assert "hunter" not in text


def test_a_policy_of_jwts_must_say_when_its_keys_expire(folder: Any, replaced: Callable[..., str]) -> None:
    """A JWT without an end is none that we make: the mistake names the policy, and one that says so is taken."""
    folder.secret("jwt.key", make_pem(*ED25519))
    small = replaced("[keys]\n", '[keys]\nformat = "jwt"\njwt_key_file = "jwt.key"\n')
    said = '[[keys.issue]] default: expires_after: is missing; with [keys] format = "jwt" every key needs an expiry'
    assert folder.problems("[[keys.issue]]\nname = 'default'", small=small) == [said]
    minting = folder.load("[[keys.issue]]\nname = 'default'\nexpires_after = '180d'", small=small).minting
    assert (minting.issuer, minting.audience, minting.as_jwt) == ("rosterd", "rosterd", True)


def test_a_signing_key_is_as_secret_as_any_other(folder: Any, replaced: Callable[..., str]) -> None:
    """A key file that others can read, or that holds no key that can sign, is refused, also while nothing is signed with it."""
    small = replaced("[keys]\n", "[keys]\njwt_key_file = 'jwt.key'\n")
    folder.secret("jwt.key", make_pem(*ED25519), mode=0o644)
    assert "can be read or changed by others" in folder.problems(small=small)[0]
    folder.secret("jwt.key", "hunter2")
    (problem,) = folder.problems(small=small)
    assert problem.startswith("[keys] jwt_key_file: holds no private key (PEM); `openssl genpkey") and "hunter2" not in problem


def test_a_keytab_is_a_secret_file_and_its_package_an_extra(folder: Any, replaced: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Readable by others it is refused; another keytab is noticed; nothing crosses the network in the clear by accident; the extra may be missing."""
    good = replaced(f"{_BIND_DN}\n{_PASSWORD}", f'{_GSSAPI}"corp.keytab"')
    keys = folder.secret("corp.keytab", "\5\2one")
    first = folder.load(small=good).sources[0]
    assert (first.principal, first.keytab_file) == ("rosterd@CORP.EXAMPLE.COM", keys)
    folder.secret("corp.keytab", "\5\2two")
    assert folder.load(small=good).sources[0].keytab_mark != first.keytab_mark
    plain = good.replace("ldaps://", "ldap://").replace("[[source]]", '[[source]]\ntls = "plain"')
    assert "nothing after the bind would be protected" in folder.problems(small=plain)[0]
    assert folder.load("allow_plaintext = true", small=plain)
    keys.chmod(0o644)
    (said,) = folder.problems(small=good)
    assert "corp.keytab can be read or changed by others (mode 0644)" in said
    keys.chmod(0o600)
    monkeypatch.setitem(sys.modules, "gssapi", None)
    (said,) = folder.problems(small=good)
    assert "the package it takes is not installed" in said and "pip install gssapi" in said
