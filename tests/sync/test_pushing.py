"""What an identity provider pushes becomes users, keys and holds in the commit that keeps it."""

from __future__ import annotations

from dataclasses import replace
from threading import Thread

import pytest
from sqlalchemy import text

from sync.run import perform
from sync.settings import Policy
from sync.store import addresses as store_addresses
from sync.store import forgetting, people, runs, sources
from sync.store.lease import Progress
from sync.store.pushedkeeping import Shelf
from sync.store.views import HoldView
from tests.sync.provider import Provider, resource
from tests.sync.world import World

ANN = "ann@corp.example"


@pytest.fixture
def okta(world: World) -> Provider:
    """A provider that pushes, and nothing else."""
    world.settings.pop("corp")
    return Provider(world)


def hold_of(provider: Provider) -> HoldView | None:
    return sources.get_source(provider.world.store, provider.name).open_hold


def state_of(world: World, address: str) -> str:
    return people.find_user(world.store, address).state


def settle_in(provider: Provider) -> None:
    """Let a day pass, so that nobody is new any more."""
    provider.world.clock.forward(days=1.1)


def old_hands(provider: Provider, count: int) -> list[str]:
    """Push people, and let them have been there for more than a day."""
    ids = [provider.post(f"p{number}", f"p{number}@corp.example") for number in range(count)]
    settle_in(provider)
    return ids


def test_a_push_answers_the_next_lookup(okta: Provider) -> None:
    """Whoever is pushed has a key at once; deactivated, it is inactive at once; activated again, it is the same key and user."""
    ann = okta.post("ann", "Ann@Corp.example")
    first = okta.world.lookup(ANN)
    value = okta.world.keys(ANN)
    assert [is_active for _, is_active in value] == [True]
    okta.patch(ann, active=False)
    assert okta.world.keys(ANN) == [(value[0][0], False)]
    okta.patch(ann, active=True)
    assert okta.world.keys(ANN) == value and okta.world.lookup(ANN).user_id == first.user_id and first.email == "Ann@Corp.example"
    [run] = okta.pushes()
    assert (run.state, run.mode, run.pages) == ("succeeded", "push", 3)
    assert {kind: run.counts[kind] for kind in ("added", "disabled", "enabled", "keys_issued")} == {
        "added": 1, "disabled": 1, "enabled": 1, "keys_issued": 1,
    }  # fmt: skip


def test_a_new_address_is_found_at_once(okta: Provider) -> None:
    """Somebody without an address is issued no key until one is pushed; the first of the type work comes before others, a primary before it."""
    ann = okta.post("ann")
    okta.patch(ann, emails=[{"value": "home@corp.local", "type": "home"}, {"value": "bob@corp.local", "type": "work"}])
    assert len(okta.world.keys("BOB@corp.local")) == 1 and okta.world.lookup("home@corp.local").email == "bob@corp.local"
    okta.patch(ann, emails=[{"value": "home@corp.local", "type": "home", "primary": True}, {"value": "bob@corp.local", "type": "work"}])
    assert okta.world.lookup("bob@corp.local").email == "home@corp.local"


def test_a_deletion_is_a_departure(okta: Provider) -> None:
    """After DELETE the keys are inactive at once, and the address is theirs for the grace; the same name pushed again is another user, who
    is issued a key when the address is free."""
    ann = okta.post("ann", ANN)
    value = okta.world.keys(ANN)[0][0]
    old = okta.world.lookup(ANN).user_id
    okta.delete(ann)
    assert okta.world.keys(ANN) == [(value, False)] and state_of(okta.world, ANN) == "missing"
    change = okta.world.changes(okta.pushes()[0], "missing")[0]
    assert change.reason == "was deleted by the provider" and f"DELETE Users/{ann}" in (change.evidence or "")
    okta.post("ann", ANN)
    assert okta.world.lookup(ANN).user_id == old, "a leaver's address answers with inactive keys, never with somebody else's"
    assert okta.pushes()[0].counts["contested"] == 1
    for _ in range(3):
        okta.world.clock.forward(days=3)
        okta.world.sync("okta")
    assert okta.world.lookup(ANN).user_id != old
    okta.world.sync("okta", mode="incremental")
    assert [is_active for _, is_active in okta.world.keys(ANN)] == [True] and okta.world.keys(ANN)[0][0] != value


