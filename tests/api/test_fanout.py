"""A token that may ask for anybody: how many it may read, and when it is told that it reads many."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from api.auth import fanout
from api.auth.fanout import BOUND_MS, KNOWN_MS, MANY, WITHIN_MS, Fanout, FanoutAlarm
from api.auth.passes import Pass
from api.errors import Refusal
from api.metrics import Metrics
from sync.ids import now_ms
from sync.store import events
from sync.store.events import Happening
from tests.api.world import Company
from tests.stores import STORES
from tests.sync.world import World

MDM = Pass("lookup", "jti-1", 2**40)
BOUNDED = Pass("lookup", "jti-2", 2**40, max_users=3)


def told(company: Company) -> list[Happening]:
    return [one for one in events.unread(company.store, "audit") if one.kind == "lookup.fanout"]


def read_all(counted: Fanout, said: Pass, users: int, now: int, client: str = "10.0.0.1") -> int:
    """Let a token read so many users; return how many it was refused."""
    refused = 0
    for number in range(users):
        try:
            counted.admit(said, f"user-{number}", client, now)
        except Refusal as refusal:
            assert (refusal.status, refusal.code) == (403, "too_many_users")
            refused += 1
    return refused


# -- the bound -------------------------------------------------------------------------------------------------------------


def test_a_bounded_token_reads_so_many_users_and_no_more(company: Company) -> None:
    """The same ones go on being answered, aliases are no further users, who is not there does not count; and each token counts for itself."""
    for name in ("a", "b", "c"):
        company.add_user(f"{name}@example.com", f"alias-{name}@example.com")
    token, other = (company.token("lookup", max_users=2) for _ in range(2))
    for address in ("a", "nobody", "alias-a", "b", "a"):
        assert company.look_up(f"{address}@example.com", token).status_code == (404 if address == "nobody" else 200)
    refused = company.look_up("c@example.com", token)
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "too_many_users")
    assert "virtual_keys" not in refused.text and company.records()[-1]["outcome"] == "too_many_users"
    etag = company.look_up("a@example.com", token).headers["etag"]
    assert company.look_up("alias-b@example.com", token, if_none_match=etag).status_code == 200
    assert company.look_up("c@example.com", other).status_code == 200


def test_the_bound_outlives_a_reload(company: Company) -> None:
    """A new configuration is no new day: what was counted stays counted, for the daemon keeps it (as it keeps the metrics)."""
    for name in ("a", "b"):
        company.add_user(f"{name}@example.com")
    token = company.token("lookup", max_users=1)
    assert company.look_up("a@example.com", token).status_code == 200
    company.configure(key_sees="own")
    assert company.look_up("b@example.com", token).status_code == 403


def test_who_was_not_read_for_a_day_counts_no_more() -> None:
    """Any 24 hours hold at most so many; one who is read again and again goes on counting."""
    counted, now = Fanout(), now_ms()
    assert read_all(counted, BOUNDED, 5, now) == 2
    counted.admit(BOUNDED, "user-0", "10.0.0.1", now + BOUND_MS - 1)
    counted.admit(BOUNDED, "new-1", "10.0.0.1", now + BOUND_MS)
    counted.admit(BOUNDED, "new-2", "10.0.0.1", now + BOUND_MS)
    with pytest.raises(Refusal):
        counted.admit(BOUNDED, "new-3", "10.0.0.1", now + BOUND_MS)


@pytest.mark.parametrize("wrong", [{"role": "lookup", "max_users": 0}, {"role": "lookup", "max_users": 100_001}, {"role": "admin", "max_users": 5}])
def test_a_bound_that_makes_no_sense_is_refused(company: Company, wrong: dict[str, Any]) -> None:
    """None at all, more than are kept in memory, or for a token of another role: 400 at issue."""
    refused = company.ask("POST", "/api/tokens", company.token(), body=wrong)
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "invalid_max_users")


# -- the alarm -------------------------------------------------------------------------------------------------------------


def tell(company: Company, counted: Fanout) -> list[Happening]:
    """Have told what waits; return every event so far."""

    async def one_life() -> None:
        async with FanoutAlarm(counted, company.store, Metrics()).kept():
            pass

    asyncio.run(one_life())
    return told(company)


def test_an_address_that_is_new_to_a_token_and_reads_many_is_told_once(company: Company) -> None:
    """51 different users within an hour: one event with token and address; the next 49 readings, and the next day's, are no further one."""
    counted, now = Fanout(), now_ms()
    read_all(counted, MDM, MANY, now)
    assert tell(company, counted) == []
    read_all(counted, MDM, MANY + 50, now)
    (event,) = tell(company, counted)
    assert (event.by, event.jti) == ("lookup:jti-1", "jti-1")
    assert event.detail == {"client": "10.0.0.1", "users": MANY + 1, "why": "new_address", "hours": 1}
    read_all(counted, MDM, MANY + 50, now + BOUND_MS)
    assert len(tell(company, counted)) == 1


