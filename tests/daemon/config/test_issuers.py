"""`[[auth.issuer]]` and `[auth.proxy]`: what they become, and every mistake that would let in more than was meant."""

from __future__ import annotations

import json
import pickle
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from api.settings import IssuerSettings, ProxySettings
from tests.daemon.config.conftest import SMALL
from tests.servers.idp import Idp, jwks, make_certificate

IDP, RSA = Idp(), Idp(kid="rsa", algorithm="RS256")
URL = "jwks_url = 'https://idp.example/jwks'"


def table(*lines: str, issuer: str = "https://idp.example") -> str:
    """Return one table with these lines."""
    return "\n".join(["[[auth.issuer]]", f"issuer = '{issuer}'", "audience = 'rosterd'", *lines])


def small_pem() -> str:
    key = rsa.generate_private_key(65537, 1024)  # noqa: S505 – that it is refused is the test
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


@pytest.fixture
def keys(folder: Any) -> Any:
    """The folder, with files of keys in it; public ones may be read by everybody."""
    for name, text in {
        "one.pem": IDP.pem, "two.pem": RSA.pem, "private.pem": IDP.private_pem, "weak.pem": small_pem(), "empty.pem": "\n",
        "jwks.json": jwks(IDP, RSA), "oct.json": jwks(IDP, more=({"kty": "oct", "k": "c2VjcmV0"},)), "garbage.json": "{}",
        "private.json": jwks(IDP, more=({**RSA.jwk, "kid": "p", "d": "AQAB"},)), "twice.json": jwks(IDP, IDP), "big.json": " " * 300_000,
        "ed.json": jwks(Idp(algorithm="EdDSA")), "bytes.json": "\udcff",
    }.items():  # fmt: skip
        path = folder.path / name
        path.write_text(text, errors="surrogateescape")
        path.chmod(0o644)
    return folder


def test_issuers_become_settings(keys: Any) -> None:
    """Each with its own keys and rights; what a child process is handed can be handed."""
    ca_file, _ = make_certificate(keys.path)
    config = keys.load(
        "\n".join(
            (
                table("jwks_file = 'jwks.json'"),
                table("public_key_files = ['one.pem', 'two.pem']", "algorithms = ['ES256', 'RS256']", issuer="two"),
                table(URL, "jwks_ca_file = 'authority.pem'", "may = ['admin', 'virtual-key']", "role_claim = 'groups'", "key_claim = 'k'",
                      "roles = { 'g-1' = 'admin', 'g-2' = 'admin' }", issuer="three"),
            )
        )
    )  # fmt: skip
    assert config.api.issuers == (
        IssuerSettings("https://idp.example", "rosterd", jwks=jwks(IDP, RSA)),
        IssuerSettings("two", "rosterd", pems=(IDP.pem, RSA.pem), algorithms=("ES256", "RS256")),
        IssuerSettings(
            "three", "rosterd", jwks_url="https://idp.example/jwks", ca_file=ca_file, may=("admin", "virtual-key"), key_claim="k",
            role_claim="groups", roles=(("g-1", "admin"), ("g-2", "admin")),
        ),
    )  # fmt: skip
    assert (config.api.issuer, config.api.proxy) == ("rosterd", None)
    assert pickle.loads(pickle.dumps(config)) == config  # noqa: S301 – our own