def test_a_push_that_changes_nothing_leaves_no_run(okta: Provider) -> None:
    """The same again, or only what is no concern of users, is no run; pushes of one minute are one, and later ones another."""
    ann = okta.post("ann", ANN)
    okta.world.clock.forward(seconds=61)
    okta.patch(ann, title="Engineer")
    okta.group("Everybody", ann)
    okta.delete(okta.group("none") and okta.post("gone", "gone@corp.example"))
    assert [run.pages for run in okta.pushes()] == [2, 1]
    okta.world.clock.forward(seconds=61)
    okta.patch(ann, displayName="Ann")
    okta.world.clock.forward(seconds=59)
    okta.patch(ann, displayName="Ann O.")
    okta.world.clock.forward(seconds=1)
    okta.patch(ann, displayName="Ann Okafor")
    assert [run.counts["changed"] for run in okta.pushes()] == [1, 2, 0, 0]
    assert [change.after for change in okta.world.changes(okta.pushes()[1], "changed")] == [{"name": "Ann"}, {"name": "Ann O."}]


def test_what_is_over_the_limit_is_withheld(okta: Provider) -> None:
    """Deletions beyond the limit leave the users as they are though the resources are gone; all withheld ones stand in one open hold, with one
    alarm a minute, and an approval takes exactly them."""
    ids = old_hands(okta, 15)
    okta.guard(max_removed=10)
    for one in ids[:13]:
        okta.delete(one)
        okta.world.clock.forward(seconds=1)
    hold, [run, *_] = hold_of(okta), okta.pushes()
    assert hold is not None and hold.people == 3 and run.state == "held" and run.counts["withheld"] == 3 and run.counts["missing"] == 10
    assert len(okta.resources()) == 2 and state_of(okta.world, "p12@corp.example") == "active"
    assert "13 people of" in hold.why and "10 of them earlier in these 24 hours" in hold.why and "2 of them withheld already" in hold.why
    with okta.world.store.read() as connection:
        assert connection.execute(text("select count(*) from event where kind = 'run.held'")).scalar_one() == 1
    requested = runs.approve(okta.world.store, hold.run, "cli:admin")
    assert requested.trigger == "approval"
    assert okta.world.sync_any("okta").state == "succeeded"
    assert {state_of(okta.world, f"p{number}@corp.example") for number in range(13)} == {"missing"}
    assert state_of(okta.world, "p13@corp.example") == "active" and hold_of(okta) is None


def test_an_approval_stops_nobody_else(okta: Provider) -> None:
    """Between an approval and the run that carries it out, pushes go on by the ordinary limits."""
    ids = old_hands(okta, 5)
    okta.guard(max_removed=1, max_removed_percent=0)
    okta.delete(ids[0])
    okta.delete(ids[1])
    hold = hold_of(okta)
    assert hold is not None
    okta.world.clock.forward(days=1.1)
    runs.approve(okta.world.store, hold.run, "cli:admin")
    okta.delete(ids[2])
    assert state_of(okta.world, "p2@corp.example") == "missing" and state_of(okta.world, "p1@corp.example") == "active"
    okta.world.sync_any("okta")
    assert state_of(okta.world, "p1@corp.example") == "missing"


def test_whoever_comes_back_leaves_the_hold(okta: Provider) -> None:
    """A withheld deactivation that the provider takes back is no concern of a human any more, and a discarded set grows by who is new only."""
    ids = old_hands(okta, 5)
    okta.guard(max_disabled=1)
    for one in ids[:3]:
        okta.patch(one, active=False)
    hold = hold_of(okta)
    assert hold is not None and hold.people == 2 and state_of(okta.world, "p2@corp.example") == "active"
    assert okta.resources()[ids[2]] is False, "the resource stays as sent"
    okta.patch(ids[2], active=True)
    assert (hold_of(okta) or hold).people == 1
    runs.discard(okta.world.store, hold.run, "cli:admin")
    okta.patch(ids[1], title="still gone")
    assert hold_of(okta) is None
    okta.patch(ids[3], active=False)
    assert (hold_of(okta) or hold).people == 2
    okta.patch(ids[3], active=True)
    okta.patch(ids[1], active=True)
    assert hold_of(okta) is None and state_of(okta.world, "p1@corp.example") == "active"


def test_who_is_new_is_not_counted(okta: Provider) -> None:
    """A test user that a provider makes and deletes the same day touches no limit, and an empty source is no alarm."""
    okta.guard(max_removed=0, max_removed_percent=0)
    okta.delete(okta.post("test", "test@corp.example"))
    assert state_of(okta.world, "test@corp.example") == "missing" and hold_of(okta) is None
    okta.world.sync("okta")


def test_who_is_new_raises_no_limit(okta: Provider) -> None:
    """A provider that makes up people cannot thereby take away more of those who were there: a percentage is one of them only."""
    ids = old_hands(okta, 4)
    okta.guard(max_removed=1, max_removed_percent=25)
    for number in range(20):
        okta.post(f"decoy{number}")
    okta.delete(ids[0])
    okta.delete(ids[1])
    assert state_of(okta.world, "p0@corp.example") == "missing" and state_of(okta.world, "p1@corp.example") == "active"
    assert "2 people of 3 would" in (hold_of(okta) or pytest.fail("nothing is held")).why


