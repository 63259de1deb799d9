"""Options that many commands share, and the values they take."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

import click

from api.values import parse_duration
from daemon.config import locate
from sync.errors import InvalidRequest
from sync.ids import now_ms

_F = TypeVar("_F", bound=Callable[..., Any])
_META = "rosterd.config"


def _remember(context: click.Context, parameter: click.Parameter, value: str | None) -> None:
    if value is not None:
        context.meta[_META] = value


def config_path() -> Path:
    """Return the configuration's file: --config wherever it stood, else $ROSTERD_CONFIG, else the default."""
    return locate(click.get_current_context().meta.get(_META))


def takes_config(command: _F) -> _F:
    """Let a command take --config; `config_path` returns it."""
    text = "The configuration (default: $ROSTERD_CONFIG, else /etc/rosterd/config.toml)."
    return click.option("--config", metavar="FILE", expose_value=False, callback=_remember, is_eager=True, help=text)(command)


def takes_json(command: _F) -> _F:
    """Let a command take --json, as `as_json`."""
    return click.option("--json", "as_json", is_flag=True, help="Print what the API would send.")(takes_config(command))


class Plural(click.Group):
    """A group of commands that lists when no command is named: `rosterd runs --json` is `rosterd runs list --json`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put `list` in front where no command stands."""
        named = any(argument in self.commands or argument in ("-h", "--help") for argument in args)
        if not named and not (args and not args[0].startswith("-")):
            args = ["list", *args]
        return super().parse_args(ctx, args)


class Duration(click.ParamType):  # type: ignore[type-arg]  # generic since click 8.5
    """A duration written as in the configuration; its value is in seconds, None for the word that means no end."""

    name = "duration"

    def __init__(self, endless: str = "") -> None:
        self._endless = endless

    def convert(self, value: Any, parameter: click.Parameter | None, context: click.Context | None) -> int | None:
        """Return the seconds."""
        if isinstance(value, int):
            return value
        if self._endless and value == self._endless:
            return None
        try:
            return parse_duration(str(value), "")
        except InvalidRequest as error:
            self.fail(error.message, parameter, context)


class Moment(click.ParamType):  # type: ignore[type-arg]  # generic since click 8.5
    """A moment: RFC 3339 with its offset, or a duration before now; its value is in milliseconds since the epoch."""

    name = "moment"

    def convert(self, value: Any, parameter: click.Parameter | None, context: click.Context | None) -> int:
        """Return the milliseconds."""
        if isinstance(value, int):
            return value
        try:
            return now_ms() - parse_duration(str(value), "") * 1000
        except InvalidRequest:
            pass
        try:
            moment = datetime.fromisoformat(str(value))
        except ValueError:
            moment = None
        if moment is None or moment.tzinfo is None:
            self.fail('is a moment like "2026-01-31T08:00:00Z", or how long ago, like "3d"', parameter, context)
        return int(moment.timestamp() * 1000)
