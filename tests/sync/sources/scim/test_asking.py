"""How a provider is asked: who shows what to whom, over which wire, how often, and what is never done."""

from __future__ import annotations

import base64
import socket
import threading
import time
from pathlib import Path

import pytest

from sync.errors import ConfigError, SourceError, SourceRefused, SourceUnavailable
from sync.settings import ClientCredentials, Secret
from sync.sources import open_source
from sync.sources.scim.patience import seconds_of
from tests.servers.idp import make_certificate
from tests.servers.provider import Provider, error, found, http_date
from tests.sync.sources.scim.company import Company, ask_about, read, settings_of

S3CRET = "s3cret-that-nobody-may-see"


def refusal(url: str, **changed: object) -> SourceError:
    """Return what reading ends with; none of it shows the secret."""
    with pytest.raises(SourceError) as failure:
        read(url, **changed)
    seen: BaseException | None = failure.value
    while seen is not None:
        assert S3CRET not in f"{seen!r} {seen}" and base64.b64encode(f"rosterd:{S3CRET}".encode()).decode() not in f"{seen!r} {seen}"
        seen = seen.__cause__
    return failure.value


def test_a_bearer_token_is_shown(provider: Provider) -> None:
    """The token goes with every request; a wrong one is refused once and named without being shown."""
    provider.add("ada")
    provider.bearers = {S3CRET}
    assert read(provider.url, token=Secret(S3CRET)).usernames == ["ada"]
    provider.bearers = {"another"}
    provider.forget()
    assert refusal(provider.url, token=Secret(S3CRET)).code == "token_refused"
    assert len(provider.asked) == 1


def test_a_password_is_shown_and_refused_twice_at_most(provider: Provider, tmp_path: Path) -> None:
    """HTTP basic works, with characters of any script; after two refusals the provider is left alone until the secret changes."""
    provider.add("ada")
    provider.basic = ("rosterd", "pässword: with colon")
    assert read(provider.url, username="rosterd", password=Secret("pässword: with colon")).usernames == ["ada"]
    with Company(provider.url, tmp_path, username="rosterd", password=Secret(S3CRET)) as company:
        for _ in range(2):
            assert S3CRET not in str(company.fails("invalid_credentials"))
        provider.forget()
        assert "does not try again" in str(company.fails("invalid_credentials").error)
        assert provider.asked == []
        company.configure(password=Secret("pässword: with colon"))
        company.sync()


def test_client_credentials_are_granted_once(provider: Provider) -> None:
    """One token serves a whole read; id, secret and scope go to the token endpoint only."""
    provider.people(250)
    provider.client = ("rosterd", S3CRET)
    granting = ClientCredentials(provider.token_url, "rosterd", Secret(S3CRET), "scim.read")
    assert len(read(provider.url, oauth2=granting).usernames) == 250
    assert provider.granted == ["granted-1"]


@pytest.mark.parametrize(
    ("reply", "code"),
    [
        ((400, {}, b'{"error": "invalid_client", "error_description": "no such client"}'), "token_refused"),
        ((200, {}, b"<html>log in</html>"), "token_refused"),
        ((200, {}, b'{"access_token": "two words"}'), "token_refused"),
        ((200, {}, b'{"access_token": 5}'), "token_refused"),
        ((302, {"location": "https://login.example.com/"}, b""), "token_refused"),
        ((503, {}, b""), "token_unavailable"),
        ((200, {}, b" " * 70_000), "answer_too_big"),
    ],
)
def test_a_token_endpoint_that_grants_nothing(
    provider: Provider, monkeypatch: pytest.MonkeyPatch, reply: tuple[int, dict[str, str], bytes], code: str
) -> None:
    """Whatever the token endpoint answers instead of a token fails the run, and the secret stays out of it."""
    monkeypatch.setattr(provider, "grant", lambda form, headers: reply)
    granting = ClientCredentials(provider.token_url, "rosterd", Secret(S3CRET))
    assert refusal(provider.url, oauth2=granting).code == code
    assert provider.asked == []


def test_a_certificate_is_verified(tmp_path: Path) -> None:
    """Over TLS the provider's certificate must be of a known authority: of the system's, or of ca_file."""
    ca_file, chain = make_certificate(tmp_path)
    with Provider(chain) as provider:
        provider.add("ada")
        assert read(provider.url, ca_file=ca_file).usernames == ["ada"]
        assert refusal(provider.url).code == "tls_not_verified"
        assert refusal(provider.url, ca_file=tmp_path / "nowhere").code == "tls_files"
        assert refusal(provider.url.replace("127.0.0.1", "localhost"), ca_file=ca_file).code == "tls_not_verified"


def test_a_provider_that_speaks_no_tls(provider: Provider) -> None:
    """A plain port behind https:// is named as that."""
    assert refusal(provider.url.replace("http:", "https:")).code == "tls_failed"


