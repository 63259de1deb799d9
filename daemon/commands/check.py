"""`rosterd check`: everything looked over before it is relied on, with a remedy for what is found."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any, Literal

import click

from daemon.commands.looking import Checked, check_config, check_store, kept_vendor
from daemon.commands.opening import become_owner
from daemon.commands.options import config_path, takes_json
from daemon.config import Config, load
from daemon.printing import is_terminal, plural, print_json, safe, say
from sync.errors import ConfigError, NotFound, StoreUnavailable
from sync.settings import SourceSettings

Snapshot = Callable[[], AbstractContextManager[Any]]
OK, FAILED, STORE_FAILED, CONFIGURATION = 0, 4, 5, 78
_MARKS = {"ok": ("ok  ", "green"), "warning": ("warn", "yellow"), "failed": ("FAIL", "red")}


@click.command()
@click.argument("source", required=False)
@click.option("--offline", is_flag=True, help="Only what is on this machine: configuration, key files, store.")
@takes_json
def check(source: str | None, offline: bool, as_json: bool) -> int:
    """Look over the configuration, the store, the key files and each source, and say how to mend what is wrong.

    A source is read to its end, and ten people are shown as they would be read; nothing is changed.
    """
    path = config_path()
    become_owner(path)
    try:
        config = load(path)
    except ConfigError as error:
        if as_json:
            print_json(checks=[Checked("configuration", "failed", problem) for problem in error.problems])
            return CONFIGURATION
        raise
    chosen = _chosen(config, source)
    found: list[Checked] = []
    for checked in _everything(config, chosen, offline, alone=source is not None):
        found.append(checked)
        if not as_json:
            _print(checked)
    if as_json:
        print_json(checks=found)
    return _status(found)


def _everything(config: Config, sources: list[SourceSettings], offline: bool, *, alone: bool) -> Iterator[Checked]:
    yield from check_config(config)
    yield from check_store(config)
    if not offline and not alone:
        yield from _check_issuers(config)
    for source in sources:
        if source.is_pushed:
            yield from _check_pushed(config, source)
        elif not offline:
            yield from _check_source(config, source)


def _check_issuers(config: Config) -> Iterator[Checked]:
    """Tell which issuers publish their keys: until one of them has, its tokens are nobody's."""
    followed = [issuer for issuer in config.api.issuers if issuer.jwks_url]
    if not followed:
        return
    import asyncio

    from daemon.keysets import Unfetched, fetch, read_keys

    for issuer in followed:
        try:
            keys = read_keys(asyncio.run(fetch(issuer)))
        except Unfetched as unfetched:
            remedy = "Correct jwks_url or jwks_ca_file, or let this machine reach it; until then its tokens are answered 401."
            yield Checked("key set", "failed", f"{issuer.jwks_url}: {unfetched}", remedy, issuer.issuer)
            continue
        usable = sum(not key.algorithms.isdisjoint(issuer.algorithms) for key in keys.keys)
        left_out = f"; left out: {', '.join(keys.unusable)}" if keys.unusable else ""
        state: Literal["ok", "warning"] = "ok" if usable and not left_out else "warning"
        remedy = "" if usable else "No key is for one of its algorithms: correct algorithms."
        yield Checked("key set", state, f"{plural(len(keys.keys), 'key')}, {usable} of them for its algorithms{left_out}", remedy, issuer.issuer)


def _check_source(config: Config, source: SourceSettings) -> Iterator[Checked]:
    from sync.sources import probe

    good = True
    for probed in probe(source, kept_vendor(config, source.name)):
        good = good and probed.ok
        state = _MARKS_OF[(probed.ok, bool(probed.remedy))]
        yield Checked(probed.step, state, probed.detail, probed.remedy, source.name)  # type: ignore[arg-type]
    if good:
        yield from _check_groups(config, source)


def _check_pushed(config: Config, source: SourceSettings) -> Iterator[Checked]:
    """Look over a source that is pushed to: all of it is on this machine."""
    from daemon.commands.pushed import check_pushed, last_push
    from sync.store.engine import open_store

    try:
        store = open_store(config.store)
    except StoreUnavailable:  # it has been told of already
        return
    try:
        yield from check_pushed(config, source, store)
        if last_push(store, source.name):
            yield from _check_groups(config, source, store.read)
    finally:
        store.close()


_MARKS_OF = {(True, False): "ok", (True, True): "warning", (False, False): "failed", (False, True): "failed"}


def _check_groups(config: Config, source: SourceSettings, snapshot: Snapshot | None = None) -> Iterator[Checked]:
    """Tell which issuing groups the directory shows: whoever is in none of them is given no key."""
    from sync.errors import SourceError
    from sync.sources import normalise_group, open_source

    policies = [policy for policy in config.policies if policy.groups and (not policy.sources or source.name in policy.sources)]
    wanted = {normalise_group(source.kind, group): (policy.name, group) for policy in policies for group in policy.groups}
    if not wanted:
        return
    try:
        with open_source(source, sorted(wanted), snapshot).open() as reading:
            for _ in reading.full():
                pass
            found = reading.proof().groups_found
    except SourceError as error:
        yield Checked("issuing groups", "failed", error.message, error.remedy, source.name)
        return
    for compared, (policy, group) in wanted.items():
        if compared not in found:
            mend = "let the provider push the group" if source.is_pushed else "let the bind account see the group"
            remedy = f"Correct [[keys.issue]] groups, or {mend}: while it is not found, nobody loses or gets a key by it."
            yield Checked(f"policy {policy}", "failed", f"the group {group} is not found", remedy, source.name)
        else:
            many = found[compared]
            detail = f"{group} is found" + ("" if many is None else f", it lists {many:,}")
            yield Checked(
                f"policy {policy}", "warning" if many == 0 else "ok", detail, "An empty group gives nobody a key." if many == 0 else "", source.name
            )


def _chosen(config: Config, name: str | None) -> list[SourceSettings]:
    if name is None:
        return list(config.sources)
    chosen = [source for source in config.sources if source.name == name]
    if not chosen:
        raise NotFound("source_not_found", f"There is no source {name} in {config.path}.", "`rosterd sources` lists them.")
    return chosen


def _print(checked: Checked) -> None:
    import sys

    mark, colour = _MARKS[checked.state]
    shown = click.style(mark, fg=colour) if is_terminal(sys.stdout) else mark
    where = f"{safe(checked.where)}: " if checked.where else ""
    if checked.what == "person":
        say(f"        {safe(checked.detail)}")
        return
    say(f"{shown}  {where}{safe(checked.what)}: {safe(checked.detail)}")
    if checked.remedy:
        say(f"      → {safe(checked.remedy)}")


def _status(found: list[Checked]) -> int:
    failed = [checked for checked in found if checked.state == "failed"]
    if any(not checked.where and checked.what in ("configuration", "tls", "encryption keys", "audit") for checked in failed):
        return CONFIGURATION
    if any(not checked.where for checked in failed):
        return STORE_FAILED
    return FAILED if failed else OK
