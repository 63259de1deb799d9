"""What rosterd is measured beside: the same query by ldapsearch, and by ldap3 as it is commonly used."""

from __future__ import annotations

import sys
from pathlib import Path

from bench.figures import Part
from bench.measure import expect, measure
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
import time
from pathlib import Path
import ldap3
url, dn, password, base, page = sys.argv[1:]
began = time.perf_counter()
server = ldap3.Server(url, get_info=ldap3.NONE)
with ldap3.Connection(server, dn, Path(password).read_text(), check_names=False) as connection:
    found = connection.extend.standard.paged_search(base, {FILTER!r}, attributes={list(ATTRIBUTES)!r}, paged_size=int(page), generator=True)
    print(sum(1 for entry in found if entry["type"] == "searchResEntry"), time.perf_counter() - began)
"""

PYTHON_LDAP = "/usr/bin/python3"
"""The interpreter for which Debian builds python3-ldap; libldap's headers are not needed then."""

PYTHON_LDAP_READER = f"""
import sys
import time
from pathlib import Path
import ldap
from ldap.controls import SimplePagedResultsControl
url, dn, password, base, page = sys.argv[1:]
began = time.perf_counter()
connection, paged, count = ldap.initialize(url), SimplePagedResultsControl(True, size=int(page), cookie=b""), 0
connection.simple_bind_s(dn, Path(password).read_text())
while True:
    number = connection.search_ext(base, ldap.SCOPE_SUBTREE, {FILTER!r}, {list(ATTRIBUTES)!r}, serverctrls=[paged])
    _, entries, _, controls = connection.result3(number)
    count += len(entries)
    paged.cookie = controls[0].cookie
    if not paged.cookie:
        break
print(count, time.perf_counter() - began)
"""

OUR_READER = """
import sys
import time
from pathlib import Path
from sync.settings import Secret, SourceSettings
from sync.sources.ldap.connection import Line, Search
from sync.sources.ldap.paging import Walk
from sync.sources.ldap.vendors import OPENLDAP
url, dn, password, base, page, what, filter_text, *attributes = sys.argv[1:]
began = time.perf_counter()
settings = SourceSettings(
    "corp", "ldap", 0, urls=(url,), tls="plain", allow_plaintext=True, bind_dn=dn, password=Secret(Path(password).read_text()), bases=(base,),
    filter=filter_text, page_size=int(page), vendor="openldap",
)
count = 0
if what == "entries":
    def take(entry):
        global count
        count += 1
    for _ in Walk(Line(settings, url), OPENLDAP).pages_of(Search(base, filter_text, attributes, page_size=int(page)), take):
        pass
else:
    from sync.sources import open_source
    with open_source(settings, ()).open() as reading:
        count = sum(len(page.persons) for page in reading.full())
print(count, time.perf_counter() - began)
"""
"""Each of these prints how many entries it had, and the seconds from its first word to the server to the last entry.
`entries`: decoded as they come off the wire; `persons`: as a sync takes them, addresses normalised."""


def reader(slapd: Slapd, program: str, password: Path, page: int, *more: str, python: str = sys.executable) -> list[str]:
    """Return the command line of one of these programs; `password` was written by `ldapsearch`."""
    return [python, "-c", program, slapd.url, slapd.bind_dn, str(password), slapd.base, str(page), *more]


def measure_readers(part: Part, slapd: Slapd, folder: Path, people: int, page: int) -> None:
    """Measure once how long it takes to have every entry in Python: by python-ldap (C), by ldap3, by our decoder, and as persons."""
    password, ours = folder / "password", [FILTER, *ATTRIBUTES]
    password.write_text(slapd.password)
    programs = {
        "read_python_ldap": reader(slapd, PYTHON_LDAP_READER, password, page, python=PYTHON_LDAP),
        "read_ldap3": reader(slapd, LDAP3_READER, password, page),
        "read_entries": reader(slapd, OUR_READER, password, page, "entries", *ours),
        "read_persons": reader(slapd, OUR_READER, password, page, "persons", *ours),
    }
    for name, command in programs.items():
        count, seconds = measure(command, folder / "reader").output.split()
        expect(f"entries of {name}", int(count), people)
        part.add(**{f"{name}__seconds": float(seconds)})
