"""Key sets fetched in the background from real TLS servers that hang, redirect, lie and change their keys: the last good set stays."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest

from api.auth.foreign import ForeignIssuers
from api.auth.published import Published
from api.settings import ApiSettings, IssuerSettings
from daemon import keysets
from daemon.keysets import KeySets, Pace, Unfetched, fetch
from sync.ids import now_ms
from tests.daemon.installation import Installation, Running, wait_for
from tests.servers.idp import Idp, KeyServer, jwks, make_certificate

IDP = Idp()
QUICK = Pace(every=0.1, again=0.02, at_most=0.02)
ME = "/api/users/me/virtual-keys"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[KeyServer]:
    with KeyServer(tmp_path, IDP.jwks) as running:
        yield running


def issuer_at(server: KeyServer, *may: str) -> IssuerSettings:
    return IssuerSettings(IDP.issuer, "rosterd", jwks_url=server.url, ca_file=server.ca_file, may=may or ("virtual-key",), role_claim="role")


def refused(issuer: IssuerSettings) -> str:
    """Return why a fetch fails."""
    with pytest.raises(Unfetched) as caught:
        asyncio.run(fetch(issuer))
    return str(caught.value)


def test_a_key_set_is_what_its_own_server_says(server: KeyServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the right authority, a 200, no redirect, small, uncompressed, and in time; else there is none."""
    issuer = issuer_at(server)
    assert asyncio.run(fetch(issuer)) == IDP.jwks.encode()
    (tmp_path / "other").mkdir()
    stranger, _ = make_certificate(tmp_path / "other")
    assert "CERTIFICATE_VERIFY_FAILED" in refused(replace(issuer, ca_file=stranger))
    assert "CERTIFICATE_VERIFY_FAILED" in refused(replace(issuer, ca_file=None))
    assert "CERTIFICATE_VERIFY_FAILED" in refused(replace(issuer, jwks_url=server.url.replace("127.0.0.1", "localhost")))
    assert "ConnectError" in refused(replace(issuer, jwks_url="https://127.0.0.1:1/jwks"))
    for server.status in (204, 404, 500):
        assert refused(issuer) == f"status {server.status}"
    server.status, server.headers, asked = 302, {"location": server.url + "/other"}, server.asked
    assert refused(issuer) == "status 302; redirects are not followed"
    assert server.asked == asked + 1
    server.status, server.headers = 200, {"content-encoding": "gzip"}
    assert refused(issuer) == "the answer is compressed, which was not asked for"
    server.headers, server.body = {}, b" " * 10_000_000
    assert refused(issuer) == "the answer is larger than 256 KiB"
    server.headers = {"content-length": "5"}  # it says little and sends much
    assert len(asyncio.run(fetch(issuer))) == 5
    monkeypatch.setattr(keysets, "TIMEOUT", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as deaf:  # no handshake either
        mute = replace(issuer, jwks_url=f"https://127.0.0.1:{deaf.getsockname()[1]}/")
        assert refused(mute) == "no whole answer within 0.3 seconds"
        with monkeypatch.context() as patch:  # whichever of the two clocks is first
            patch.setattr(asyncio, "timeout", lambda seconds: nullcontext())
            assert refused(mute) == "no whole answer within 0.3 seconds"
    server.headers, server.body = {"content-length": "100000"}, b"{"  # it begins and never ends
    server.hangs = True
    began = time.monotonic()
    assert refused(issuer) == "no whole answer within 0.3 seconds"
    assert time.monotonic() - began < 3


def test_fetches_that_hang_are_in_nobody_elses_way(server: KeyServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that sends an octet of its headers now and then holds up its own issuer, with a few threads, and no other issuer."""
    monkeypatch.setattr(keysets, "TIMEOUT", 0.3)
    (tmp_path / "slow").mkdir()
    with KeyServer(tmp_path / "slow") as slow:
        slow.drips = True
        said = [refused(issuer_at(slow)) for _ in range(40)]
        assert set(said) == {"no whole answer within 0.3 seconds", "the fetches before hang still"}
        wait_for(lambda: sum(one.name == "keys of an issuer" for one in threading.enumerate()) <= keysets.AT_ONCE, "those that were refused to end")
        monkeypatch.setattr(keysets, "TIMEOUT", 10.0)
        assert asyncio.run(fetch(issuer_at(server))) == IDP.jwks.encode()


def test_a_machine_without_threads_ends_no_following(server: KeyServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is one more failed fetch: the issuer is asked again."""
    issuer, start, left = issuer_at(server), threading.Thread.start, [2]

    def refuse(thread: threading.Thread) -> None:
        if thread.name == "keys of an issuer" and left[0]:
            left[0] -= 1
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", refuse)

    async def test(published: Published, _: KeySets) -> None:
        await until(lambda: published.keys_of(issuer).keys)

    following(server, test)
    assert left == [0]


def following(server: KeyServer, test: Callable[[Published, KeySets], Awaitable[None]], pace: Pace = QUICK) -> None:
    """Follow the server's key set while `test` runs."""

    async def scenario() -> None:
        published = Published()
        followed = KeySets(published, pace)
        await followed.follow([issuer_at(server)])
        try:
            await test(published, followed)
        finally:
            began = time.monotonic()
            await followed.stop()
            assert time.monotonic() - began < 1, "nothing that hangs holds up the end"

    asyncio.run(scenario())


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("body", ["", "<html>", '{"keys": []}', '{"keys": [{"kty": "oct", "k": "c2VjcmV0"}]}', " " * 10_000_000])
def test_the_last_good_set_stays_whatever_comes_after(server: KeyServer, body: str, caplog: pytest.LogCaptureFixture) -> None:
    """Garbage, nothing, secrets: one warning, however often it is tried; and one word when it is well again."""
    issuer, successor = issuer_at(server), Idp(IDP.issuer, kid="k2")

    async def test(published: Published, _: KeySets) -> None:
        await until(lambda: published.keys_of(issuer).keys)
        good, server.body, asked = published.keys_of(issuer), body.encode(), server.asked
        await until(lambda: server.asked > asked + 3)
        assert published.keys_of(issuer) is good
        server.body = jwks(IDP, successor).encode()
        await until(lambda: len(published.keys_of(issuer).keys) == 2)

    with caplog.at_level(logging.INFO, logger="daemon.keysets"):
        following(server, test)
    assert [record.event for record in caplog.records] == ["keys.fetched", "keys.unfetched", "keys.fetched", "keys.recovered"]  # type: ignore[attr-defined]


@pytest.mark.parametrize("role", ["admin", "operator", "lookup"])
def test_keys_that_give_a_role_do_not_outlive_a_day_without_a_fetch(
    server: KeyServer, role: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever blocks the URL keeps no revoked key good: its tokens are refused, also after a reload; told once, and well again with the next set."""
    issuer, other = issuer_at(server, "virtual-key", role), replace(issuer_at(server), issuer="keys-only")
    now = SimpleNamespace(hours=0)
    monkeypatch.setattr(keysets, "time", SimpleNamespace(monotonic=lambda: now.hours * 3600.0))

    async def scenario() -> None:
        published = Published()
        followed = KeySets(published, QUICK)
        believed = ForeignIssuers(ApiSettings("rosterd", "rosterd", (), issuers=(issuer,)), published, now_ms)
        token = IDP.token(role=role)
        await followed.follow([issuer, other])
        await until(lambda: believed.read(token) and published.keys_of(other).keys)
        for _ in range(3):
            now.hours += 20
            await until(lambda: set(followed._fetched.values()) == {now.hours * 3600.0})
        assert believed.read(token), "a set that is fetched again and again does not age"
        server.status = 503
        for hours in (0, 23):
            now.hours, asked = now.hours + hours, server.asked
            await until(lambda asked=asked: server.asked > asked + 4)
            assert believed.read(token), "a day without a fetch costs nobody anything"
        await followed.follow([issuer, other])
        now.hours += 2
        await until(lambda: believed.read(token) is None)  # a reload makes it no younger
        asked = server.asked
        await followed.follow([issuer, other])
        await until(lambda: server.asked > asked + 6)
        assert believed.read(token) is None
        assert published.keys_of(other).keys, "whoever gives no role keeps its own"
        server.status = 200
        await until(lambda: believed.read(token))
        await followed.stop()

    with caplog.at_level(logging.INFO, logger="daemon.keysets"):
        asyncio.run(scenario())
    assert [record.issuer for record in caplog.records if record.event == "keys.too_old"] == [IDP.issuer]  # type: ignore[attr-defined]


def test_a_set_that_did_not_change_is_the_same_set(server: KeyServer) -> None:
    """So what was verified with it stays remembered."""
    issuer = issuer_at(server)

    async def test(published: Published, _: KeySets) -> None:
        await until(lambda: published.keys_of(issuer).keys)
        first, asked = published.keys_of(issuer), server.asked
        await until(lambda: server.asked > asked + 2)
        assert published.keys_of(issuer) is first

    following(server, test)


def test_an_unknown_key_is_asked_for_soon_but_not_often(server: KeyServer) -> None:
    """However many tokens name it: at most once in `at_most`."""
    issuer = issuer_at(server)

    async def test(published: Published, _: KeySets) -> None:
        await until(lambda: published.keys_of(issuer).keys)
        began, wishes = time.monotonic(), 0
        while server.asked < 3:
            published.want(issuer)
            wishes += 1
            await asyncio.sleep(0.005)
        assert 1.0 <= time.monotonic() - began + 0.1 < 5
        assert wishes > 50
        asked = server.asked
        await asyncio.sleep(1.2)
        assert server.asked <= asked + 1

    following(server, test, Pace(every=3600, again=3600, at_most=0.5))


def test_one_issuer_that_hangs_holds_up_no_other(server: KeyServer, tmp_path: Path) -> None:
    """Each has a task of its own, and none is waited for."""
    (tmp_path / "slow").mkdir()

    async def scenario(slow: KeyServer) -> None:
        published, hanging = Published(), replace(issuer_at(slow), issuer="slow")
        followed = KeySets(published, QUICK)
        began = time.monotonic()
        await followed.follow([hanging, issuer_at(server)])
        assert time.monotonic() - began < 1
        await until(lambda: slow.asked and published.keys_of(issuer_at(server)).keys)
        assert not published.keys_of(hanging).keys
        await followed.follow([hanging])
        assert not published.keys_of(issuer_at(server)).keys, "whoever is not followed any more is forgotten"
        await followed.stop()
        assert time.monotonic() - began < 5

    with KeyServer(tmp_path / "slow") as slow:
        slow.hangs = True
        asyncio.run(scenario(slow))


def believe(installation: Installation, server: KeyServer) -> None:
    """Let the daemon believe the issuer's tokens for keys and for admin."""
    installation.configure(
        more=f'\n[[auth.issuer]]\nissuer = "{IDP.issuer}"\naudience = "rosterd"\njwks_url = "{server.url}"\njwks_ca_file = "authority.pem"\n'
        'may = ["virtual-key", "admin"]\nrole_claim = "role"\n'
    )


def answer(daemon: Running, idp: Idp, path: str = "/api/users", **claims: object) -> httpx.Response:
    return daemon.get(path, {"Authorization": f"Bearer {idp.token(**claims)}"})


def test_the_daemon_learns_the_keys_of_an_issuer_and_its_new_ones(installation: Installation, server: KeyServer) -> None:
    """Down at its start: 401, and soon good; after a reload the new keys count, and the old ones do not; no request ever fetches."""
    believe(installation, server)
    server.status, successor = 503, Idp(IDP.issuer, kid="k2")
    with installation.serve().ready() as daemon:
        wait_for(lambda: server.asked, "a first fetch")
        assert answer(daemon, IDP, role="admin").status_code == 401
        server.status = 200
        wait_for(lambda: daemon.log.count("an issuer has published keys") == 1, "the keys")
        assert answer(daemon, IDP, role="admin").status_code == 200
        installation.ended_runs(1)
        key = answer(daemon, IDP, "/api/governance/virtual-keys", role="admin").json()["virtual_keys"][0]
        seen = answer(daemon, IDP, ME, vk=key["id"])
        assert (seen.status_code, seen.json()["virtual_keys"][0]["id"]) == (200, key["id"])
        assert answer(daemon, successor, role="admin").status_code == 401
        server.body = successor.jwks.encode()
        daemon.tell(signal.SIGHUP)
        wait_for(lambda: daemon.log.count("an issuer has published keys") == 2, "the new keys")
        assert answer(daemon, successor, role="admin").status_code == 200
        assert answer(daemon, IDP, role="admin").status_code == 401
        server.body, asked = b"garbage", server.asked
        daemon.tell(signal.SIGHUP)
        wait_for(lambda: daemon.log.count("the keys of an issuer cannot be fetched") == 2, "another fetch")
        assert answer(daemon, successor, role="admin").status_code == 200, "the last good set stays"
        asked, began = server.asked, time.monotonic()
        for number in range(30):
            assert answer(daemon, Idp(IDP.issuer, kid=f"k{number}"), role="admin").status_code in (401, 429)
        assert server.asked - asked <= 1 + (time.monotonic() - began) / 4, "tokens that name unknown keys lead to no more fetches"
        assert daemon.end() == 0
        assert daemon.log.count("the keys of an issuer cannot be fetched") == 2


def test_an_issuer_that_hangs_holds_up_nothing(installation: Installation, server: KeyServer) -> None:
    """Start, lookups, reload and end are as quick as ever."""
    believe(installation, server)
    server.hangs = True
    admin = installation.token("admin")
    with installation.serve().ready() as daemon:
        wait_for(lambda: server.asked, "a first fetch")
        began = time.monotonic()
        assert daemon.get("/api/users", admin).status_code == 200
        assert answer(daemon, IDP, role="admin").status_code == 401
        daemon.tell(signal.SIGHUP)
        wait_for(lambda: "the new configuration is in force" in daemon.log, "the reload")
        assert daemon.get("/api/users", admin).status_code == 200
        assert daemon.end() == 0
        assert time.monotonic() - began < 8, "less than one fetch may take"
