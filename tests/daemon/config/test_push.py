"""A [[source]] of the kind scim-push, from its table to its settings."""

from __future__ import annotations

from typing import Any

PUBLIC = "[http]\npublic_url = 'https://keys.example.com/'\n"
POLICY = "[[keys.issue]]\nname = 'default'\nsources = ['corp', 'okta']\n"
TABLE = "[[source]]\nname = 'okta'\nkind = 'scim-push'\n"


def test_a_whole_table(folder: Any) -> None:
    """Name, domains and guard arrive; nothing goes stale unless it is said so; the API learns which sources are pushed to."""
    config = folder.load(PUBLIC + POLICY + TABLE + "domains = ['example.com']\n[source.guard]\nmax_removed = 3\n")
    okta = config.sources[1]
    assert (okta.kind, okta.rank, okta.urls, okta.domains, okta.guard.max_removed, okta.guard.stale_after) == (
        "scim-push", 1, (), ("example.com",), 3, None,
    )  # fmt: skip
    assert (config.api.pushed, config.api.public_url) == (("okta",), "https://keys.example.com")


def test_keys_of_other_kinds_are_refused(folder: Any) -> None:
    """Nothing is asked there, so there is neither a URL nor a schedule."""
    problems = folder.problems(PUBLIC + POLICY + TABLE + "url = 'https://x'\n[source.schedule]\nevery = '1h'\n")
    assert [problem.partition(";")[0] for problem in problems] == [
        "[[source]] okta: url: is not a key of this table",
        "[[source]] okta: schedule: is not a key of this table",
    ]
