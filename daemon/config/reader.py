"""Reading a parsed file against its description: every mistake is noted, none ends the reading."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Any

from daemon.config.description import Field, Kinds, Table
from daemon.config.tables import ROOT
from daemon.config.values import Wrong


class Section:
    """One table as it was read: `section["key"]` is the value, or the default where the key is absent or wrong.

    `prefix` is what problems begin with: "[http] " or "[[source]] corp: guard.".
    """

    def __init__(self, prefix: str, problems: list[str]) -> None:
        self.prefix = prefix
        self.problems = problems
        self.values: dict[str, Any] = {}
        self.tables: dict[str, Section] = {}
        self.lists: dict[str, list[Section]] = {}
        self.given: set[str] = set()
        """The keys that the file gives."""
        self.wrong: set[str] = set()
        """The keys with a mistake; what depends on them need not be checked."""

    def __getitem__(self, key: str) -> Any:
        return self.values[key]

    def problem(self, key: str, why: str) -> None:
        """Note a mistake in `key`."""
        self.wrong.add(key)
        self.problems.append(f"{self.prefix}{key}: {why}")


def read(raw: Mapping[str, Any], problems: list[str]) -> Section:
    """Return the whole file as sections; mistakes go to `problems`."""
    section = Section("", problems)
    for name in _strangers(ROOT, raw):
        problems.append(_stranger_at_top(name, raw[name]))
    _read_inside(ROOT, raw, section, "")
    return section


def _read_table(table: Table, raw: Mapping[str, Any], section: Section, path: str) -> Section:
    plain = {key: value for key, value in raw.items() if not (key in table.lists and isinstance(value, list))}
    for key, described in table.fields.items():
        section.values[key] = _value(described, key, plain, section)
    for key in _strangers(table, raw):
        section.problem(key, _advice(key, table))
    _read_inside(table, raw, section, path)
    return section


def _value(described: Field, key: str, raw: Mapping[str, Any], section: Section) -> Any:
    if key in raw:
        section.given.add(key)
        try:
            return described.read(raw[key])
        except Wrong as wrong:
            section.problem(key, str(wrong))
    elif described.required:
        section.problem(key, "is missing")
    return None if described.default is None else described.read(described.default)


def _read_inside(table: Table, raw: Mapping[str, Any], section: Section, path: str) -> None:
    for name, inner in table.tables.items():
        section.tables[name] = _read_one(name, inner, raw, section, path)
    for name in table.lists:
        section.lists[name] = list(_read_list(name, table, raw, section, path))


def _read_one(name: str, table: Table, raw: Mapping[str, Any], section: Section, path: str) -> Section:
    title = f"{path}.{name}" if path else name
    inner = Section(f"{section.prefix}{name}." if section.prefix.startswith("[[") else f"[{title}] ", section.problems)
    value = raw.get(name, {})
    if not isinstance(value, dict):
        section.problems.append(f"[{title}]: is a table, written once as [{title}]")
        value = {}
    if name not in raw and table.optional:
        return inner
    return _read_table(table, value, inner, title)


def _read_list(name: str, table: Table, raw: Mapping[str, Any], section: Section, path: str) -> Iterator[Section]:
    title = f"{path}.{name}" if path else name
    value = raw.get(name, [])
    if name in table.fields and not isinstance(value, list):
        return  # [auth] issuer is a text, [[auth.issuer]] a list: TOML has room for one of them
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        section.problems.append(f"[[{title}]]: may stand several times, so it is written [[{title}]]")
        return
    listed = table.lists[name]
    for number, item in enumerate(value, 1):
        described = listed.of(item) if isinstance(listed, Kinds) else listed
        called = item.get("name") or item.get("issuer")
        prefix = f"[[{title}]] {called if isinstance(called, str) else f'number {number}'}: "
        yield _read_table(described, item, Section(prefix, section.problems), title)


def _strangers(table: Table, raw: Mapping[str, Any]) -> list[str]:
    return [key for key in raw if key not in table.keys]


def _stranger_at_top(name: str, value: object) -> str:
    if not isinstance(value, dict | list):
        return f"{name}: stands above every table{_homeward(name)}"
    near = get_close_matches(name, ROOT.keys, 1)
    return f"[{name}]: is no table of this file{f'; did you mean [{near[0]}]?' if near else ''}"


def _advice(key: str, table: Table) -> str:
    """Say why a key is not known here, and what may have been meant."""
    near = get_close_matches(key, table.keys, 1, 0.7)
    if near:
        return f"is not a key of this table; did you mean {near[0]}?"
    return f"is not a key of this table{_homeward(key)}"


def _homeward(key: str) -> str:
    homes = list(dict.fromkeys(_homes(key, ROOT, "")))  # the kinds of a source are one table
    return f"; it belongs to {' or '.join(homes)}" if homes else ""


def _homes(key: str, table: Table, path: str) -> Iterator[str]:
    """Yield the tables that have a key of this name."""
    for name, inner in table.tables.items():
        here = f"{path}.{name}" if path else name
        if key in inner.fields:
            yield f"[{here}]"
        yield from _homes(key, inner, here)
    for name, listed in table.lists.items():
        here = f"{path}.{name}" if path else name
        for inner in listed.tables.values() if isinstance(listed, Kinds) else [listed]:
            if key in inner.fields:
                yield f"[[{here}]]"
            yield from _homes(key, inner, here)
