"""The one small family of expected failures; anything else is a bug."""

from __future__ import annotations

from typing import ClassVar


class RosterError(Exception):
    """An expected failure: one sentence with the facts, one with the remedy.

    `code` is stable and documented (docs/errors.md); `message` and `remedy` never carry a secret.
    `exit_status` is what the `rosterd` command ends with.
    """

    exit_status: ClassVar[int] = 1

    def __init__(self, code: str, message: str, remedy: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.message} {self.remedy}".strip()


class ConfigError(RosterError):
    """The configuration is wrong; `problems` lists every mistake, each naming its table and key."""

    exit_status = 78

    def __init__(self, problems: list[str], where: str = "") -> None:
        noun = "mistake" if len(problems) == 1 else "mistakes"
        head = f"{where}: {len(problems)} {noun}" if where else f"{len(problems)} {noun} in the configuration"
        super().__init__("config_invalid", "\n".join([f"{head}:", *(f"  {p}" for p in problems)]))
        self.problems = problems


class SourceError(RosterError):
    """A directory could not be read; nothing of the store was changed."""

    exit_status = 4


class SourceUnavailable(SourceError):
    """The directory cannot be reached, hangs, or breaks off: another try, or another server, may succeed."""


class SourceRefused(SourceError):
    """The directory answers, and says no (credentials, rights, a missing base): a human must mend something."""


class SourceIncomplete(SourceError):
    """The directory answered with less than all of it: half a directory is an error."""


class CursorLost(SourceError):
    """The directory cannot say what has changed since a cursor; reading everything can, and the run goes on with that."""


class UnsafePlan(RosterError):
    """A plan so suspicious that nothing of it is committed (an empty answer, too many refused entries)."""

    exit_status = 4


class RunCancelled(RosterError):
    """A human asked for the run to stop; nothing was changed."""

    exit_status = 6


class LeaseLost(RosterError):
    """Another process holds the source's lease now; what this one wanted to write was not written."""

    exit_status = 4


class StoreUnavailable(RosterError):
    """The store cannot be opened, is full, or comes from a newer rosterd."""

    exit_status = 5


class NotFound(RosterError):
    """The named thing does not exist."""

    exit_status = 6


class Conflict(RosterError):
    """The thing exists, but its state forbids what was asked."""

    exit_status = 6


class InvalidRequest(RosterError):
    """What was asked makes no sense; `param` names the parameter at fault."""

    exit_status = 2

    def __init__(self, code: str, message: str, remedy: str = "", param: str = "") -> None:
        super().__init__(code, message, remedy)
        self.param = param


class CannotListen(RosterError):
    """The address to serve on is taken or forbidden."""

    exit_status = 7
