"""From `[[keys.issue]]` tables to policies, with the rules that concern several of them."""

from __future__ import annotations

from collections.abc import Sequence

from daemon.config.reader import Section
from daemon.config.values import is_dn
from sync.settings import Policy


def build_policies(sections: Sequence[Section], kinds: dict[str, str]) -> tuple[Policy, ...]:
    """Return the policies; `kinds` are the configured sources and what kind each is."""
    check_unique(sections, "policies")
    names = {section["name"] for section in sections}
    before: set[str] = set()
    for section in sections:
        _check_sources(section, kinds)
        _check_groups(section, kinds)
        if section["was"] and (section["was"] in names or section["was"] in before):
            section.problem("was", "names a policy that is still there, or that another one was")
        before.add(section["was"])
        if section["expires_after"] is not None and section["renew_before"] >= section["expires_after"]:
            section.problem("renew_before", "is not shorter than expires_after: every key would be renewed at once")
    return tuple(Policy(**section.values) for section in sections)


def check_unique(sections: Sequence[Section], what: str) -> None:
    """Note a name that stands twice."""
    seen: set[str] = set()
    for section in sections:
        if "name" not in section.wrong and section["name"] in seen:
            section.problem("name", f"stands twice; two {what} cannot have the same name")
        seen.add(section["name"])


def _check_sources(section: Section, kinds: dict[str, str]) -> None:
    for name in section["sources"]:
        if name not in kinds:
            section.problem("sources", f"there is no [[source]] named {name}")
    if len(kinds) > 1 and not section["sources"] and "sources" not in section.wrong:
        section.problem("sources", f"must be named, because there are several: {', '.join(kinds)}")


def _check_groups(section: Section, kinds: dict[str, str]) -> None:
    concerned = {kinds.get(name) for name in section["sources"]} or set(kinds.values())
    if concerned == {"ldap"}:
        for group in section["groups"]:
            if not is_dn(group):
                section.problem("groups", f'{group} is no DN; write the whole of it, like "cn=ai-users,ou=groups,dc=example,dc=com"')
