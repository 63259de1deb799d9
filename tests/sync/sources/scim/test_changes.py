"""Between full reads: what has changed by meta.lastModified, when that is believed, and what it never hides for long."""

from __future__ import annotations

import time
from pathlib import Path

import msgspec
import pytest

from sync.errors import CursorLost
from sync.settings import Policy
from sync.sources import open_source
from tests.servers.provider import Provider, error, stamp
from tests.sync.sources.scim.company import Company, settings_of


@pytest.fixture
def settled(provider: Provider, company: Company) -> Company:
    """Return a store that has read 200 people who last changed long ago."""
    provider.people(200)
    for user in provider.users.values():
        user["meta"]["lastModified"] = stamp(time.time() - 86_400)
    company.sync()
    provider.forget()
    return company


def test_only_what_has_changed_is_read(provider: Provider, settled: Company) -> None:
    """A joiner, a change and a disabled user arrive; beside them only the sample is asked for."""
    provider.add("new")
    provider.add("p3", "other@example.com")
    provider.add("p4", active=False)
    run = settled.sync(mode="incremental")
    assert (run.mode, run.counts["added"], run.counts["changed"], run.counts["disabled"]) == ("incremental", 1, 1, 1)
    assert str(run.mode_reason).startswith("meta.lastModified")
    assert run.entries <= 53
    assert settled.sync(mode="incremental").counts["added"] == 0


def test_a_deletion_is_noticed_by_the_count(provider: Provider, settled: Company) -> None:
    """When the provider counts fewer people than before, everything is read at once, and the 404 decides."""
    del provider.users["id-p199"]
    run = settled.sync(mode="incremental")
    assert run.mode == "full" and "somebody is gone" in str(run.mode_reason)
    assert settled.states()["p199"] == "missing"
    assert settled.sync(mode="incremental").mode == "incremental"


def test_a_deletion_hidden_by_a_joiner_waits_for_the_full_read(provider: Provider, settled: Company) -> None:
    """A count that stays the same hides one; the next full read does not."""
    del provider.users["id-p199"]
    provider.add("new")
    run = settled.sync(mode="incremental")
    assert (run.mode, run.counts["added"]) == ("incremental", 1)
    settled.sync()
    assert settled.states()["p199"] == "missing"


@pytest.mark.parametrize("trouble", ["refused", "malformed", "no moment", "no id", "circle"])
def test_doubt_means_a_full_read(provider: Provider, settled: Company, trouble: str) -> None:
    """A provider that cannot be asked for changes any more, or answers nonsense, is read whole in the same run."""
    provider.add("p3", "other@example.com")
    if trouble == "refused":
        provider.filters = ("userName",)
    elif trouble == "malformed":
        provider.answers.append((200, {}, b'{"Resources": 7}'))
    elif trouble == "no moment":
        provider.users["id-p3"]["meta"]["lastModified"] = "2999 or so"
    elif trouble == "no id":
        provider.users["id-p3"]["id"] = ""
        provider.users["again"] = {**provider.users["id-p3"], "id": "id-p3"}
    else:
        provider.answers.extend([error(400, "x")])
    run = settled.sync(mode="incremental")
    assert run.mode == "full"
    assert settled.users()["p3"].email == "other@example.com"


def test_many_changes_are_read_in_pages(provider: Provider, settled: Company) -> None:
    """When more have changed than are asked for one by one, everything is read instead."""
    provider.people(250)
    run = settled.sync(mode="incremental")
    assert run.mode == "full" and "250 people have changed" in str(run.mode_reason)


def test_a_provider_that_is_busy_fails_the_run(provider: Provider, settled: Company) -> None:
    """No answer is no doubt: the run fails, the cursor stays, and the next one goes on where it was."""
    provider.add("p3", "other@example.com")
    provider.always["Users"] = (503, {"retry-after": "3600"}, b"")
    settled.fails("provider_busy", mode="incremental")
    provider.always.clear()
    run = settled.sync(mode="incremental")
    assert (run.mode, run.counts["changed"]) == ("incremental", 1)


def test_a_group_that_changes_reaches_its_people(provider: Provider, company: Company) -> None:
    """Who joins or leaves an issuing group is read, although nothing of their own has changed and the sample is elsewhere."""
    for number in range(200):
        provider.add(f"p{number}", meta={"lastModified": stamp(time.time() - 86_400)})
    provider.group("ai", "id-p98", "id-p99")
    company.policies = (Policy("default", groups=("ai",)),)
    company.sync()
    provider.group("ai", "id-p97", "id-p99")
    run = company.sync(mode="incremental")
    assert run.mode == "incremental"
    active = {name for name, user in company.users().items() if any(key.is_active for key in user.virtual_keys)}
    assert active == {"p97", "p99"}


def test_changes_within_a_filter(provider: Provider, company: Company) -> None:
    """With a filter of the source, only people it shows are asked for; who leaves it is noticed by the count."""
    for number in range(20):
        provider.add(f"p{number}", title="staff" if number < 10 else "guest")
    company.configure(filter='title eq "staff"')
    company.sync()
    provider.add("p15", "x@example.com", title="guest")
    provider.add("p5", "other@example.com", title="staff")
    assert company.sync(mode="incremental").mode == "incremental"
    assert company.users()["p5"].email == "other@example.com"
    assert len(company.states()) == 10
    provider.add("p5", title="guest")
    assert company.sync(mode="incremental").mode == "full"
    assert company.states()["p5"] == "missing"


def test_cursors_of_others_are_refused(provider: Provider) -> None:
    """A cursor of another provider, of another version, or none at all leads to a full read."""
    provider.add("ada")
    with open_source(settings_of(provider.url)).open() as reading:
        list(reading.full())
        cursor = msgspec.json.decode(reading.proof().cursor)
        for wrong in ("", "{}", "nonsense", msgspec.json.encode({**cursor, "url": "https://x.example"}).decode()):
            with pytest.raises(CursorLost):
                reading.delta(wrong)
        assert reading.delta(msgspec.json.encode(cursor).decode()).touched == {"id-ada"}


def test_the_moment_never_moves_back(provider: Provider) -> None:
    """Where to go on follows the newest change, less an overlap, and never lies before where it was."""
    provider.add("ada", meta={"lastModified": stamp(time.time() - 86_400)})
    with open_source(settings_of(provider.url)).open() as reading:
        list(reading.full())
        first = reading.proof().cursor
        assert reading.delta(first).cursor == first
        provider.add("bob", meta={"lastModified": stamp(time.time() + 3600)})
        later = msgspec.json.decode(reading.delta(first).cursor)
        assert later["since"] > msgspec.json.decode(first)["since"] and later["total"] == 2


def test_after_the_url_changed_everything_is_read(provider: Provider, settled: Company, tmp_path: Path) -> None:
    """Another URL may be other people: the run is a full one and says that the configuration changed."""
    with Provider() as other:
        other.users = provider.users
        settled.configure(urls=(other.url,))
        run = settled.sync(mode="incremental")
        assert run.mode == "full" and "url" in str(run.mode_reason)
