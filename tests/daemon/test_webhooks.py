"""Webhooks: what is told, once, signed, in order, again until it is taken, and never a secret."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from daemon.config.settings import WebhookSettings
from daemon.config.tables import TOLD
from daemon.demo.responder import Responder
from daemon.webhooks import Refused, Webhook
from sync.settings import Secret
from sync.store import alarms, events
from sync.store.engine import Store
from tests.daemon.installation import Installation, wait_for
from tests.servers.receiver import Receiver
from tests.sync.world import World

SECRET = "a-secret-of-thirty-two-characters-or-more"
ALL = frozenset(TOLD)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver(SECRET) as running:
        yield running


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.store.close()


def hook(store: Store, receiver: Receiver, kinds: frozenset[str] = ALL) -> Webhook:
    """Return a webhook to the receiver that is told what happens from now on."""
    made = Webhook(store, WebhookSettings(Secret(receiver.url), Secret(SECRET), kinds))
    events.declare_readers(store, [made.reader])
    return made


def test_a_delivery_is_signed_and_names_people_by_address(world: World, receiver: Receiver) -> None:
    """Only the kinds asked for; the receiver's own check of the signature passes; what was taken is not sent again."""
    webhook = hook(world.store, receiver, frozenset({"key.issued"}))
    world.directory.add("ann", "ann@corp.example")
    world.sync()
    assert webhook.deliver() == 1 and webhook.deliver() == 0
    ((headers, delivery),) = receiver.seen
    assert [(event["kind"], event["email"], event["by"]) for event in delivery["events"]] == [("key.issued", "ann@corp.example", "sync")]
    assert headers["x-roster-delivery"] == delivery["delivery"]
    (value,) = (value for value, _ in world.keys("ann@corp.example"))
    assert value not in str(receiver.seen)


def test_what_is_not_taken_is_sent_again_in_order_under_the_same_name(world: World, receiver: Receiver) -> None:
    """A refusal, a redirect and a closed port lose nothing, and nothing later overtakes it."""
    webhook = hook(world.store, receiver)
    world.directory.add("ann", "ann@corp.example")
    world.sync()
    for receiver.status in (500, 302, 404):
        with pytest.raises(Refused, match=f"answered {receiver.status}"):
            webhook.deliver()
    receiver.status, receiver.headers = 429, {"Retry-After": "7"}
    with pytest.raises(Refused) as refused:
        webhook.deliver()
    assert refused.value.wait == 7
    world.directory.add("bob", "bob@corp.example")
    world.sync()
    receiver.status = 200
    assert webhook.deliver() == 2
    assert [event["email"] for event in receiver.taken[0]["events"]] == ["ann@corp.example", "bob@corp.example"]
    unreachable = Webhook(world.store, WebhookSettings(Secret("http://127.0.0.1:1/T0P-S3CR3T"), Secret(SECRET), ALL))
    events.declare_readers(world.store, [unreachable.reader])
    world.directory.add("cyd", "cyd@corp.example")
    world.sync()
    with pytest.raises(Refused) as refused:
        unreachable.deliver()
    assert "T0P" not in str(refused.value) and refused.value.__cause__ is None


def test_a_new_receiver_is_told_what_happens_from_now_on(world: World, receiver: Receiver) -> None:
    """And one that is taken out of the configuration holds nothing up any more."""
    gone = Webhook(world.store, WebhookSettings(Secret(receiver.url + "/old"), Secret(SECRET), ALL))
    events.declare_readers(world.store, [gone.reader])
    world.directory.add("ann", "ann@corp.example")
    world.sync()
    webhook = hook(world.store, receiver)
    assert webhook.deliver() == 0
    events.advance(world.store, events.AUDIT, events.unread(world.store, events.AUDIT)[-1].event)
    assert events.unread(world.store, gone.reader) == []


