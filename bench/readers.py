"""What rosterd is measured beside: the same query by ldapsearch, and by ldap3 as it is commonly used."""

from __future__ import annotations

from pathlib import Path

from tests.servers.slapd import Slapd

FILTER = "(objectClass=inetOrgPerson)"
ATTRIBUTES = ("entryUUID", "uid", "displayName", "mail", "memberOf", "pwdAccountLockedTime", "shadowExpire")


def ldapsearch(slapd: Slapd, password: Path, page: int) -> list[str]:
    """Return the command line that prints everybody, page by page; the file `password` is written for it."""
    password.write_text(slapd.password)
    who = ["-x", "-H", slapd.url, "-D", slapd.bind_dn, "-y", str(password)]
    return ["ldapsearch", "-LLL", "-o", "ldif-wrap=no", *who, "-b", slapd.base, "-E", f"pr={page}/noprompt", FILTER, *ATTRIBUTES]


LDAP3_READER = f"""
import sys
from pathlib import Path
import ldap3
url, dn, password, base, page = sys.argv[1:]
server = ldap3.Server(url, get_info=ldap3.NONE)
with ldap3.Connection(server, dn, Path(password).read_text(), check_names=False) as connection:
    found = connection.extend.standard.paged_search(base, {FILTER!r}, attributes={list(ATTRIBUTES)!r}, paged_size=int(page), generator=True)
    print(sum(1 for entry in found if entry["type"] == "searchResEntry"))
"""
