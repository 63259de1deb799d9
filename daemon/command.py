"""The `rosterd` command: its parts, and how each of its ends becomes an exit status."""

from __future__ import annotations

import io
import os
import sys
import traceback
from importlib import import_module
from importlib.util import find_spec
from typing import NoReturn

import click

from daemon import garbage
from daemon.commands.options import takes_config
from daemon.printing import safe_lines, warn
from sync.errors import RosterError

COMMANDS = {
    "init": "init",
    "check": "check",
    "serve": "serve",
    "sync": "sync",
    "runs": "runs",
    "sources": "sources",
    "users": "users",
    "conflicts": "conflicts",
    "addresses": "conflicts",
    "keys": "keys",
    "token": "token",
    "audit": "audit",
    "explain": "explain",
    "status": "status",
    "store": "store",
    "demo": "demo",
}
"""Every command and its module, in the order of a first day."""

BUG, INTERRUPTED, PIPE_CLOSED = 1, 130, 141


class _PipeClosed(Exception):
    """Whoever read our output has gone; click would call it exit status 1, which is our word for a bug."""


class _Commands(click.Group):
    """Imports the module of a command when it is asked for."""

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except BrokenPipeError as error:
            raise _PipeClosed from error

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [name for name, module in COMMANDS.items() if find_spec(f"daemon.commands.{module}")]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.list_commands(ctx):
            return None
        command: click.Command = getattr(import_module(f"daemon.commands.{COMMANDS[cmd_name]}"), cmd_name)
        return command


def _show_version(context: click.Context, parameter: click.Parameter, value: bool) -> None:
    if value:
        from daemon.version import VERSION

        click.echo(f"rosterd {VERSION}")
        context.exit()


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@takes_config
@click.option("--version", is_flag=True, expose_value=False, is_eager=True, callback=_show_version, help="Print the version.")
def rosterd() -> None:
    """Makes the virtual keys of an AI gateway follow the company directory.

    \b
    Exit status: 0 done, 1 bug, 2 usage, 3 a run was held, 4 a source failed,
    5 the store failed, 6 not found or refused in this state, 7 cannot listen,
    78 configuration. With several sources 4 before 3 before 0.
    """


def main() -> NoReturn:
    """Run the command line and end the process with the exit status that says how it went."""
    garbage.look_seldom()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a terminal that knows no umlaut is no reason to fail
    status = run()
    garbage.look_no_more()
    sys.exit(status)


def run(arguments: list[str] | None = None) -> int:
    """Run a command line; return its exit status. An expected failure is one sentence and a remedy on stderr."""
    try:
        status = rosterd.main(arguments, prog_name="rosterd", standalone_mode=False)
        sys.stdout.flush()
    except click.exceptions.Exit as end:
        return end.exit_code
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        warn("rosterd: interrupted")
        return INTERRUPTED
    except RosterError as error:
        warn(f"rosterd: {safe_lines(error)}")
        return error.exit_status
    except (BrokenPipeError, _PipeClosed):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python flushes once more at its end
        return PIPE_CLOSED
    except Exception:
        traceback.print_exc()
        warn("rosterd: this is a bug; please report it with the lines above.")
        return BUG
    return status if isinstance(status, int) else 0
