"""A SCIM provider of ten thousand users, pulled by rosterd: one read, a first sync and one that finds nothing new."""

from __future__ import annotations

import base64
import json
import os
import secrets
import sys
from collections.abc import Iterator
from pathlib import Path

from bench.measure import Failed, Measured, measure
from tests.servers.crowd import crowd

USERS = int(os.environ.get("BENCH_SCIM", "10000"))
CONFIG = """\
[store]
url = "sqlite:///rosterd.db"
[auth]
secret_file = "jwt.secret"
[keys]
encryption_key_file = "vault.keys"
[[keys.issue]]
name = "default"
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


def measure_scim(folder: Path) -> Iterator[tuple[str, Measured]]:
    """Yield what was measured, of whole processes. Raises Failed for a wrong count."""
    for name, text in (("jwt.secret", secrets.token_urlsafe(48)), ("vault.keys", base64.b64encode(os.urandom(32)).decode())):
        (folder / name).touch(0o600)
        (folder / name).write_text(text + "\n")
    with crowd(USERS) as url:
        (folder / "config.toml").write_text(CONFIG.format(url=url))
        read = measure([sys.executable, "-c", READER, url], folder / "read", best_of=3)
        _expect(int(read.output))
        yield f"SCIM: {USERS:,} users pulled as persons", read
        for what, counted in (("first sync: a key for each", "keys_issued"), ("second sync: nothing new", "unchanged")):
            done = measure([sys.executable, "-m", "daemon", "--config", str(folder / "config.toml"), "sync", "--full", "--json"], folder / "sync")
            _expect(json.loads(done.output)["run"]["counts"][counted])
            yield f"SCIM: {what}", done


def _expect(found: int) -> None:
    if found != USERS:
        raise Failed(f"{found} users instead of {USERS}")
