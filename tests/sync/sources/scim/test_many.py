"""Ten thousand users, from a provider in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tests.servers.crowd import crowd

PROGRAM = """
import json, sys, time
from pathlib import Path
from tests.sync.sources.scim.company import Company, read, settings_of
from sync.sources import open_source

def peak():
    return next(int(line.split()[1]) / 1024 for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))

url, folder = sys.argv[1], Path(sys.argv[2])
with open_source(settings_of(url)).open() as reading:  # imports what is needed
    pass
before, seconds = peak(), []
for _ in range(3):
    began, people = time.perf_counter(), 0
    with open_source(settings_of(url)).open() as reading:
        for page in reading.full():
            people += len(page.persons)
    seconds.append(time.perf_counter() - began)
grown = peak() - before
with Company(url, folder) as company:
    first, second = company.sync(), company.sync()
print(json.dumps({"people": people, "seconds": min(seconds), "grown": grown, "first": first.counts, "second": second.counts,
                  "took": [first.seconds, second.seconds]}))
"""


def test_30_ten_thousand_users(tmp_path: Path) -> None:
    """They are read in less than two seconds with less than 50 MiB more, all have a key after the first sync, and the second changes nothing."""
    with crowd(10_000) as url:
        command = [sys.executable, "-c", PROGRAM, url, str(tmp_path)]
        done = subprocess.run(command, cwd=Path(__file__).parents[4], capture_output=True, text=True, check=True)
    told = json.loads(done.stdout)
    print(told)
    assert told["people"] == 10_000
    assert told["seconds"] < 2
    assert told["grown"] < 50
    assert told["first"]["keys_issued"] == 10_000
    assert told["second"]["unchanged"] == sum(told["second"].values()) == 10_000
