"""The example is the reference: it holds every key, says the true defaults, and loads."""

from __future__ import annotations

import re
import shutil
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import daemon.config
from daemon.config import load
from daemon.config.description import Kinds, Table
from daemon.config.tables import ROOT
from sync.settings import Attributes, GroupSearch, GuardSettings, ScheduleSettings, SourceSettings, StoreSettings

ROOT_FILE = Path(__file__).parents[3] / "config.example.toml"


def whole() -> dict[str, Any]:
    """Return the example with every setting in it taken out of its comment; TOML has no room for [auth] issuer beside [[auth.issuer]]."""
    text = ROOT_FILE.read_text()
    assert '\n#issuer = "rosterd"\n' in text
    text = text.replace('\n#issuer = "rosterd"\n', "\n", 1)
    return tomllib.loads(re.sub(r"^#(?=\[|[a-z_0-9]+ = )", "", text, flags=re.MULTILINE))


def missing(table: Table, raw: Mapping[str, Any], path: str) -> Iterator[str]:
    """Yield what the example lacks or gets wrong."""
    for key, field in table.fields.items():
        if key not in raw:
            yield f"{path}{key} is not in the example"
        elif field.default is not None and raw[key] != field.default and f"{path}{key}" not in CHOSEN:
            yield f"{path}{key} is {field.default!r}, the example says {raw[key]!r}"
    for name, inner in table.tables.items():
        if name not in raw and not path.startswith(("source.1.", "source.2.")):
            yield f"[{path}{name}] is not in the example"
        yield from missing(inner, raw.get(name, {}), f"{path}{name}.") if name in raw else ()
    for name, listed in table.lists.items():
        for number, item in enumerate(raw[name]):
            yield from missing(listed.of(item) if isinstance(listed, Kinds) else listed, item, f"{path}{name}.{number}.")
    yield from (f"{path}{key} is no key" for key in raw if key not in table.keys)


CHOSEN = {"source.0.base", "source.0.bind_dn", "source.0.password_file", "auth.issuer"}
"""What the example sets to something else than the default."""


def test_the_example_names_every_key_with_its_default() -> None:
    """Every key that is understood stands in the example, in or out of a comment, with the default that the code has."""
    assert list(missing(ROOT, whole(), "")) == []


def test_the_example_explains_itself_in_every_table() -> None:
    """No table of the example stands without a comment before it."""
    blocks = re.split(r"\n\n", ROOT_FILE.read_text())
    assert [block for block in blocks if re.search(r"^#?\[", block, re.MULTILINE) and not re.search(r"^# ", block, re.MULTILINE)] == []


def test_the_example_loads(folder: Any) -> None:
    """With the files that it names, the example is a configuration without a mistake."""
    shutil.copy(ROOT_FILE, folder.file)
    config = load(folder.file)
    assert [source.name for source in config.sources] == ["corp"]
    assert [policy.name for policy in config.policies] == ["default"]
    assert config.store == StoreSettings("sqlite:////var/lib/rosterd/rosterd.db")


def test_the_package_holds_the_same_example() -> None:
    """What an installed rosterd carries is the file at the root of the repository."""
    assert Path(daemon.config.__file__).with_name("example.toml").read_text() == ROOT_FILE.read_text()


def test_defaults_of_the_file_are_those_of_the_core(folder: Any) -> None:
    """A source that says only what it must equals the core's settings with their defaults."""
    source = folder.load().sources[0]
    plain = SourceSettings(name="corp", kind="ldap", rank=0)
    differing = {"urls", "bind_dn", "password", "bases", "parts", "digest"}
    assert {key for key in SourceSettings.__slots__ if getattr(source, key) != getattr(plain, key)} == differing
    assert (source.attributes, source.groups, source.schedule, source.guard) == (Attributes(), GroupSearch(), ScheduleSettings(), GuardSettings())
