"""After a restore nobody is answered from people of back then: 503 for every bearer, until each source has been read."""

from __future__ import annotations

from tests.api.world import Company


def test_no_lookup_before_every_source_has_been_read(company: Company) -> None:
    """A key of back then opens nothing, not even for its own user; readiness says why; what was confirmed once stays so."""
    ann = company.add_user("ann@corp.example", keys=())
    value, token = company.add_key(ann, "default"), company.token("lookup")
    company.change("source", "corp", restored_at=1)
    for bearer in (token, value, "nobody"):
        answer = company.look_up("ann@corp.example", bearer)
        assert (answer.status_code, answer.json()["error"]["code"], answer.headers["retry-after"]) == (503, "store_restored", "60")
    ready = company.ask("GET", "/health/ready")
    assert (ready.status_code, ready.json()["why"]) == (503, "store_restored")
    assert company.ask("GET", "/health/live").status_code == 200
    assert company.ask("GET", "/api/sources", company.token("operator")).json()["sources"][0]["restored_at"]
    assert {record["outcome"] for record in company.records() if record["kind"] == "lookup"} == {"store_restored"}
    company.change("source", "corp", configured=False)
    assert company.look_up("ann@corp.example", token).status_code == 200
    company.change("source", "corp", configured=True, restored_at=None)
    assert company.look_up("ann@corp.example", value).status_code == 200
    assert company.ask("GET", "/health/ready").status_code == 200