MISTAKES = [
    # lines of the table, what is said about it
    ("", "jwks_url: is missing; exactly one of jwks_url, jwks_file, public_key_files says where the public keys are"),
    (f"{URL}\njwks_file = 'jwks.json'", "jwks_file: stands beside jwks_url; exactly one of jwks_url, jwks_file, public_key_files says where …"),
    ("jwks_url = 'http://idp.example/jwks'", "jwks_url: must be an https:// URL, without a user name: whoever could change the answer could …"),
    ("jwks_url = 'http://127.0.0.1/jwks'", "jwks_url: must be an https:// URL, …"),
    ("jwks_url = 'https://me:secret@idp.example/'", "jwks_url: must be an https:// URL, …"),
    ("jwks_url = 'file:///etc/passwd'", "jwks_url: must be an https:// URL, …"),
    ("jwks_url = 'https://[x/'", "jwks_url: must be an https:// URL, …"),
    (f"{URL}\njwks_ca_file = 'jwks.json'", "jwks_ca_file: {folder}/jwks.json holds no certificate in PEM"),
    (f"{URL}\njwks_ca_file = 'nowhere.pem'", "jwks_ca_file: {folder}/nowhere.pem does not exist"),
    ("jwks_file = 'jwks.json'\njwks_ca_file = 'one.pem'", "jwks_ca_file: is for jwks_url: the authority that signed its server's certificate"),
    (f"{URL}\nalgorithms = ['HS256']", "algorithms: item 1 must be one of …"),
    (f"{URL}\nalgorithms = ['none']", "algorithms: item 1 must be one of …"),
    (f"{URL}\nalgorithms = []", "algorithms: is empty; name those that the issuer signs with"),
    (f"{URL}\nmay = ['device']", 'may: item 1 must be one of "virtual-key", "lookup", "operator", "admin"'),
    (f"{URL}\nmay = []", "may: is empty: such a table lets nobody in; leave it out"),
    (f"{URL}\nmay = ['admin']", 'role_claim: is missing; may names "admin", and this claim says who has it'),
    (f"{URL}\nroles = {{ x = 'lookup' }}", "role_claim: is missing; roles needs it: the claim whose values they are"),
    (f"{URL}\nrole_claim = 'r'", "role_claim: gives nothing: may names no role"),
    (f"{URL}\nmay = ['lookup']\nrole_claim = 'r'\nroles = {{ a = 'lookup', x = 'admin' }}", 'roles: gives "admin", which may does not name'),
    (f"{URL}\nmay = ['lookup']\nrole_claim = 'r'\nroles = {{ a = 'lookup', x = 'root' }}", 'roles: "root" is no role; the roles are …'),
    (f"{URL}\nmay = ['lookup', 'admin']\nrole_claim = 'r'\nroles = {{ a = 'lookup' }}", 'may: names "admin", but no value in roles leads there'),
    (f"{URL}\nroles = {{ x = 1 }}", 'roles: must be a table of texts like { "…" = "…" }'),
    (f"{URL}\nkey_claim = ''", 'key_claim: is empty; with "virtual-key" in may, it names the claim that holds the id of a key'),
    ("jwks_file = 'nowhere.json'", "jwks_file: {folder}/nowhere.json does not exist"),
    ("jwks_file = 'garbage.json'", 'jwks_file: garbage.json is no JWKS: a JSON object like {"keys": […]}, with no name twice'),
    ("jwks_file = 'bytes.json'", "jwks_file: {folder}/bytes.json is no UTF-8 text"),
    ("jwks_file = 'big.json'", "jwks_file: {folder}/big.json is larger than 256 KiB; is it the right file?"),
    ("jwks_file = 'oct.json'", "jwks_file: oct.json: key number 2 is symmetric: whoever can verify with it could sign with it"),
    ("jwks_file = 'private.json'", "jwks_file: private.json: the key 'p' is a private key: whoever can read it can sign; make a new one"),
    ("jwks_file = 'twice.json'", "jwks_file: twice.json holds two keys with the same kid"),
    ("jwks_file = 'ed.json'\nalgorithms = ['RS256']", "jwks_file: holds no key for RS256; correct algorithms"),
    ("public_key_files = ['one.pem', 'private.pem']", "public_key_files: private.pem holds a private key; rosterd needs only the public one: …"),
    ("public_key_files = ['weak.pem']", "public_key_files: weak.pem: key number 1 has 1024 bits; RSA keys have 2048 to 8192"),
    ("public_key_files = ['empty.pem']", "public_key_files: {folder}/empty.pem is empty"),
    ("public_key_files = ['garbage.json']", 'public_key_files: garbage.json is not one public key in PEM ("-----BEGIN PUBLIC KEY-----")'),
]


@pytest.mark.parametrize(("lines", "said"), MISTAKES, ids=[said[:60] for _, said in MISTAKES])
def test_a_mistake_in_a_table_is_named(keys: Any, lines: str, said: str) -> None:
    """One mistake gives one line, with the issuer, the key and what to do."""
    (problem,) = keys.problems(table(lines))
    expected = f"[[auth.issuer]] https://idp.example: {said}".replace("{folder}", str(keys.path))
    assert problem.startswith(expected.removesuffix("…")) if expected.endswith("…") else problem == expected


