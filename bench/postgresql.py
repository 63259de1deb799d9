"""The same directory with PostgreSQL as the store: what syncs and lookups take there, and how much of it the database server takes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench.figures import Part
from bench.installation import Installation
from bench.load import ask
from bench.lookups import KEY, finder
from bench.measure import cpu_of
from bench.syncs import Followed
from tests.servers.postgres import Postgres
from tests.servers.slapd import Slapd

SETTINGS = {"shared_buffers": "512MB", "max_wal_size": "1GB", "autovacuum": "on"}
"""On top of the tests' own, so that the server does not write what a real one would not; it does not wait for the disk."""


class OnPostgres(Installation):
    """A rosterd whose store is a database of `server`."""

    def __init__(self, folder: Path, tables: str, server: Postgres) -> None:
        self._server, self.database = server, server.create()
        super().__init__(folder, tables, server.url(self.database))

    def select(self, statement: str) -> Iterator[Any]:
        """Yield what a statement finds in the store."""
        yield from self._server.sql(statement, self.database)


def measure_postgresql(part: Part, slapd: Slapd, folder: Path, people: int, page: int, count: int) -> None:
    """Measure once: a first sync, one that finds nothing new, incremental ones, and lookups."""
    folder.mkdir()
    with Postgres().prepare().start(**SETTINGS) as server:
        one = Followed(slapd, OnPostgres.of_slapd(folder, slapd, page, server=server), people)
        part.add(postgresql_first__seconds=one.first_sync()[0].seconds)
        server.sql("vacuum analyze", one.installation.database)
        part.add(postgresql_unchanged__seconds=one.unchanged_sync()[0].seconds)
        for _ in range(3):
            part.add(postgresql_incremental__seconds=one.incremental_sync()[0].seconds)
        part.add(compared__postgresql=one.check())
        find, admin = finder(people, one.installation.token("lookup")), one.installation.token("admin")
        with one.installation.serving() as (pid, _):
            one.installation.wait_until_quiet(admin)
            one.installation.wait_until_told()
            ask(one.installation.port, find, KEY, count=500)
            used, served = cpu_of(pid), _cpu_below(server)
            part.add_load("postgresql_lookup", ask(one.installation.port, find, KEY, count=count))
            part.add(postgresql_lookup__processor_us=(cpu_of(pid) - used) / count * 1e6,
                     postgresql_lookup__server_us=(_cpu_below(server) - served) / count * 1e6)  # fmt: skip
            part.add_load("postgresql_lookup_alone", ask(one.installation.port, find, KEY, count=count // 2, connections=1))


def _cpu_below(server: Postgres) -> float:
    """Return the seconds of processor that the server's processes have used: those of the connections that stand."""
    postmaster = (server.data / "postmaster.pid").read_text().split("\n")[0]
    children = Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text().split()
    return sum(cpu_of(int(child)) for child in children)