def test_the_mdm_server_is_known_after_a_restart_and_a_thief_is_not(company: Company) -> None:
    """What is known of an address is kept in the store; the same token from another address is told."""
    for client, expected in (("10.0.0.1", 1), ("10.0.0.1", 1), ("192.0.2.66", 2), ("10.0.0.1", 2)):
        counted = Fanout()
        read_all(counted, MDM, MANY + 1, now_ms(), client)
        assert len(tell(company, counted)) == expected
    assert [event.detail and event.detail["client"] for event in told(company)] == ["10.0.0.1", "192.0.2.66"]


def test_lookups_are_what_is_counted(company: Company) -> None:
    """Over HTTP, with an admin token too: who was found counts, whatever the answer looked like; a device token is never counted."""
    users = [company.add_user(f"user-{number}@example.com") for number in range(MANY + 1)]
    admin, device = company.token("admin"), company.token("device", user_id=users[0])
    for number in range(MANY):
        assert company.look_up(f"user-{number}@example.com", admin, accept="text/plain").status_code == 200
        assert company.look_up(f"nobody-{number}@example.com", admin).status_code == 404
        assert company.ask("GET", "/api/users/me/virtual-keys", device).status_code == 200
    assert not company.fanout.waiting
    assert company.look_up(f"user-{MANY}@example.com", admin).status_code == 200
    assert [(fan.role, fan.client) for fan in company.fanout.waiting] == [("admin", "127.0.0.1")]


def test_few_at_a_time_are_not_many() -> None:
    """Fifty an hour, every hour, is what a help desk does."""
    counted, now = Fanout(), now_ms()
    for hour in range(5):
        for number in range(MANY):
            counted.admit(MDM, f"user-{hour}-{number}", "10.0.0.1", now + hour * WITHIN_MS)
    assert not counted.waiting


def test_a_network_of_one_machine_is_one_address() -> None:
    """Whoever owns an IPv6 /64 cannot read a few users from each of its addresses."""
    counted, now = Fanout(), now_ms()
    for number in range(MANY + 1):
        counted.admit(MDM, f"user-{number}", f"2001:db8::{number:x}", now)
    assert len(counted.waiting) == 1


def test_many_addresses_that_read_few_each_are_told_once_a_day(company: Company) -> None:
    """Whoever owns an IPv6 /48, or many machines, reads 50 users from each: more than four times that within an hour is told, with the token."""
    now = now_ms()
    for _ in range(2):  # a restart does not tell it again
        counted = Fanout()
        for number in range(4 * MANY):
            counted.admit(MDM, f"user-{number}", f"2001:db8:0:{number // MANY:x}::1", now)
        assert not counted.waiting
        for number in range(4 * MANY, 20 * MANY):
            counted.admit(MDM, f"user-{number}", f"2001:db8:0:{number // MANY:x}::1", now)
        assert len(counted.waiting) == 1
        (event,) = tell(company, counted)
        assert (event.jti, event.detail) == ("jti-1", {"client": "2001:db8:0:4::1", "users": 4 * MANY + 1, "why": "new_addresses", "hours": 1})
    for number in range(5 * MANY):
        counted.admit(MDM, f"user-{number}", f"2001:db8:1:{number // MANY:x}::1", now + BOUND_MS)
    assert len(counted.waiting) == 1, "the next day it is"


