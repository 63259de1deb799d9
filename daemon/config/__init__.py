"""The configuration: one TOML file and the secret files it names. `config.example.toml` explains every key."""

from daemon.config.load import find_store, load, locate
from daemon.config.settings import AuditSettings, Config, HttpSettings

__all__ = ["AuditSettings", "Config", "HttpSettings", "find_store", "load", "locate"]