def test_keys_follow_pushed_groups(okta: Provider) -> None:
    """Who joins an issuing group, named by id, display name or the provider's own id, is issued a key in that commit, and loses it by leaving."""
    world = okta.world
    world.policies = (Policy("ai", groups=("AI users",)), Policy("ops", groups=("ext-7",)))
    ids = [okta.post(f"p{number}", f"p{number}@corp.example") for number in range(4)]
    assert world.keys("p0@corp.example") == []
    ai = okta.group("AI users", *ids[:3])
    okta.group("Operators", ids[0], external_id="ext-7")
    assert [len(world.keys(f"p{number}@corp.example")) for number in range(4)] == [2, 1, 1, 0]
    okta.join(ai, ids[3])
    okta.leave(ai, ids[1])
    assert [is_active for _, is_active in world.keys("p1@corp.example") + world.keys("p3@corp.example")] == [False, True]
    okta.join(ai, ids[1])
    assert [is_active for _, is_active in world.keys("p1@corp.example")] == [True]


def test_a_group_emptied_wholesale_waits(okta: Provider) -> None:
    """An issuing group that loses all its members, or goes, takes no key away until a human says so; once they are back there is nothing to say."""
    world = okta.world
    world.policies = (Policy("ai", groups=("AI users",)),)
    ids = [okta.post(f"p{number}", f"p{number}@corp.example") for number in range(3)]
    ai = okta.group("AI users", *ids)
    okta.leave(ai, *ids)
    hold = hold_of(okta)
    assert hold is not None and hold.people == 3 and world.keys("p0@corp.example")[0][1]
    okta.join(ai, *ids)
    assert hold_of(okta) is None
    with okta.push() as shelf:
        shelf.delete_group(ai)
    hold = hold_of(okta)
    assert hold is not None and "was not found" in hold.why and world.keys("p0@corp.example")[0][1]


def test_a_full_run_changes_nothing_that_was_taken_over(okta: Provider) -> None:
    """What pushes made is what any run makes: nothing is left for one to do, over everything or one person, and the source looks no fresher."""
    ids = old_hands(okta, 4)
    okta.delete(ids[0])
    okta.patch(ids[1], active=False)
    pushed_at = sources.get_source(okta.world.store, "okta").read_at
    okta.world.clock.forward(days=2)
    run = okta.world.sync("okta")
    kinds = ("added", "changed", "disabled", "enabled", "missing", "returned", "keys_issued", "keys_disabled", "withheld", "unproven")
    assert not {kind: run.counts[kind] for kind in kinds if run.counts[kind]} and run.complete
    view = sources.get_source(okta.world.store, "okta")
    assert view.read_at == pushed_at and not view.stale
    assert okta.world.sync("okta", mode="incremental").mode == "incremental"
    assert okta.world.sync("okta", only="p3@corp.example").counts["unchanged"] == 1


def test_a_push_during_a_full_run_is_not_undone(okta: Provider) -> None:
    """A push that comes while a run goes over everything waits for its commit and is taken over after it; it never meets an older view of itself."""
    ann = okta.post("ann", ANN)
    pushed: list[Thread] = []
    ended: list[bool] = []

    def push_now(progress: Progress) -> None:
        if progress.phase == "evidence":
            pushed.append(Thread(target=okta.patch, args=(ann,), kwargs={"active": False}))
            pushed[0].start()
            pushed[0].join(0.2)
            ended.append(not pushed[0].is_alive())

    run = runs.request(okta.world.store, "okta", trigger="cli", requested_by="test")
    ended_as = perform(replace(okta.world.setting("okta"), progress=push_now), run.id).state
    pushed[0].join()
    assert ended_as == "succeeded" and ended == [False] and not okta.world.keys(ANN)[0][1]


def test_a_killed_run_changes_nothing_and_stops_no_push(okta: Provider) -> None:
    """A run over everything that dies before its commit leaves all as it was, and the next push goes through."""
    ann = okta.post("ann", ANN)
    with okta.world.store.write() as connection:  # as if an older version had not known what to make of it
        Shelf(connection, "okta", okta.world.store.now()).change_user(ann, None, resource("ann", ANN, active=False))

    def die(progress: Progress) -> None:
        if progress.phase == "apply":
            raise KeyboardInterrupt

    run = runs.request(okta.world.store, "okta", trigger="cli", requested_by="test")
    with pytest.raises(KeyboardInterrupt):
        perform(replace(okta.world.setting("okta"), progress=die), run.id)
    assert okta.world.keys(ANN)[0][1] and runs.get(okta.world.store, run.id).state == "failed"
    okta.patch(ann, title="Engineer")
    assert not okta.world.keys(ANN)[0][1]