@pytest.mark.parametrize(
    ("url", "fine"),
    [
        ("http://scim.example.com/scim/v2", False),
        ("ftp://scim.example.com/", False),
        ("http://127.0.0.1.example.com/", False),
        ("https://scim.example.com/scim/v2", True),
        ("http://[::1]:8080/v2", True),
    ],
)
def test_nothing_is_sent_in_the_clear(url: str, fine: bool) -> None:
    """Plain http goes to this machine only, for providers and for token endpoints, unless somebody says that it is meant."""
    for settings in (settings_of(url), settings_of("https://x.example", oauth2=ClientCredentials(url, "id", Secret("s")))):
        if fine:
            assert open_source(settings)
        else:
            with pytest.raises(ConfigError, match="in the clear"):
                open_source(settings)
    assert open_source(settings_of("http://scim.example.com/", allow_plaintext=True))


def test_nobody_is_there() -> None:
    """A closed port and a host that does not exist are told apart."""
    assert refusal("http://127.0.0.1:1/scim").code == "unreachable"
    assert refusal("https://no-such-host.invalid/scim").code == "unknown_host"


def test_silence_has_an_end() -> None:
    """A provider that accepts and says nothing is given up after read_timeout."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        began = time.monotonic()
        assert refusal(f"http://127.0.0.1:{silent.getsockname()[1]}/scim", read_timeout=0.3).code == "read_timeout"
        assert time.monotonic() - began < 5


def test_dripping_has_an_end() -> None:
    """An answer that comes octet by octet is given up after ten times read_timeout."""

    def drip(server: socket.socket) -> None:
        connection, _ = server.accept()
        with connection:
            connection.recv(4096)
            connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n")
            try:
                for _ in range(1000):
                    connection.sendall(b" ")
                    time.sleep(0.02)
            except OSError:
                return

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=drip, args=(server,))
        thread.start()
        assert refusal(f"http://127.0.0.1:{server.getsockname()[1]}/scim", read_timeout=0.05).code == "read_timeout"
        thread.join()


def test_a_broken_connection_is_tried_again(provider: Provider) -> None:
    """One answer that breaks off in the middle costs a repetition, not the run."""
    provider.people(150)
    broken = (200, {"content-length": "5000"}, b'{"totalResults": 3, "Resources": []')
    provider.before_page = lambda number: provider.answers.extend([broken] * (number == 2))
    assert len(set(read(provider.url).usernames)) == 150


def test_ids_stay_one_segment_of_the_path(provider: Provider) -> None:
    """An id with slashes, dots and percent signs is asked for as itself, never as another path."""
    strange = ["a/../b", "../Groups/g-all", "50%2F50", "ü ?#&", "a\\b"]
    for number, one in enumerate(strange):
        provider.add(f"p{number}", id=one)
    assert sorted(person.external_id for person in read(provider.url).persons) == sorted(strange)
    with open_source(settings_of(provider.url)).open() as reading:
        assert [person.external_id for person in reading.find_ids(strange).persons] == strange
    assert {one.verdict for one in ask_about(provider.url, "../Users", "x/..").values()} == {"departed"}
    assert not [path for path, _ in provider.asked if path.startswith("Groups/")]


def test_a_token_never_follows_a_redirect(provider: Provider) -> None:
    """A redirect is refused, and whoever it points to is not asked."""
    with Provider() as thief:
        provider.bearers = {S3CRET}
        provider.always["*"] = (307, {"location": f"{thief.url}/Users"}, b"")
        assert refusal(provider.url, token=Secret(S3CRET)).code == "redirected"
        assert thief.asked == []


def test_proxies_of_the_environment_are_not_used(provider: Provider, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither HTTP_PROXY nor .netrc decide where a request goes and what it carries."""
    provider.add("ada")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
    assert read(provider.url).usernames == ["ada"]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("7", 7), (" 7 ", 7), ("0", 0), ("Thu, 01 Jan 1970 00:01:00 GMT", 10), ("Thu, 01 Jan 1970 00:00:00 GMT", 0), ("soon", None), ("-5", None),
     ("1e9", None), ("", None), ("9" * 400, 999_999_999), ("Thu, 01 Jan 1970 00:01:00", 10)],
)  # fmt: skip
def test_retry_after_in_both_forms(text: str, seconds: float | None) -> None:
    """Seconds and dates are understood, a date that has passed means now, and anything else means nothing."""
    assert seconds_of(text, 50.0) == seconds


def test_an_error_repeats_the_providers_words(provider: Provider) -> None:
    """A refusal carries what the provider said, on one line and not too much of it."""
    provider.always["Users"] = error(403, "you\r\nshall not " + "pass " * 200)
    said = refusal(provider.url)
    assert isinstance(said, SourceRefused) and "you shall not pass" in said.message and len(said.message) < 500
    provider.always["Users"] = (500, {}, b"\xff\xfe<html>")
    assert isinstance(refusal(provider.url), SourceUnavailable)


def test_every_kind_of_wait_is_bounded(provider: Provider) -> None:
    """A Retry-After that nobody can read is treated as none."""
    provider.add("ada")
    for after in ("soon", http_date(-100), "0"):
        provider.answers.append((503, {"retry-after": after}, b""))
    began = time.monotonic()
    assert read(provider.url).usernames == ["ada"]
    assert time.monotonic() - began < 5


def test_an_answer_may_call_itself_what_it_likes(provider: Provider) -> None:
    """What an answer calls itself does not matter; what it is does."""
    provider.answers.append((200, {"content-type": "text/plain"}, found({"totalResults": 0, "Resources": []})[2]))
    assert read(provider.url).proof.complete
