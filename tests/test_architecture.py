"""The project is built as docs/architecture.md draws it, and the checker that says so can fail."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.drawing import Drawing, modules, problems

ROOT = Path(__file__).parent.parent

SMALL = """
```map
daemon/
  command.py
api/
  app.py
sync/
  run.py
  errors.py
  store/
    engine.py
```
```arrows
daemon → api, sync
api → sync.store
sync.run → sync.store
all of sync → sync.errors
```
```doors
sqlalchemy → sync.store
msgspec → *
```
"""

FILES = {
    "daemon/__init__.py": "",
    "daemon/command.py": "import api.app\nimport sync.run\n",
    "api/__init__.py": "",
    "api/app.py": "from sync.store import engine\n",
    "sync/__init__.py": "",
    "sync/errors.py": "import msgspec\n",
    "sync/run.py": "from sync.store.engine import open_store\nfrom sync.errors import RosterError\n",
    "sync/store/__init__.py": "",
    "sync/store/engine.py": "import sqlalchemy.orm\nimport json\n",
}


def build(root: Path, **changed: str) -> list[str]:
    """Lay a small project in order, put `changed` files (dots for slashes) into it, and return what the checker finds."""
    for path, text in {**FILES, **{name.replace("__", "/") + ".py": text for name, text in changed.items()}}.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text if text.startswith("#") else f'"""A room."""\n{text}')
    return problems(root, Drawing.parse(SMALL))


def test_the_project_is_built_as_drawn() -> None:
    """Every module is on the map, every import follows an arrow, every library has one door, and nothing has grown too long."""
    found = problems(ROOT, Drawing.parse((ROOT / "docs/architecture.md").read_text()))
    assert not found, "\n".join(found)


def test_the_checker_really_reads_the_project() -> None:
    """The checker sees all three rooms, and the imports in them."""
    found = modules(ROOT)
    assert {module.name.split(".")[0] for module in found} == {"daemon", "api", "sync"}
    assert sum(1 for module in found for _ in module.imports(set())) > len(found)


def test_a_project_in_order_is_in_order(tmp_path: Path) -> None:
    """A small project built exactly as drawn has no problems."""
    assert build(tmp_path) == []


@pytest.mark.parametrize(
    ("path", "text", "expected"),
    [
        ("api__app", "from sync.store import engine\nimport daemon.command\n", "no arrow api → daemon is drawn"),
        ("api__app", "from sync.store import engine\nfrom sync import run\n", "no arrow api → sync.run is drawn"),
        ("sync__store__engine", "import sqlalchemy\ndef f() -> None:\n    import sync.run\n", "no arrow sync.store → sync.run is drawn"),
        ("sync__store__engine", "import sqlalchemy\nfrom .. import run\n", "no arrow sync.store → sync.run is drawn"),
        ("sync__run", "from sync.store.engine import x\nfrom sqlalchemy import text\n", "its door is sync.store"),
        ("sync__run", "from sync.store.engine import x\nimport requests\n", "requests has no door"),
        ("api__app", "import json\n", "the arrow api → sync.store is drawn, but nothing walks it"),
        ("sync__extra", "", "sync/extra.py is not on the map"),
        ("sync__errors", "import sync.run\n", "import each other in a circle: sync.errors, sync.run"),
        ("sync__errors", "# no docstring\n", "sync/errors.py has no docstring"),
        ("sync__errors", "\n" * 300, "(at most 299)"),
        ("sync__errors", "class RunManager:\n    pass\n", "manager is no word of ours"),
        ("api__helpers", "", "helper is no word of ours"),
        ("sync__errors", "def f() -> None:\n" + "    print()\n" * 45, "f has 46 lines (at most 45)"),
    ],
)
def test_every_kind_of_violation_is_found(tmp_path: Path, path: str, text: str, expected: str) -> None:
    """One planted violation of each rule is named."""
    assert expected in "\n".join(build(tmp_path, **{path: text}))


def test_a_module_that_is_gone_is_found(tmp_path: Path) -> None:
    """The map may not show what is no longer there."""
    (tmp_path / "sync").mkdir()
    assert "sync/run.py is on the map of docs/architecture.md but not on disk" in problems(tmp_path, Drawing.parse(SMALL))
