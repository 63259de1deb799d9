"""A branch of a domain that belongs to one test: people, groups and a place for those who left, beside everybody else's."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any

from tests.servers.samba import REALM, Samba


class Branch:
    """OU=people, OU=former and OU=groups below an OU of their own. Names are unique in a whole domain, so each begins with `tag`."""

    def __init__(self, samba: Samba, tag: str) -> None:
        self.samba, self.tag = samba, tag
        self.top = samba.add(f"OU={tag},{samba.suffix}", objectClass="organizationalUnit")
        self.base, self.former, self.groups = (
            samba.add(f"OU={name},{self.top}", objectClass="organizationalUnit") for name in ("people", "former", "groups")
        )

    def named(self, name: str) -> str:
        """Return a name that is this branch's alone."""
        return f"{self.tag}-{name}"

    def add_person(self, name: str, *, parent: str = "", **attributes: Any) -> str:
        """Add one enabled user called `named(name)` with the address name@example.com; returns the DN. Attributes override the defaults."""
        username = self.named(name)
        entry: dict[str, Any] = {"objectClass": "user", "sAMAccountName": username, "userPrincipalName": f"{username}@{REALM}"}
        entry |= {"displayName": name.title(), "mail": f"{name}@example.com", "userAccountControl": 544} | attributes
        kept = {key: value for key, value in entry.items() if value is not None}
        return self.samba.add(f"CN={name.title()},{parent or self.base}", **kept)

    def add_group(self, name: str, members: Sequence[str] = ()) -> str:
        """Add one global security group; returns the DN."""
        more = {"member": list(members)} if members else {}
        return self.samba.add(f"CN={name},{self.groups}", objectClass="group", sAMAccountName=self.named(name), **more)

    def add_ou(self, name: str) -> str:
        """Add an organisational unit among the people; returns the DN."""
        return self.samba.add(f"OU={name},{self.base}", objectClass="organizationalUnit")

    def id_of(self, dn: str) -> str:
        """Return the objectGUID of an entry as people write it."""
        return str(uuid.UUID(bytes_le=self.samba.value_of(dn, "objectGUID")))

    def hide(self, dn: str, *attributes: str) -> None:
        """Take the ordinary bind account's right to see an entry and everything below it, or only some attributes there."""
        self.samba.deny(dn, self.samba.reader, "list read" if not attributes else "read", *attributes)
