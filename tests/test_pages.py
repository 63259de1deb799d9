"""The pages under docs/ against the code they describe: commands, options, error codes and exit statuses."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import click

from daemon.command import COMMANDS, rosterd
from sync import errors
from tests.drawing import modules

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
ERRORS = (ROOT / "docs/errors.md").read_text()
RAISED = {name for name, found in vars(errors).items() if isinstance(found, type)} - {"ConfigError"} | {"VaultError", "Refusal"}


def present(page: Path) -> str:
    """Return what a page says of this version: without its section about what is not there yet."""
    return re.sub(r"^## Not yet\n(?:(?!^## ).*\n?)*", "", page.read_text(), flags=re.MULTILINE)


def command_lines(text: str) -> Iterator[list[str]]:
    """Yield the words after `rosterd` (or the tour's `$R`) of every command line in code spans, indented and fenced blocks."""
    fenced = "\n".join(re.findall(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL))
    for code in re.findall(r"`([^`\n]+)`", text) + re.findall(r"^ {4}(.*)$", text, re.MULTILINE) + fenced.splitlines():
        if found := re.match(r"(?:rosterd|\$R) (.*)", code):
            yield found[1].partition(" #")[0].split()


def resolve(words: list[str]) -> tuple[click.Command, list[str]]:
    """Return the command that these words call, and the rest of them. Fails for one that is not there."""
    command: click.Command = rosterd
    while isinstance(command, click.Group) and words and words[0].isalpha() and words[0].islower():
        found = command.get_command(click.Context(command), words[0])
        assert found, f"there is no {words[0]}"
        command, words = found, words[1:]
    return command, words


def test_the_commands_of_the_pages_exist() -> None:
    """Every `rosterd …` in the documentation calls a command that is there, with options that it takes."""
    seen = 0
    for page in PAGES:
        for words in command_lines(present(page)):
            command, rest = resolve(words)
            options = {option for param in command.params for option in (*param.opts, *param.secondary_opts)} | {"--help"}
            assert {word for word in rest if word.startswith("--")} <= options, f"{page.name}: rosterd {' '.join(words)}"
            seen += 1
    assert seen > 30


def test_every_command_is_on_the_operators_page() -> None:
    """No command is kept from the operator."""
    page = (ROOT / "docs/operating.md").read_text()
    assert [name for name in COMMANDS if f"rosterd {name}" not in page] == []


def codes() -> Iterator[tuple[str, str]]:
    """Yield (code, where) of every error that is raised with a literal code."""
    for module in modules(ROOT):
        for node in ast.walk(module.tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in RAISED:
                arguments = node.args[1:] if node.func.id == "Refusal" else node.args
                if arguments and isinstance(arguments[0], ast.Constant):
                    yield str(arguments[0].value), f"{module.path}:{node.lineno}"


def test_every_error_code_is_explained() -> None:
    """Whatever code a caller or an operator can meet is in docs/errors.md."""
    found = list(codes())
    assert len(found) > 60
    assert [(code, where) for code, where in found if f"`{code}`" not in ERRORS] == []


def test_the_exit_statuses_of_the_page_are_those_of_the_code() -> None:
    """Every exit status of an expected failure is in the table."""
    listed = {int(status) for status in re.findall(r"^\| (\d+) \|", ERRORS, re.MULTILINE)}
    statuses = {found.exit_status for found in vars(errors).values() if isinstance(found, type) and issubclass(found, errors.RosterError)}
    assert statuses <= listed
