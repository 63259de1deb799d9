"""A SCIM provider of ten thousand users, pulled by rosterd: one read, a first sync and one that finds nothing new."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from bench.differences import expect_none, in_crowd, in_store
from bench.figures import Part
from bench.installation import Installation
from bench.measure import Measured, expect, measure
from tests.servers.crowd import PAGE, crowd

USERS = int(os.environ.get("BENCH_SCIM", "10000"))
TABLES = """\
[[source]]
name = "partner"
kind = "scim"
url = "{url}"
"""
READER = """
import sys
from sync.settings import SourceSettings
from sync.sources import open_source
with open_source(SourceSettings("partner", "scim", 0, urls=(sys.argv[1],), page_size=100)).open() as reading:
    print(sum(len(page.persons) for page in reading.full()))
"""


def measure_scim(part: Part, folder: Path) -> None:
    """Measure one round, of whole processes: a pull, a first sync and one that finds nothing new. Raises Failed for a wrong count or a difference."""
    folder.mkdir()
    with crowd(PAGE) as url:
        smallest = _pull(folder, url, PAGE).peak
    with crowd(USERS) as url:
        installation = Installation(folder, TABLES.format(url=url))
        done = _pull(folder, url, USERS)
        part.add(scim_pull__seconds=done.seconds, scim_pull__extra_mb=done.peak - smallest)
        for what, counted in (("scim_first", "keys_issued"), ("scim_unchanged", "unchanged")):
            done, run = installation.sync("--full")
            expect(counted, run["counts"][counted], USERS)
            part.add(**{f"{what}__seconds": done.seconds, f"{what}__peak_mb": done.peak})
    part.add(compared__scim=expect_none(in_crowd(USERS), in_store(installation.select)))


def _pull(folder: Path, url: str, count: int) -> Measured:
    done = measure([sys.executable, "-c", READER, url], folder / "read")
    expect("users pulled", int(done.output), count)
    return done
