"""Random histories of a provider with quirks: after every run the store is the provider's exact picture, or nothing has changed."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from sync.settings import GuardSettings, Policy
from tests.servers.provider import Provider, Reply, error
from tests.sync.sources.scim.company import Company

FAULTS: tuple[Reply, ...] = (
    (200, {"content-type": "text/html"}, b"<html>Log in</html>"),
    (302, {"location": "/login"}, b""),
    (200, {}, b'{"totalResults": 5, "Resources": [{"id": "x"'),
    (200, {}, b'{"error": "expired"}'),
    error(403, "no"),
    error(500, "oops"),
    (429, {"retry-after": "9999"}, b""),
)


class History:
    """A provider whose people come, change and go, and which is never quite the same to read."""

    def __init__(self, provider: Provider, company: Company, chance: random.Random) -> None:
        self.provider, self.company, self.chance = provider, company, chance
        self.count = 0

    def live(self) -> None:
        """Change something."""
        provider, chance = self.provider, self.chance
        known = list(provider.users)
        what = chance.choice(["join", "join", "leave", "lock", "rename", "address", "group"])
        if what == "join" or not known:
            self.count += 1
            provider.add(f"p{self.count}", groups=None)
        elif what == "leave":
            del provider.users[chance.choice(known)]
        elif what == "group":
            provider.group("ai", *chance.sample(known, len(known) // 2))
        else:
            one = chance.choice(known)
            user = provider.users[one]
            facts = {"emails": user["emails"], "active": user["active"], "displayName": user["displayName"]}
            if what == "lock":
                facts["active"] = chance.choice([True, False, "True", "false"])
            elif what == "rename":
                facts["displayName"] = f"Name {chance.randrange(1000)}"
            else:
                facts["emails"] = [{"value": f"{user['userName']}.{chance.randrange(1000)}@example.com", "primary": True}]
            provider.add(user["userName"], id=one, **facts)

    def disturb(self) -> None:
        """Let the provider be another kind of provider, and perhaps fail in the middle of the next read."""
        provider, chance = self.provider, self.chance
        provider.largest, provider.overlap = chance.choice([None, 3, 7]), chance.choice([0, 0, 2])
        provider.cursors, provider.word = chance.random() < 0.3, chance.choice(["Resources", "resources"])
        provider.ignores_filters = chance.random() < 0.1
        provider.total = chance.choice(
            [lambda true: true, lambda true: true, lambda true: None, lambda true: true + 3, lambda true: max(1, true - 3)]
        )
        fails_at = chance.choice([0, 0, 1, 2])
        fault = chance.choice(FAULTS)
        provider.before_page = lambda number: provider.answers.extend([fault] * (number == fails_at))

    def calm(self) -> None:
        """Let it be a good provider."""
        provider = self.provider
        provider.largest, provider.overlap, provider.cursors, provider.word, provider.ignores_filters = None, 0, False, "Resources", False
        provider.total, provider.before_page = (lambda true: true), (lambda number: None)

    def sync(self, mode: str) -> str:
        """Run once; a failed run changes nothing. Return how it ended."""
        self.provider.forget()
        self.provider.answers.clear()
        before = self.company.users()
        ended = self.company.sync(None, mode=mode)
        assert ended.state in ("succeeded", "failed"), ended
        if ended.state == "failed":
            assert self.company.users() == before
        return "full" if ended.state == "succeeded" and ended.mode == "full" else ended.state

    def compare(self) -> None:
        """Compare everybody with the provider: state, name, addresses, and who has a working key."""
        users = {user.external_id: user for user in self.company.users().values()}
        members = {one["value"] for one in (self.provider.groups or {})["g-ai"]["members"]}
        for external_id, told in self.provider.users.items():
            user = users.pop(external_id)
            active = str(told["active"]).lower() == "true"
            assert (user.state, user.name) == ("active" if active else "disabled", told["displayName"]), user
            assert user.email == told["emails"][0]["value"], user  # the one before it stays reserved for a while
            assert any(key.is_active for key in user.virtual_keys) == (active and external_id in members), user
        assert {user.state for user in users.values()} <= {"missing"}, users


@pytest.mark.parametrize("seed", range(4))
def test_the_store_is_the_providers_picture(provider: Provider, tmp_path: Path, seed: int) -> None:
    """Sixty runs, full and incremental, over a provider that changes its people and its habits and fails now and then."""
    generous = GuardSettings(max_removed=10_000, max_removed_total=10_000, max_disabled=10_000, address_quarantine=0)
    with Company(provider.url, tmp_path, guard=generous) as company:
        history = History(provider, company, random.Random(seed))
        company.policies = (Policy("default", groups=("ai",)),)
        for number in range(12):
            provider.add(f"first{number}")
        provider.group("ai", *list(provider.users)[:6])
        ended = {"full": 0, "succeeded": 0, "failed": 0}
        for _ in range(60):
            for _ in range(history.chance.randrange(4)):
                history.live()
            history.disturb()
            how = history.sync(history.chance.choice(["full", "incremental"]))
            ended[how] += 1
            if how == "full":
                history.compare()
        history.calm()
        assert history.sync("full") == "full"
        history.compare()
    assert min(ended["full"], ended["failed"]) >= 5, ended
