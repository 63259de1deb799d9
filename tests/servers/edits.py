"""Changing the entries of a real directory server while it runs, one at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import ldap3


class Edits:
    """What every test's own server can do with its entries; the server says where it listens and who may write."""

    port: int
    admin_dn: str
    password: str
    base: str
    groups: str
    id_attribute: str

    @contextmanager
    def connect(self, dn: str = "", password: str = "") -> Iterator[ldap3.Connection]:
        """Yield an ldap3 connection, by default as the directory's administrator. Failed operations raise."""
        server = ldap3.Server("127.0.0.1", self.port, get_info=ldap3.NONE, connect_timeout=10)
        connection = ldap3.Connection(server, dn or self.admin_dn, password or self.password, raise_exceptions=True, check_names=False)
        try:
            connection.bind(read_server_info=False)
            yield connection
        finally:
            connection.unbind()

    def add(self, dn: str, **attributes: Any) -> str:
        """Add an entry; `objectClass` is part of the attributes. Returns the DN."""
        with self.connect() as connection:
            connection.add(dn, attributes=attributes)
        return dn

    def add_person(self, uid: str, *, parent: str = "", **attributes: Any) -> str:
        """Add one inetOrgPerson (attributes override the defaults, None leaves one out) and return the DN."""
        entry: dict[str, Any] = {"objectClass": ["inetOrgPerson"], "cn": uid.title(), "sn": uid.title(), "mail": f"{uid}@example.com"}
        entry |= attributes
        return self.add(f"uid={uid},{parent or self.base}", **{name: value for name, value in entry.items() if value is not None})

    def add_group(self, name: str, members: Sequence[str]) -> str:
        """Add a groupOfNames (its members are marked with memberOf) and return the DN."""
        return self.add(f"cn={name},{self.groups}", objectClass="groupOfNames", member=list(members))

    def modify(self, dn: str, **changes: Any) -> None:
        """Replace attributes: a list of values each, [] deletes the attribute."""
        with self.connect() as connection:
            connection.modify(dn, {name: [(ldap3.MODIFY_REPLACE, value if isinstance(value, list) else [value])] for name, value in changes.items()})

    def delete(self, *dns: str) -> None:
        """Delete entries."""
        with self.connect() as connection:
            for dn in dns:
                connection.delete(dn)

    def move(self, dn: str, parent: str = "", *, rdn: str = "") -> str:
        """Move and/or rename an entry (its id stays); return the new DN."""
        old_rdn, _, old_parent = dn.partition(",")
        with self.connect() as connection:
            connection.modify_dn(dn, rdn or old_rdn, new_superior=parent or None)
        return f"{rdn or old_rdn},{parent or old_parent}"

    def id_of(self, dn: str) -> str:
        """Return the id of an entry as the directory spells it."""
        with self.connect() as connection:
            connection.search(dn, "(objectClass=*)", ldap3.BASE, attributes=[self.id_attribute])
            return str(connection.response[0]["raw_attributes"][self.id_attribute][0].decode())
