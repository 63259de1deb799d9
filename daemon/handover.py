"""The configuration that a child lives by: the one its daemon has accepted, whatever the file says meanwhile; but the newest passwords."""

from __future__ import annotations

import os
import pickle
from dataclasses import replace

from daemon.config import Config, load
from sync.errors import ConfigError
from sync.settings import Secret, SourceSettings

VARIABLE = "ROSTERD_HANDED"
"""Environment: the number of the descriptor from which a child reads what it was handed. It is memory, never a file."""


def pack(config: Config) -> bytes:
    """Return a configuration as octets for a child."""
    return pickle.dumps(config)


def is_handed() -> bool:
    """Tell whether this process was handed a configuration."""
    return VARIABLE in os.environ


def take() -> Config:
    """Return the configuration that this process was handed."""
    with os.fdopen(int(os.environ.pop(VARIABLE)), "rb") as handed:
        config: Config = pickle.load(handed)  # noqa: S301 – our parent wrote it into memory that nobody else can reach
    return config


def with_newest_passwords(accepted: Config) -> Config:
    """Return `accepted` with the passwords that the files hold now: a rotated one needs no reload. All else waits for SIGHUP."""
    try:
        newest = {source.name: source for source in load(accepted.path).sources}
    except ConfigError:
        return accepted
    return replace(accepted, sources=tuple(_renewed(source, newest.get(source.name)) for source in accepted.sources))


def _renewed(source: SourceSettings, newest: SourceSettings | None) -> SourceSettings:
    """Return the source with its newest secrets, if nothing else of it has changed: a secret never goes to another server."""
    if newest is None or _without_secrets(newest) != _without_secrets(source):
        return source
    return newest


def _without_secrets(source: SourceSettings) -> SourceSettings:
    oauth2 = source.oauth2 and replace(source.oauth2, client_secret=Secret(""))
    return replace(source, password=None, keytab_mark=None, token=None, oauth2=oauth2)
