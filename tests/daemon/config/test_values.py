"""Good values become what the core expects."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from apscheduler.triggers.cron import CronTrigger

from daemon.config.cron import cron, longest_gap
from daemon.config.values import Wrong, ldap_filter
from sync.settings import Policy, Secret

FULL = """
page_size = 100
connect_timeout = "3s"
read_timeout = "2m"
domains = ["example.com", "BÜCHER.example"]
[source.attributes]
emails = ["mail", "mailAlternateAddress"]
groups = ""
[source.groups]
base = "ou=groups,dc=example,dc=com"
nested = false
[source.disabled]
when = ["employeeStatus=left", "nsAccountLock=*"]
[source.schedule]
every = "90s"
[source.guard]
max_removed_percent = 2.5
grace = "0s"
fail_closed_after = "12h"
stale_after = "1h"
[[keys.issue]]
name = "ai"
groups = ["CN=AI Users, OU=groups,DC=example,DC=com"]
expires_after = "180d"
was = "llm"
"""


def test_a_full_source(folder: Any) -> None:
    """Durations become seconds, lists tuples, and everything lands where the core looks for it."""
    config = folder.load(FULL)
    (source,) = config.sources
    assert (source.page_size, source.connect_timeout, source.read_timeout) == (100, 3, 120)
    assert source.domains == ("example.com", "BÜCHER.example")
    assert (source.attributes.emails, source.attributes.groups) == (("mail", "mailAlternateAddress"), "")
    assert (source.groups.base, source.groups.filter, source.groups.nested) == ("ou=groups,dc=example,dc=com", "", False)
    assert source.disabled_when == ("employeeStatus=left", "nsAccountLock=*")
    assert (source.schedule.every, source.guard.grace, source.guard.max_removed_percent) == (90, 0, 2.5)
    assert (source.guard.fail_closed_after, source.guard.stale_after) == (43_200, 3600)
    assert source.password == Secret("hunter2 the second")
    groups = ("CN=AI Users, OU=groups,DC=example,DC=com",)
    assert config.policies == (Policy("ai", groups, expires_after=180 * 86_400, was="llm"),)


def test_the_server(folder: Any) -> None:
    """What `[http]`, `[audit]` and `[auth]` say reaches the daemon and the API alike; files beside the configuration are found."""
    folder.secret("metrics", "token\n")
    config = folder.load('[http]\nhost = "0.0.0.0"\nport = 0\npublic_url = "https://keys.example.com/"\ntrusted_proxies = ["10.0.0.0/8"]\n'
                         'metrics_token_file = "metrics"\nhosts = ["keys"]\n[audit]\nkeep = "7d"')  # fmt: skip
    assert (config.http.host, config.http.port, config.http.metrics_token) == ("0.0.0.0", 0, Secret("token"))
    assert (config.api.public_url, config.api.trusted_proxies, config.api.hosts) == ("https://keys.example.com", ("10.0.0.0/8",), ("keys",))
    assert (config.audit.path, config.audit.keep) == (folder.path / "audit.jsonl", 7 * 86_400)
    assert config.store.url == f"sqlite:///{folder.path}/rosterd.db"
    assert config.revive_within == 90 * 86_400


@pytest.mark.parametrize(
    "text", ["(uid=a)", "uid=a", "(&(uid=a)(|(cn=b)(!(cn=c))))", r"(cn=\28x\29)", "(memberOf:1.2.840.113556.1.4.1941:=cn=a,dc=b)"]
)
def test_good_filters(text: str) -> None:
    """A filter that a directory would take is taken."""
    assert ldap_filter(text) == text


CRONS = [
    ("*/15 * * * *", 15 * 60), ("0 * * * *", 3600), ("30 2 * * *", 86_400), ("30 2 * * mon-fri", 3 * 86_400), ("0 8,18 * * *", 14 * 3600),
    ("0 0 1 * *", 31 * 86_400), ("0 0 * * sun", 7 * 86_400), ("5 4 1 jan *", 366 * 86_400), ("0 6-18/6 * * sat,sun", 5 * 86_400 + 12 * 3600),
    ("10/20 * * * *", 20 * 60), ("0 0 29 feb *", (4 * 365 + 1) * 86_400),
]  # fmt: skip


@pytest.mark.parametrize(("expression", "gap"), CRONS)
def test_good_crons(expression: str, gap: int) -> None:
    """What we take the clock takes too, and two firings are never further apart than we say."""
    assert cron(expression) == expression
    assert longest_gap(expression) == gap
    trigger = CronTrigger.from_crontab(expression, timezone=UTC)
    before = datetime(2026, 1, 1, tzinfo=UTC)
    first = trigger.get_next_fire_time(None, before)
    for _ in range(15):
        second = trigger.get_next_fire_time(first, first + timedelta(seconds=1))
        assert (second - first).total_seconds() <= gap
        first = second


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        ("* * * *", "must have five fields"),
        ("60 * * * *", "the minute is outside 0 to 59"),
        ("* 24 * * *", "the hour is outside 0 to 23"),
        ("* * 0 * *", "the day of the month is outside 1 to 31"),
        ("* * * 13 *", "the month is outside 1 to 12"),
        ("* * * foo *", "the month is outside 1 to 12"),
        ("@daily", "must have five fields"),
        ("*/0 * * * *", "the minute is malformed"),
        ("0 22-4 * * *", "the hour runs backwards"),
        ("0 0 30 feb *", "never comes"),
        ("0 0 * * 1-5", "because some count 0 as Sunday and some as Monday"),
        ("0 0 * * 0", "because some count 0 as Sunday and some as Monday"),
        ("0 0 * * mon-7", "because some count 0 as Sunday and some as Monday"),
        ("0 0 * * sun-tue", 'the week begins with "mon"'),
        ("0 0 * * monday", "the weekday is malformed"),
    ],
)
def test_bad_crons(expression: str, said: str) -> None:
    """What the clock would not take, or would take for another day, is refused with the reason."""
    with pytest.raises(Wrong, match=said):
        cron(expression)


def test_a_cron_sets_what_stale_means(folder: Any) -> None:
    """With cron, a source is stale after three of its longest gaps, unless it says otherwise."""
    assert folder.load('[source.schedule]\ncron = "0 2 * * *"').sources[0].guard.stale_after == 3 * 86_400
    assert folder.load('[source.schedule]\ncron = "0 2 * * *"\n[source.guard]\nstale_after = "5h"').sources[0].guard.stale_after == 5 * 3600
    assert folder.load().sources[0].guard.stale_after is None
