"""A sync that kills itself with SIGKILL at the n-th beat of a phase: a process of test_killed.py, which gives it an order on its command line."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import msgspec

from sync.run import RunSetting, perform
from sync.settings import Policy, Secret, SourceSettings, StoreSettings
from sync.sources import normalise_group, open_source
from sync.store.engine import open_store
from sync.store.lease import Progress
from sync.vault import Vault


class Order(msgspec.Struct):
    """What to do, as JSON on the command line (no secret of anybody's is in it: the server is the test's own)."""

    store: str
    vault: str
    url: str
    base: str
    bind_dn: str
    password: str
    run: str
    phase: str
    beat: int


def main() -> None:
    """Perform the run; die where the order says."""
    order = msgspec.json.decode(sys.argv[1], type=Order)
    left = order.beat

    def die(progress: Progress) -> None:
        nonlocal left
        if progress.phase == order.phase:
            left -= 1
            if left <= 0:
                os.kill(os.getpid(), signal.SIGKILL)

    source = SourceSettings(
        "corp", "ldap", 0, urls=(order.url,), tls="plain", allow_plaintext=True, bind_dn=order.bind_dn, bases=(order.base,), page_size=50,
        password=Secret(order.password),
    )  # fmt: skip
    setting = RunSetting(
        open_store(StoreSettings(order.store)),
        Vault.parse(Secret(Path(order.vault).read_text())),
        source,
        (Policy("default"),),
        open_source,
        lambda group: normalise_group("ldap", group),
        die,
    )
    perform(setting, order.run)