def test_few_users_from_many_addresses_are_not_many() -> None:
    """The same users again, another token's, an hour later, or from servers that were told by themselves: not counted together."""
    counted, now = Fanout(), now_ms()
    for number in range(10 * MANY):
        counted.admit(MDM, f"user-{number % MANY}", f"10.0.{number}.1" if number < 256 else f"10.1.{number - 256}.1", now)
        counted.admit(Pass("lookup", f"jti-{number % 5 + 10}", 2**40), f"user-{number}", f"10.2.{number % 256}.1", now)
    for hour in range(1, 4):
        for number in range(4 * MANY):
            counted.admit(MDM, f"user-{hour}-{number}", f"10.3.{number // 40}.{hour}", now + hour * WITHIN_MS)
    assert not counted.waiting
    for server in range(10):
        for number in range(MANY + 20):
            counted.admit(MDM, f"user-{server}-{number}", f"10.4.0.{server}", now + 5 * WITHIN_MS)
    assert {fan.kind for fan in counted.waiting} == {"new_address"} and len(counted.waiting) == 10


def test_reaching_the_bound_is_told_once_a_day(company: Company) -> None:
    """However often it is refused, and however many restarts lie between."""
    for _ in range(2):
        counted = Fanout()
        assert read_all(counted, BOUNDED, 20, now_ms()) == 17
        (event,) = tell(company, counted)
        assert event.detail == {"client": "10.0.0.1", "users": 3, "why": "max_users", "hours": 24}


def test_what_is_known_is_forgotten_in_the_end(tmp_path: Path) -> None:
    """After 30 days without such a reading an address is new again; one that goes on reading stays known, and a bound is told every day."""
    world, counted = World(tmp_path), Fanout()

    async def note(said: Pass, users: int) -> int:
        read_all(counted, said, users, world.store.now())
        async with FanoutAlarm(counted, world.store, Metrics()).kept():
            pass
        return sum(one.kind == "lookup.fanout" for one in events.unread(world.store, "audit"))

    try:
        for days, expected in ((0, 1), (20, 1), (20, 1), (31, 2)):
            world.clock.forward(days=days)
            assert asyncio.run(note(MDM, MANY + 1)) == expected
        for expected in (3, 4, 5):
            world.clock.forward(days=1)
            assert asyncio.run(note(BOUNDED, 4)) == expected
        world.clock.forward(seconds=KNOWN_MS / 1000)
        asyncio.run(note(BOUNDED, 4))
        with world.store.read() as connection:
            kept = connection.execute(text("select name from meta where name like 'fanout:%'")).scalars().all()
        assert kept == ["fanout:jti-2:max_users"]
    finally:
        world.store.close()


def test_what_cannot_be_told_now_is_told_later(company: Company) -> None:
    """A store that does not answer costs no alarm."""
    counted = Fanout()
    read_all(counted, MDM, MANY + 1, now_ms())

    async def one_life() -> None:
        async with FanoutAlarm(counted, company.store, Metrics()).kept():
            pass

    with STORES.out_of_order(company.folder / "rosterd.db"):
        asyncio.run(one_life())
    assert len(counted.waiting) == 1
    assert len(tell(company, counted)) == 1 and not counted.waiting


def test_while_one_app_takes_over_from_another_each_is_told_once(company: Company) -> None:
    """A reload has two apps alive for a moment: nothing is told twice, nothing is lost."""
    counted = Fanout()
    for number in range(20):
        read_all(counted, MDM, MANY + 1, now_ms(), f"10.0.0.{number}")

    async def two_lives() -> None:
        alarms = [FanoutAlarm(counted, company.store, Metrics()) for _ in range(2)]
        async with alarms[0].kept(), alarms[1].kept():
            await asyncio.gather(*(alarm._tell() for alarm in alarms))

    asyncio.run(two_lives())
    assert {event.detail["client"] for event in told(company) if event.detail} == {f"10.0.0.{number}" for number in range(20)}
    assert len(told(company)) == 20


def test_memory_is_bounded() -> None:
    """Ten thousand addresses, and windows of tokens that are used no more, do not pile up."""
    counted, now = Fanout(), now_ms()
    for number in range(10_000):
        counted.admit(MDM, "somebody", f"10.{number // 65536}.{number // 256 % 256}.{number % 256}", now)
    assert len(counted._places) == fanout._MOST_PLACES
    for number in range(100):
        counted.admit(Pass("lookup", f"jti-{number}", 2**40, max_users=3), "somebody", "10.0.0.1", now + number * BOUND_MS)
    assert len(counted._bounded) == 1
    for number in range(2000):
        counted.admit(Pass("lookup", f"jti-{number}", 2**40), "somebody", "10.0.0.1", now)
    assert len(counted._together) == fanout._MOST_TOKENS
