"""Compares the project with its drawing: the map, arrows and doors of docs/architecture.md, and the rules of style that a machine can check."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path

ROOMS = ("daemon", "api", "sync")
LONGEST_MODULE, LONGEST_FUNCTION = 300, 45
FORBIDDEN = frozenset(["account", "member", "identity", "job", "task", "manager", "service", "handler", "helper", "util", "common", "base"])
_ROW = re.compile(r"( *)(\S+)")
_WORDS = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")


@dataclass
class Drawing:
    """What docs/architecture.md says.

    `map`: every module (`*.py` stands for many); `arrows`: unit → units it may import; `doors`: library → where it may be imported.
    """

    map: set[str] = field(default_factory=set)
    arrows: dict[str, set[str]] = field(default_factory=dict)
    leaves: set[str] = field(default_factory=set)
    doors: dict[str, set[str]] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str) -> Drawing:
        """Read the fenced blocks `map`, `arrows` and `doors`."""
        drawn = cls(map=set(_modules(_block(text, "map"))))
        for left, right in _table(_block(text, "arrows")):
            if left == {"all of sync"}:
                drawn.leaves |= right
            else:
                for unit in left:
                    drawn.arrows.setdefault(unit, set()).update(right)
        for left, right in _table(_block(text, "doors")):
            drawn.doors |= dict.fromkeys(left, right)
        return drawn

    def unit(self, module: str) -> str:
        """Return the smallest drawn thing that `module` belongs to."""
        drawn = {name for ends in self.arrows.items() for name in (ends[0], *ends[1])} | self.leaves | set(ROOMS)
        while module not in drawn:
            module = module.rpartition(".")[0]
        return module

    def allows(self, importer: str, imported: str) -> str:
        """Return the arrow ("a → b") that lets one module import another, "free" where none is needed, "" where there is none."""
        start, end = self.unit(importer), self.unit(imported)
        if start == end or end in self.leaves:
            return "free"
        for source in _upwards(start):
            for target in _upwards(end):
                if target in self.arrows.get(source, ()):
                    return f"{source} → {target}"
        return ""


def _block(text: str, name: str) -> list[str]:
    found = re.search(rf"^```{name}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    assert found, f"docs/architecture.md has no block ```{name}"
    return [line for line in found[1].splitlines() if line.strip()]


def _modules(rows: list[str]) -> Iterator[str]:
    folders: list[str] = []
    for row in rows:
        indent, name = _ROW.match(row).groups()  # type: ignore[union-attr]
        del folders[len(indent) // 2 :]
        if name.endswith("/"):
            folders.append(name)
            yield "".join(folders) + "__init__.py"
        else:
            yield "".join(folders) + name


def _table(rows: list[str]) -> Iterator[tuple[set[str], set[str]]]:
    for row in rows:
        left, arrow, right = row.partition("→")
        assert arrow, f"no arrow in {row!r}"
        yield _names(left), _names(right)


def _names(text: str) -> set[str]:
    return {name.strip() for name in text.split(",") if name.strip()}


def _upwards(module: str) -> Iterator[str]:
    while module:
        yield module
        module = module.rpartition(".")[0]


@dataclass
class Module:
    """One file of ours, parsed."""

    path: str
    name: str
    lines: int
    tree: ast.Module

    def imports(self, known: set[str], top: bool = False) -> Iterator[tuple[int, str]]:
        """Yield (line, absolute module) of every import; `from room import module` yields the module. `top`: only those run on import."""
        nodes = self.tree.body if top else ast.walk(self.tree)
        for node in nodes:
            if isinstance(node, ast.Import):
                yield from ((node.lineno, alias.name) for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                module = self._absolute(node)
                inner = {f"{module}.{alias.name}" for alias in node.names}
                yield from ((node.lineno, name) for name in (inner & known or {module}))
                if inner & known and inner - known:
                    yield node.lineno, module

    def _absolute(self, node: ast.ImportFrom) -> str:
        if not node.level:
            return node.module or ""
        here = self.name.split(".") + ([""] if self.path.endswith("__init__.py") else [])
        return ".".join([*here[: -node.level], *([node.module] if node.module else [])])


def modules(root: Path) -> list[Module]:
    """Return every module of the three rooms."""
    found = []
    for path in sorted(path for room in ROOMS for path in (root / room).rglob("*.py")):
        relative, text = path.relative_to(root), path.read_text()
        parts = relative.with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        found.append(Module(str(relative), name, text.count("\n"), ast.parse(text)))
    return found


def problems(root: Path, drawing: Drawing) -> list[str]:
    """Return every way in which the project under `root` differs from its drawing, one sentence each."""
    found = modules(root)
    return [*_map_problems(found, drawing), *_import_problems(found, drawing), *_circle_problems(found), *_style_problems(found)]


def _map_problems(found: list[Module], drawing: Drawing) -> Iterator[str]:
    on_disk = {module.path for module in found}
    for path in sorted(on_disk):
        if not any(fnmatch(path, drawn) for drawn in drawing.map):
            yield f"{path} is not on the map of docs/architecture.md"
    for drawn in sorted(drawing.map):
        if not any(fnmatch(path, drawn) for path in on_disk):
            yield f"{drawn} is on the map of docs/architecture.md but not on disk"


def _import_problems(found: list[Module], drawing: Drawing) -> Iterator[str]:
    known, walked = {module.name for module in found}, set()
    for module in found:
        for line, imported in module.imports(known):
            if imported.split(".")[0] in ROOMS:
                arrow = drawing.allows(module.name, imported)
                walked.add(arrow)
                if not arrow:
                    yield f"{module.path}:{line} imports {imported}: no arrow {drawing.unit(module.name)} → {drawing.unit(imported)} is drawn"
            elif wrong := _door_problem(drawing, module.name, imported):
                yield f"{module.path}:{line} imports {imported}: {wrong}"
    drawn = {f"{start} → {end}" for start, ends in drawing.arrows.items() for end in ends}
    yield from (f"the arrow {arrow} is drawn, but nothing walks it" for arrow in sorted(drawn - walked))


def _door_problem(drawing: Drawing, importer: str, imported: str) -> str:
    library = imported.split(".")[0]
    if library in sys.stdlib_module_names or {"*", *_upwards(importer)} & drawing.doors.get(library, set()):
        return ""
    return f"its door is {', '.join(sorted(drawing.doors[library]))}" if library in drawing.doors else f"{library} has no door"


def _circle_problems(found: list[Module]) -> Iterator[str]:
    known = {module.name for module in found}
    after = {module.name: {name for _, name in module.imports(known, top=True) if name in known} for module in found}
    done: set[str] = set()
    while ready := {name for name in known - done if after[name] <= done | {name}}:
        done |= ready
    if circle := sorted(name for name in known - done if any(name in after[other] for other in known - done)):
        yield f"these modules import each other in a circle: {', '.join(circle)}"


def _style_problems(found: list[Module]) -> Iterator[str]:
    for module in found:
        if not ast.get_docstring(module.tree):
            yield f"{module.path} has no docstring"
        if "/versions/" in module.path:
            continue  # a migration is a record of what was done: it is never touched again
        if module.lines >= LONGEST_MODULE:
            yield f"{module.path} has {module.lines} lines (at most {LONGEST_MODULE - 1})"
        if bad := _forbidden(module.name.rpartition(".")[2]):
            yield f"{module.path}: {bad} is no word of ours"
        for node in ast.walk(module.tree):
            if isinstance(node, ast.ClassDef) and (bad := _forbidden(node.name)):
                yield f"{module.path}:{node.lineno} class {node.name}: {bad} is no word of ours"
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and (size := _size(node)) > LONGEST_FUNCTION:
                yield f"{module.path}:{node.lineno} {node.name} has {size} lines (at most {LONGEST_FUNCTION})"


def _forbidden(name: str) -> str:
    words = {word.lower() for word in _WORDS.findall(name)}
    return ", ".join(sorted((words | {word.removesuffix("s") for word in words}) & FORBIDDEN))


def _size(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    return (node.end_lineno or node.lineno) - node.lineno + 1
