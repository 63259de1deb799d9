"""Pulled from a stock scim2-server: a provider that somebody else wrote after the RFCs."""

from __future__ import annotations

from pathlib import Path

from sync.settings import Secret
from tests.servers.scim2 import Scim2
from tests.sync.sources.scim.company import Company


def test_a_company_is_followed(scim2: Scim2, tmp_path: Path) -> None:
    """Who is there has a key, who is switched off is disabled, who is deleted is missing with the provider's own 404 as evidence."""
    ids = {name: scim2.add(name) for name in ("ada", "bob", "cleo")}
    with Company(scim2.url, tmp_path, token=Secret(scim2.token), page_size=2) as company:
        first = company.sync()
        assert (first.complete, first.entries) == (True, 3)
        assert company.states() == {"ada": "active", "bob": "active", "cleo": "active"}
        assert [len(user.emails) for user in company.users().values()] == [1, 1, 1]
        assert first.counts["keys_issued"] == 3
        scim2.change(ids["bob"], active=False)
        scim2.delete(ids["cleo"])
        second = company.sync()
        assert company.states() == {"ada": "active", "bob": "disabled", "cleo": "missing"}
        (gone,) = company.changes(second, "missing")
        assert f"/Users/{ids['cleo']}: 404" in str(gone.evidence)
