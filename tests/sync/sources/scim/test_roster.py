"""Groups that issue keys: found by id or display name, opened, and whom they lead to."""

from __future__ import annotations

from sync.settings import Policy
from tests.servers.provider import Provider, error, found
from tests.sync.sources.scim.company import Company, read


def with_keys(company: Company) -> set[str]:
    """Return the user names of those who have an active key."""
    return {name for name, user in company.users().items() if any(key.is_active for key in user.virtual_keys)}


def test_members_by_id_and_by_name(provider: Provider) -> None:
    """A policy may call a group by its id or its display name; groups that no policy names are nobody's business."""
    for name in ("ada", "bob", "cleo"):
        provider.add(name)
    provider.group("staff", "id-ada")
    provider.group("Everybody else", "id-bob")
    provider.group("other", "id-cleo")
    people = read(provider.url, "g-staff", "Everybody else", "nowhere")
    assert [people.one(name).groups for name in ("ada", "bob", "cleo")] == [("g-staff",), ("Everybody else",), ()]
    assert people.proof.groups_found == {"g-staff": 1, "Everybody else": 1}


def test_groups_inside_groups(provider: Provider) -> None:
    """Who is in a group inside an issuing one is in it too; groups that contain each other end."""
    for name in ("ada", "bob", "cleo"):
        provider.add(name)
    provider.group("inner", "id-ada", inside=("g-outer",))
    provider.group("middle", "id-bob", inside=("g-inner",))
    provider.group("outer", inside=("g-middle",))
    provider.groups["g-outer"]["members"].append({"value": "g-byref", "$ref": "https://x/scim/v2/Groups/g-byref"})  # type: ignore[index]
    provider.group("byref", "id-cleo")
    people = read(provider.url, "outer")
    assert [person.groups for person in people.persons] == [("outer",)] * 3


def test_keys_follow_the_group(provider: Provider, company: Company) -> None:
    """Who joins the group has a key, who leaves it has none that works, and the same one again after coming back."""
    for name in ("ada", "bob", "cleo"):
        provider.add(name)
    provider.group("ai", "id-ada", "id-bob")
    company.policies = (Policy("default", groups=("ai",)),)
    company.sync()
    assert with_keys(company) == {"ada", "bob"}
    key = company.users()["bob"].virtual_keys[0].id
    provider.group("ai", "id-ada", "id-cleo")
    company.sync(mode="incremental")
    assert with_keys(company) == {"ada", "cleo"}
    provider.group("ai", "id-ada", "id-bob")
    company.sync()
    assert with_keys(company) == {"ada", "bob"}
    assert [one.id for one in company.users()["bob"].virtual_keys] == [key]


def test_a_group_that_vanishes_takes_nobodys_key(provider: Provider, company: Company) -> None:
    """Not found, suddenly empty, or refused: the losses are withheld."""
    for name in ("ada", "bob"):
        provider.add(name)
    provider.group("ai", "id-ada", "id-bob")
    company.policies = (Policy("default", groups=("ai",)),)
    company.sync()
    provider.group("ai")
    company.sync("held")
    provider.groups = {}
    company.sync("held")
    provider.groups = None
    company.sync("held")
    assert with_keys(company) == {"ada", "bob"}


def test_a_group_that_cannot_be_opened_fails_the_run(provider: Provider, company: Company) -> None:
    """A group that the list shows and that does not answer is half an answer."""
    provider.add("ada")
    provider.group("ai", "id-ada")
    company.policies = (Policy("default", groups=("ai",)),)
    company.sync()
    provider.always["Groups/g-ai"] = error(404, "gone")
    company.fails("group_unreadable")
    provider.always["Groups/g-ai"] = found({"id": "g-ai", "displayName": "ai", "members": "many"})
    company.fails("malformed_answer")
    provider.always["Groups/g-ai"] = error(500, "oops")
    company.fails("provider_failed")


def test_a_provider_without_groups_is_believed_what_users_say(provider: Provider, company: Company) -> None:
    """Where /Groups is not there, the users' own `groups` count, by id or display name; then every run reads everything."""
    provider.groups = None
    provider.add("ada", groups=[{"value": "g-1", "display": "ai"}])
    provider.add("bob", groups=[{"value": "ai"}])
    provider.add("cleo", groups=["other", None, 7])
    company.policies = (Policy("default", groups=("ai",)),)
    company.sync()
    assert with_keys(company) == {"ada", "bob"}
    again = company.sync(mode="incremental")
    assert again.mode == "full" and "does not list who is in the issuing groups" in str(again.mode_reason)


def test_a_provider_that_does_not_know_excluded_attributes(provider: Provider) -> None:
    """A list of groups that is refused with that parameter is asked for without it."""
    provider.add("ada")
    provider.group("ai", "id-ada")
    answer = provider.reply

    def picky(path: str, query: dict[str, str], headers: dict[str, str]) -> tuple[int, dict[str, str], bytes]:
        return error(400, "unknown parameter") if "excludedAttributes" in query else answer(path, query, headers)

    provider.reply = picky  # type: ignore[method-assign]
    assert read(provider.url, "ai").one("ada").groups == ("ai",)


def test_groups_that_do_not_list_their_members(provider: Provider, company: Company) -> None:
    """Where /Groups shows a group without `members`, people are in it who say so, by its id or its name, also when the policy calls it otherwise."""
    provider.add("ada", groups=[{"value": "g-ai"}])
    provider.add("bob", groups=[{"value": "x", "display": "ai"}])
    provider.add("cleo", groups=[{"value": "g-listed"}])
    provider.groups = {"g-ai": {"id": "g-ai", "displayName": "ai"}}
    provider.group("listed", "id-ada")
    company.policies = (Policy("default", groups=("ai",)), Policy("listed", groups=("listed",)))
    company.sync()
    found = {name: (user.groups, len(user.virtual_keys)) for name, user in company.users().items()}
    assert found == {"ada": (["ai", "listed"], 2), "bob": (["ai"], 1), "cleo": ([], 0)}
    assert "does not list" in str(company.sync(mode="incremental").mode_reason)
