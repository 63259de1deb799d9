"""What `rosterd check` looks at on this machine: the configuration's consequences, key files, the store. Directories have a probe of their own."""

from __future__ import annotations

import ipaddress
import os
import ssl
import stat
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import msgspec

from api.settings import MintSettings
from daemon.commands.health import ending_tokens, judge_tokens
from daemon.config import Config
from daemon.listening import make_tls
from daemon.printing import plural
from sync.errors import ConfigError, NotFound, RosterError

if TYPE_CHECKING:
    from sync.store.engine import Store

SOON = 30 * 86_400
"""Seconds: a certificate that ends within them is worth a word."""

LEAST_ROOM = 200 * 1024 * 1024
"""Octets that should be free where the store is: a big sync writes as much as the store holds."""


class Checked(msgspec.Struct, frozen=True, omit_defaults=True):
    """One thing that was looked at: `warning` works and is worth a thought, `failed` must be mended; `remedy` says how.
    `where` is the source it concerns, "" for this machine."""

    what: str
    state: Literal["ok", "warning", "failed"]
    detail: str
    remedy: str = ""
    where: str = ""


def check_config(config: Config) -> Iterator[Checked]:
    """Yield what follows from a configuration that holds no mistake."""
    names = ", ".join(source.name for source in config.sources)
    yield Checked("configuration", "ok", f"{config.path}: {plural(len(config.sources), 'source')} ({names}), {_policies(config)}")
    if not config.policies:
        yield Checked("policies", "warning", "no [[keys.issue]]: nobody is given a key by a sync", "Add one, unless every key is issued by hand.")
    yield from _check_listening(config)
    yield from _check_proxy(config)
    certificate = config.http.tls_cert_file
    yield _check_certificate(config, certificate) if certificate else Checked("tls", "ok", "not spoken by rosterd itself")
    yield Checked("token secrets", "ok", plural(len(config.api.secrets), "secret"))
    if config.minting.pem is not None:
        yield _describe_signing(config.minting)
    folder = config.audit.path.parent
    if not os.access(folder, os.W_OK):
        yield Checked("audit", "failed", f"{config.audit.path} cannot be written", "Make its folder exist and belong to the user that runs rosterd.")


def _describe_signing(minting: MintSettings) -> Checked:
    """Return what signs keys that are JWTs; a configuration with a bad one never comes so far."""
    from api.auth.minting import read_signing_keys

    keys = read_signing_keys(minting)
    signs = "signs new values" if minting.as_jwt else 'signs nothing while [keys] format = "sk-bf"'
    return Checked("signing keys", "ok", f"{plural(len(keys), 'key')}, the first, {keys[0].kid} ({keys[0].algorithm}), {signs}")


def check_store(config: Config) -> Iterator[Checked]:
    """Yield what is found of the store; a file is not made if there is none."""
    path = config.store.file
    if path is None:
        yield from _look_into(config)
        return
    if not path.exists():
        if os.access(path.parent, os.W_OK):
            yield Checked("store", "ok", f"{path} is made by the first command that needs it")
        else:
            remedy = "Make its folder exist and belong to the user that runs rosterd, or correct [store] url."
            yield Checked("store", "failed", f"{path} cannot be made", remedy)
        return
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o077:
        yield Checked(
            "store", "warning", f"{path} can be read or changed by others (mode {mode:04o}): it says who has which key", f"chmod 0600 {path}"
        )
    yield from _look_into(config)
    room = os.statvfs(path.parent)
    if room.f_bavail * room.f_frsize < LEAST_ROOM:
        yield Checked(
            "disk", "warning", f"less than {LEAST_ROOM // 1024**2} MiB are free beside the store", "Free some: a full disk fails every sync."
        )


def kept_vendor(config: Config, source: str) -> str:
    """Return what kind of directory the source's first read found, "" while there is no such read or no store to tell of it."""
    from sync.store.engine import open_store
    from sync.store.sources import get_source

    if config.store.file is not None and not config.store.file.exists():
        return ""
    try:
        store = open_store(config.store)
    except RosterError:
        return ""
    try:
        return get_source(store, source).vendor or ""
    except NotFound:
        return ""
    finally:
        store.close()


def _look_into(config: Config) -> Iterator[Checked]:
    try:
        yield from _open_and_look(config)
    except ConfigError as error:
        yield Checked("encryption keys", "failed", error.problems[0])
    except RosterError as error:
        yield Checked("store", "failed", error.message, error.remedy)


