"""The configuration: one TOML file and the secret files it names. `config.example.toml` explains every key."""

from daemon.config.load import find_owned, find_url, load, locate
from daemon.config.settings import AuditSettings, Config, HttpSettings

__all__ = ["AuditSettings", "Config", "HttpSettings", "find_owned", "find_url", "load", "locate"]