def test_no_two_tables_speak_of_the_same_issuer(keys: Any) -> None:
    """Nor one of rosterd's own; all mistakes come at once, and no key is repeated in them."""
    problems = keys.problems("\n".join((table(URL), table(URL), table("public_key_files = ['private.pem']", issuer="rosterd"))))
    assert problems == [
        "[[auth.issuer]] https://idp.example: issuer: stands twice; two tables cannot speak of the same issuer",
        "[[auth.issuer]] rosterd: issuer: is rosterd's own issuer, whose tokens need no table",
        "[[auth.issuer]] rosterd: public_key_files: private.pem holds a private key; rosterd needs only the public one: openssl pkey -in KEY -pubout",
    ]
    assert json.dumps(IDP.private_pem.splitlines()[1])[1:-1] not in "\n".join(problems)


def test_a_proxy_needs_a_place_that_it_comes_from(folder: Any, replaced: Any) -> None:
    """Without a unix socket or trusted proxies the table is a mistake; a header that means something else is one too."""
    (problem,) = folder.problems("[auth.proxy]\nheader = 'X-User'")
    assert problem == (
        "[auth.proxy] header: would be believed from nobody; set [http] unix_socket (better) or trusted_proxies to where the proxy comes from"
    )
    for http in ("unix_socket = '/run/rosterd/http.sock'", "trusted_proxies = ['10.0.0.7']"):
        config = folder.load(f"[http]\n{http}\n[auth.proxy]\nheader = 'X-User'\nmatch = 'external_id'")
        assert config.api.proxy == ProxySettings("x-user", "external_id", "corp")
    taken = (
        "Authorization", "Proxy-Authorization", "X-Api-Key", "X-BF-VK", "X-Goog-Api-Key", "X-Forwarded-For", "X-Forwarded-User", "Forwarded",
        "X-Real-IP", "Via", "Cookie", "User-Agent", "Host", "Origin", "Referer", "Accept", "Accept-Language", "Content-Type", "Content-Length",
        "CONTENT-ENCODING", "If-None-Match", "Sec-Fetch-Site", "Connection", "Keep-Alive", "TE", "Trailer", "Transfer-Encoding", "Upgrade",
        "X-Request-Id",
    )  # fmt: skip
    for header in (*taken, "X User", "X_User"):
        said = "means something else already" if header in taken else "is no name of a header"
        (problem,) = folder.problems(f"[http]\n{http}\n[auth.proxy]\nheader = '{header}'")
        assert said in problem
    for header in ("X-Remote-User", "Remote-User", "X-Auth-Request-Preferred-Username", "X-SSL-Client-CN", "Accepted-User", "X-Cookie"):
        assert folder.load(f"[http]\n{http}\n[auth.proxy]\nheader = '{header}'").api.proxy.header == header.lower()
    (problem,) = folder.problems(f"[http]\n{http}\n[auth.proxy]\nmatch = 'email'")
    assert problem == '[auth.proxy] match: must be one of "username", "external_id"'


def test_a_proxy_speaks_of_one_source(folder: Any) -> None:
    """The only one need not be named; of several one must be, and it must be there."""
    http, proxy = "[http]\nunix_socket = '/run/rosterd/http.sock'", "[auth.proxy]\nmatch = 'username'"
    second = SMALL[SMALL.index("[[source]]") :].replace('"corp"', '"contractors"')
    for source in ("contractors", "corp"):
        config = folder.load(f"{second}\n{http}\n{proxy}\nsource = '{source}'")
        assert config.api.proxy == ProxySettings("x-remote-user", "username", source)
    (problem,) = folder.problems(f"{second}\n{http}\n{proxy}")
    assert problem == "[auth.proxy] source: must be named, because there are several: corp, contractors"
    for more in ("", second):
        (problem,) = folder.problems(f"{more}\n{http}\n{proxy}\nsource = 'cor'")
        assert problem == "[auth.proxy] source: there is no [[source]] named cor"