def test_what_is_not_taken_for_days_is_forgotten(world: World, receiver: Receiver) -> None:
    """A dead receiver does not grow the store; what the audit file has not been told is kept all the same."""
    webhook = hook(world.store, receiver)
    world.directory.add("ann", "ann@corp.example")
    world.sync()
    told = events.unread(world.store, events.AUDIT)[-1].event
    world.clock.forward(days=4)
    world.directory.add("bob", "bob@corp.example")
    world.sync()
    events.advance(world.store, events.AUDIT, told)
    assert webhook.deliver() == 1
    assert [event["email"] for event in receiver.taken[0]["events"]] == ["bob@corp.example"]


def test_people_who_go_are_told_by_how_they_go(world: World, receiver: Receiver) -> None:
    """Disabled, missing, removed: once each."""
    world.guard(grace=0)
    world.people(30)
    world.sync()
    webhook = hook(world.store, receiver)
    world.directory.change("id-p1", enabled=False)
    del world.directory.people["id-p2"]
    for _ in range(4):
        world.sync()
    while webhook.deliver():
        pass
    assert sorted(receiver.kinds) == ["user.disabled", "user.missing", "user.removed"]


def test_a_failing_source_is_told_once_until_it_has_succeeded(world: World, receiver: Receiver) -> None:
    """One notification for a row of failures, not one per cycle; dry runs tell nobody."""
    world.people(20)
    world.sync()
    webhook = hook(world.store, receiver)
    people = world.directory.people
    for shown, dry_run, expect in (
        ({}, True, "failed"), ({}, False, "failed"), ({}, False, "failed"), (people, False, "succeeded"),
        ({}, False, "failed"), ({}, False, "failed"),
    ):  # fmt: skip
        world.clock.forward(seconds=60)
        world.directory.people = shown
        world.sync(dry_run=dry_run, expect=expect)
    webhook.deliver()
    assert receiver.kinds == ["run.failed", "run.failed"]
    assert receiver.taken[0]["events"][0]["detail"]["code"] == "empty_answer"


def test_a_hold_is_told_once_for_each_distinct_set(world: World, receiver: Receiver) -> None:
    """The same people withheld again are no news; one more is."""
    world.people(100)
    world.sync()
    webhook = hook(world.store, receiver)
    for count in (20, 20, 21):
        for number in range(count):
            world.directory.people.pop(f"id-p{number}", None)
        world.clock.forward(seconds=60)
        world.sync(expect="held")
    webhook.deliver()
    assert [(event["kind"], event["detail"]["people"]) for event in receiver.taken[0]["events"]] == [("run.held", 20), ("run.held", 21)]


def test_a_stale_source_is_told_once_until_it_was_read(world: World, receiver: Receiver) -> None:
    """However often anybody looks, and however many daemons do."""
    world.guard(stale_after=3600)
    world.people(3)
    world.sync()
    webhook = hook(world.store, receiver)
    told = []
    for seconds in (0, 3601, 10):
        world.clock.forward(seconds=seconds)
        told += [alarms.note_stale(world.store), alarms.note_stale(world.store)]
    world.sync()
    told += [alarms.note_stale(world.store)]
    world.clock.forward(seconds=3601)
    told += [alarms.note_stale(world.store)]
    webhook.deliver()
    assert told == [[], [], ["corp"], [], [], [], [], ["corp"]]
    assert receiver.kinds == ["source.stale", "source.stale"]


def test_the_running_daemon_tells_and_keeps_the_url_to_itself(tmp_path: Path, receiver: Receiver) -> None:
    """From a sync to the receiver, which was down at first; URL and secret stand in no log."""
    with Responder() as responder:
        installation = Installation(tmp_path, responder)
        installation.secret("webhook.url", receiver.url)
        installation.secret("webhook.secret", SECRET)
        table = '[[webhook]]\nurl_file = "webhook.url"\nsecret_file = "webhook.secret"\nevents = ["key.issued"]\n'
        installation.configure(more=table)
        receiver.status = 503
        with installation.serve().ready() as daemon:
            installation.ended_runs(1)
            wait_for(lambda: receiver.seen, "a first attempt")
            receiver.status = 200
            wait_for(lambda: len(receiver.kinds) >= 29, "the delivery")
            assert daemon.end() == 0
            assert "a webhook does not take what it is sent" in daemon.log
            assert "T0P-S3CR3T" not in daemon.log and SECRET not in daemon.log
