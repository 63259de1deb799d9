"""What monitoring reads: who may, what it says, and that everything the pages and rules name exists."""

from __future__ import annotations

import json
import re
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from sync.settings import Secret
from sync.store import sources
from tests.api.world import Company
from tests.stores import STORES

ROOT = Path(__file__).parents[2]
REMOTE = "192.0.2.7"


def read(company: Company) -> dict[tuple[str, str], float]:
    """Return {(name, labels): value} as Prometheus would read it."""
    answer = company.ask("GET", "/metrics")
    assert answer.status_code == 200 and answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    samples = [sample for family in text_string_to_metric_families(answer.text) for sample in family.samples]
    return {(sample.name, ",".join(f"{k}={v}" for k, v in sorted(sample.labels.items()))): sample.value for sample in samples}


def test_lookups_and_failures_are_counted_by_outcome(company: Company) -> None:
    """Each answer once, with its time; and a reload of the app resets nothing."""
    company.add_user("ada@example.com")
    lookup = company.token("lookup")
    for address in ("ada@example.com", "ada@example.com", "nobody@example.com"):
        company.look_up(address, lookup)
    company.look_up("ada@example.com", "wrong")
    found = read(company)
    assert found["rosterd_lookups_total", "outcome=found"] == 2
    assert found["rosterd_lookups_total", "outcome=user_not_found"] == 1
    assert found["rosterd_lookups_total", "outcome=not_authenticated"] == 1
    assert found["rosterd_lookup_seconds_count", ""] == 4
    assert found["rosterd_authentication_failures_total", "status=401"] == 1


def test_the_state_of_the_store_is_read_when_asked(company: Company) -> None:
    """People by state, keys, sources; a paused one says so at once."""
    company.add_user("ada@example.com")
    company.add_user("bob@example.com", state="disabled", keys=())
    before = read(company)
    assert before["rosterd_people", "source=corp,state=active"] == 1 and before["rosterd_people", "source=corp,state=disabled"] == 1
    assert before["rosterd_virtual_keys", "enabled=true"] == 1 and before["rosterd_store_up", ""] == 1
    assert before["rosterd_build_info", "version=0.1.0"] == 1
    sources.pause(company.store, "corp", "test")
    assert (before["rosterd_source_paused", "source=corp"], read(company)["rosterd_source_paused", "source=corp"]) == (0, 1)


def test_a_store_that_does_not_answer_is_said_so(company: Company) -> None:
    """Monitoring is answered all the same."""
    read(company)
    with STORES.out_of_order(company.folder / "rosterd.db"):
        found = read(company)
    assert found["rosterd_store_up", ""] == 0 and ("rosterd_store_read_seconds", "") not in found


def test_elsewhere_it_needs_a_token(company: Company) -> None:
    """An administrator's or the one of the file; no other, and no token is needed on this machine."""
    company.configure(metrics_token=Secret("a-token-for-monitoring"))
    assert company.ask("GET", "/metrics", peer=REMOTE).status_code == 401
    assert company.ask("GET", "/metrics", "a-token-for-monitorinG", peer=REMOTE).status_code == 401
    assert company.ask("GET", "/metrics", company.token("lookup"), peer=REMOTE).status_code == 403
    for good in ("a-token-for-monitoring", company.token("admin")):
        assert company.ask("GET", "/metrics", good, peer=REMOTE).status_code == 200


def test_this_machine_is_nobody_who_comes_through_a_proxy(company: Company) -> None:
    """Not a trusted one either: the loopback that it speaks of is its own, or that of whatever ends TLS beside it."""
    company.configure(trusted_proxies=("10.0.0.7", "127.0.0.1"))
    for path in ("/metrics", "/openapi.json", "/docs"):
        company.build(company.settings)  # nobody is slowed down yet
        asked = [company.ask("GET", path, peer=peer, x_forwarded_for="127.0.0.1").status_code for peer in ("10.0.0.7", "127.0.0.1", "")]
        asked += [company.ask("GET", path, **{name: "x"}).status_code for name in ("via", "forwarded", "x_real_ip", "x_forwarded_proto")]
        assert asked == [401] * 7, path
        assert [company.ask("GET", path, peer=peer).status_code for peer in ("127.0.0.1", "::1", "::ffff:127.0.0.1")] == [200] * 3


def test_the_pages_name_what_there_is(company: Company) -> None:
    """Every metric that the page, the rules and the dashboard speak of is answered, and the page leaves none out."""
    company.add_user("ada@example.com")
    company.look_up("ada@example.com", company.token("lookup"))
    company.look_up("ada@example.com", "wrong")
    there = set(re.findall(r"^# TYPE (rosterd_\w+)", company.ask("GET", "/metrics").text, re.M))
    page = (ROOT / "docs/metrics.md").read_text()
    spoken_of = set()
    for name in ("monitoring/alerts.yml", "monitoring/dashboard.json"):
        spoken_of |= set(re.findall(r"rosterd_[a-z_]+", (ROOT / "docs" / name).read_text()))
    shortened = {name.removesuffix("_bucket") for name in spoken_of}
    assert {name for name in shortened if name not in there and name.removesuffix("_total") not in there} == set()
    written = page.replace("`…_", "`rosterd_source_last_run_")
    assert {name for name in there if not name.endswith("_created") and name not in written and f"{name}_total" not in written} == set()
    assert json.loads((ROOT / "docs/monitoring/dashboard.json").read_text())["panels"]
