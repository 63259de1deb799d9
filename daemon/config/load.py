"""From a file to a Config: all of its mistakes at once, or none."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import Any

from daemon.config.files import Files
from daemon.config.minting import build_minting
from daemon.config.policies import build_policies, check_unique
from daemon.config.push import build_push_source, check_push
from daemon.config.reader import Section, read
from daemon.config.scim import build_scim_source
from daemon.config.server import build_api, build_audit, build_http, build_store, store_url
from daemon.config.settings import Config
from daemon.config.sources import build_source
from daemon.config.tables import STORE
from daemon.config.values import Wrong
from daemon.config.webhooks import build_webhooks
from sync.errors import ConfigError
from sync.settings import Secret, StoreSettings

DEFAULT = Path("/etc/rosterd/config.toml")
VARIABLE = "ROSTERD_CONFIG"


def locate(option: str | os.PathLike[str] | None = None) -> Path:
    """Return the configuration's file: the option, else $ROSTERD_CONFIG, else the default. Absolute."""
    return Path(option or os.environ.get(VARIABLE) or DEFAULT).absolute()


def load(path: Path) -> Config:
    """Read a configuration and the files it names. Raises ConfigError with every mistake, each naming its table and key."""
    path = path.absolute()
    raw = parse(path)
    problems: list[str] = []
    config = _build(read(raw, problems), path, problems)
    if problems:
        raise ConfigError(problems, str(path))
    return config


def parse(path: Path) -> dict[str, Any]:
    """Return the tables of a TOML file as they stand. Raises ConfigError, with line and column for a mistake in its syntax."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
        return tomllib.loads(text)
    except FileNotFoundError:
        problem = "the file does not exist; `rosterd init` writes one, --config or $ROSTERD_CONFIG names another"
    except OSError as error:
        problem = f"the file cannot be read: {error.strerror}; the user that runs rosterd must be able to"
    except UnicodeDecodeError as error:
        problem = f"the file is no UTF-8 text (octet {error.start})"
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        problem = f"the file is no TOML: {error}"
    raise ConfigError([problem], str(path))


def find_url(path: Path) -> str | None:
    """Return the store's URL if the configuration names one, whatever else is wrong with it; nothing but the file itself is read."""
    try:
        table = parse(path).get("store", {})
        return store_url(table.get("url", STORE.fields["url"].default), path.absolute().parent)
    except (ConfigError, Wrong, AttributeError, TypeError):
        return None


def find_owned(path: Path) -> Path | None:
    """Return the file whose owner runs rosterd: the store, or of a store on a server the audit file. Found as `find_url` finds."""
    url = find_url(path)
    if url is None:
        return None
    try:
        return StoreSettings(url).file or path.absolute().parent / parse(path)["audit"]["file"]
    except (KeyError, TypeError):
        return None


def _build(root: Section, path: Path, problems: list[str]) -> Config:
    files, tables = Files(path.parent), root.tables
    store = build_store(tables["store"], files)
    http = build_http(tables["http"], files)
    audit = build_audit(tables["audit"], store, files)
    listed = root.lists["source"]
    kinds = {section["name"]: section["kind"] for section in listed if section["name"]}
    api = build_api(tables["auth"], http, files, kinds)
    vault = _vault_secret(tables["keys"], files, problems)
    if not listed:
        problems.append("[[source]]: is missing; name at least one directory")
    check_unique(listed, "sources")
    check_push(listed, http.public_url)
    builders = {"ldap": build_source, "scim": build_scim_source, "scim-push": build_push_source}
    sources = tuple(builders[section["kind"]](section, rank, files) for rank, section in enumerate(listed) if section["kind"] in builders)
    policies = build_policies(tables["keys"].lists["issue"], kinds)
    webhooks = build_webhooks(root.lists["webhook"], files)
    minting = build_minting(tables["keys"], api, files, problems)
    return Config(path, store, http, audit, api, vault, minting, tables["keys"]["revive_within"], policies, sources, webhooks)


def _vault_secret(section: Section, files: Files, problems: list[str]) -> Secret:
    """Return the key file's text, after the vault has looked at it."""
    secret = files.whole_secret(section, "encryption_key_file")
    if secret.reveal():
        from sync.vault import Vault  # cryptography takes its time

        try:
            Vault.parse(secret)
        except ConfigError as error:
            problems.extend(error.problems)
    return secret