def _open_and_look(config: Config) -> Iterator[Checked]:
    from sync.store.engine import open_store
    from sync.store.keyring import bind_vault
    from sync.store.migrations import VERSIONS
    from sync.store.people import list_users
    from sync.vault import Vault

    store = open_store(config.store)
    try:
        total = list_users(store, limit=1).total
        yield Checked("store", "ok", f"{store.name}: version {VERSIONS[-1]}, {plural(total, 'user')}")
        vault = Vault.parse(config.vault_secret)
        bind_vault(store, vault)
        yield Checked("encryption keys", "ok", f"{plural(len(vault.key_names), 'key')}, the newest {vault.key_names[0]}")
        yield from _look_for_restores(config, store)
        now = store.now()
        for problem in judge_tokens(ending_tokens(store, now), now):
            yield Checked("token", "warning", problem.what, problem.remedy)
    finally:
        store.close()


def _look_for_restores(config: Config, store: Store) -> Iterator[Checked]:
    from daemon.commands.restoring import interrupted
    from daemon.relay import refuse_older
    from sync.store.restoring import unconfirmed

    if interrupted(config):
        what = "was interrupted before it took effect: the store is the one from before it"
        yield Checked("restore", "warning", what, "rosterd store restore FILE")
    waiting = unconfirmed(store)
    if waiting:
        what = f"lookups answer 503 until these have been read whole: {', '.join(waiting)}"
        yield Checked("restore", "warning", what, f"rosterd sync {' '.join(waiting)} --full")
    refuse_older(store, config.audit.path)


def _policies(config: Config) -> str:
    return plural(len(config.policies), "policy", "policies")


def _check_listening(config: Config) -> Iterator[Checked]:
    http = config.http
    loopback = http.host == "localhost"
    with suppress(ValueError):
        loopback = ipaddress.ip_address(http.host).is_loopback
    if not loopback and not http.tls_cert_file:
        remedy = "Set tls_cert_file and tls_key_file, or listen on 127.0.0.1 behind a proxy that speaks TLS."
        yield Checked("listening", "warning", f"[http] host = {http.host} without TLS: keys and tokens cross the network in the clear", remedy)
    else:
        yield Checked("listening", "ok", f"{http.host} port {http.port}{f' and {http.unix_socket}' if http.unix_socket else ''}")


def _check_proxy(config: Config) -> Iterator[Checked]:
    """Tell how many could assert users: for X-Forwarded-For a whole network may be good enough, for this it is not."""
    if config.api.proxy is None:
        return
    trusted = [ipaddress.ip_network(one) for one in config.http.trusted_proxies]
    wide = [str(network) for network in trusted if network.num_addresses > 1]
    if wide:
        remedy = "Name the proxy's own address in trusted_proxies, or let it come through [http] unix_socket."
        yield Checked("proxy", "warning", f"every address of {', '.join(wide)} may say that it is anybody ([auth.proxy])", remedy)
    else:
        where = [*([str(config.http.unix_socket)] if config.http.unix_socket else []), *map(str, config.http.trusted_proxies)]
        yield Checked("proxy", "ok", f"users of {config.api.proxy.source} are asserted in {config.api.proxy.header}, from {', '.join(where)}")


def _check_certificate(config: Config, file: Path) -> Checked:
    try:
        make_tls(config.http)
        ends = _end_of(file)
    except ConfigError as error:
        return Checked("tls", "failed", error.problems[0], "PEM, the certificate first, and the key that belongs to it, without a password.")
    left = ends - datetime.now(UTC).timestamp()
    detail = f"the certificate ends {datetime.fromtimestamp(ends, UTC):%Y-%m-%d} (in {left / 86_400:.0f} days)"
    if left <= 0:
        return Checked("tls", "failed", detail, "Renew it: no client will talk to rosterd.")
    return Checked("tls", "warning", detail, "Renew it soon.") if left < SOON else Checked("tls", "ok", detail)


def _end_of(certificate: Path) -> float:
    """Return when a certificate ends, in seconds since the epoch. Python has no public name for this reader; it has had it since 2.6."""
    decode = getattr(ssl, "_ssl")._test_decode_cert  # noqa: B009
    return float(ssl.cert_time_to_seconds(decode(str(certificate))["notAfter"]))