def test_a_dry_run_changes_nothing(okta: Provider) -> None:
    """What a run over everything would change is said, and undone."""
    ann = okta.post("ann", ANN)
    sources.pause(okta.world.store, "okta", "cli:admin")
    okta.patch(ann, active=False)
    run = okta.world.sync("okta", dry_run=True)
    assert run.counts["disabled"] == 1 and okta.world.keys(ANN)[0][1]


def test_the_order_of_sources_decides_about_a_free_address(world: World) -> None:
    """An address that a directory and a provider claim alike goes to whom the configuration names first, whoever comes first holds it; when it is
    free again the other is issued a key in the next run, which is due at once."""
    okta = Provider(world)
    world.policies = (Policy("default", sources=("corp", "okta")),)
    okta.world.sync("okta", expect="succeeded")
    world.directory.add("ann", ANN)
    world.sync()
    mine = okta.post("ann", ANN)
    found = world.lookup(ANN)
    assert found.source == "corp" and okta.pushes()[0].counts["keys_issued"] == 0
    with world.store.write() as connection:
        sources.claim_due(connection, "okta", now=world.store.now(), next_due=world.store.now() + 86_400_000)
    with world.store.read() as connection:
        owner = connection.execute(text('select id from "user" where external_id = :id'), {"id": mine}).scalar_one()
    store_addresses.give(world.store, ANN, owner, "cli:admin")
    assert sources.due_at(world.store, "okta") == 0
    run = world.sync("okta", mode="incremental")
    assert run.mode == "incremental" and run.counts["keys_issued"] == 1 and world.lookup(ANN).source == "okta"


def test_two_providers_do_not_see_each_other(okta: Provider) -> None:
    """The same name at two providers is two users; an address is the first one's, and deleting at one takes nothing from the other."""
    entra = Provider(okta.world, "entra")
    okta.world.policies = (Policy("default", sources=("okta", "entra")),)
    one, other = okta.post("ann", ANN), entra.post("ann", ANN, "ann@entra.example")
    assert okta.world.lookup(ANN).user_id != okta.world.lookup("ann@entra.example").user_id
    entra.delete(other)
    assert one in okta.resources() and okta.world.keys(ANN)[0][1] and not okta.world.keys("ann@entra.example")[0][1]
    okta.world.sync("okta")
    okta.world.sync("entra")
    assert okta.world.keys(ANN)[0][1]


def test_a_paused_source_waits(okta: Provider) -> None:
    """While a source is paused what is pushed is kept and nothing follows; the run after it makes up for all of it."""
    ann = okta.post("ann", ANN)
    okta.world.sync("okta")
    sources.pause(okta.world.store, "okta", "cli:admin")
    okta.patch(ann, active=False)
    assert okta.world.keys(ANN)[0][1] and okta.resources()[ann] is False
    sources.resume(okta.world.store, "okta", "cli:admin")
    assert okta.world.sync("okta", mode="incremental").mode == "incremental"
    assert not okta.world.keys(ANN)[0][1]


def test_who_comes_back_late_gets_a_new_key(okta: Provider) -> None:
    """Whoever is activated again after longer than revive_within has a new key at once, and the old one stays off."""
    ann = okta.post("ann", ANN)
    old = okta.world.keys(ANN)[0][0]
    okta.patch(ann, active=False)
    okta.world.clock.forward(days=91)
    okta.patch(ann, active=True)
    (first, is_active), second = okta.world.keys(ANN)
    assert is_active and first != old and second == (old, False)


def test_who_is_erased_leaves_no_tombstone(okta: Provider) -> None:
    """Erasing somebody who was deleted forgets what was pushed about them, too; the run over everything has nothing to say to that."""
    ann = okta.post("ann", ANN)
    user_id = okta.world.lookup(ANN).user_id
    okta.delete(ann)
    forgetting.erase(okta.world.store, user_id, "cli:admin")
    with okta.world.store.read() as connection:
        assert connection.execute(text("select count(*) from pushed_user")).scalar_one() == 0
    assert okta.world.sync("okta").counts["unproven"] == 0


def test_a_domain_that_is_not_the_sources_is_left_out(world: World) -> None:
    """A pushed address outside `domains` is dropped and named, not the person."""
    okta = Provider(world, domains=("corp.example",))
    okta.world.policies = (Policy("default", sources=("okta",)),)
    okta.post("ann", "ann@elsewhere.example", ANN)
    assert world.lookup("ann@elsewhere.example").outcome == "user_not_found" and len(world.keys(ANN)) == 1
    assert "domains" in (world.changes(okta.pushes()[0], "refused")[0].evidence or "")
