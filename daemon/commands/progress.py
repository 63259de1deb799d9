"""How a run gets on, shown while it happens: a bar on a terminal, a line for each phase in a pipe, nothing for the daemon."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import Protocol

from daemon.printing import console, is_terminal, plural, safe, warn
from sync.store.lease import Progress

_PHASES = {
    "connect": "connecting", "read": "reading", "plan": "comparing", "evidence": "asking for evidence", "keys": "sealing keys", "apply": "writing",
}  # fmt: skip
_OF_THE_STORE = {"rewrap": "sealing keys anew", "copy": "copying"}
"""What happens to the store itself: no entries are read then."""


class Watcher(Protocol):
    """Shows one run."""

    def __enter__(self) -> Watcher: ...

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None: ...

    def progress(self, progress: Progress) -> None:
        """Show how far it is."""

    def wait(self, text: str) -> None:
        """Say what it waits for."""


class Silent:
    """Shows nothing."""

    def __enter__(self) -> Silent:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        return None

    def progress(self, progress: Progress) -> None:
        """Show nothing."""

    def wait(self, text: str) -> None:
        """Say nothing."""


class Lines(Silent):
    """A line on stderr whenever the phase changes."""

    def __init__(self, source: str) -> None:
        self._source = safe(source)
        self._said = ""

    def progress(self, progress: Progress) -> None:
        """Say a new phase."""
        phase = _named(progress.phase)
        reads = progress.entries and progress.phase not in _OF_THE_STORE
        self._say(phase, f"{phase}, {plural(progress.entries, 'entry', 'entries')} read" if reads else phase)

    def wait(self, text: str) -> None:
        """Say it once."""
        self._say(text, text)

    def _say(self, mark: str, text: str) -> None:
        if mark != self._said:
            self._said = mark
            warn(f"{self._source}: {text}")


class Bar(Silent):
    """A bar on stderr that is gone when the run is over."""

    def __init__(self, source: str) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, SpinnerColumn, TextColumn, TimeElapsedColumn
        from rich.progress import Progress as Painter

        text = TextColumn("{task.description}", markup=False)
        columns = (SpinnerColumn(), text, BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        self._painter = Painter(*columns, console=console(sys.stderr), transient=True)
        self._source = safe(source)
        self._line = self._painter.add_task(self._source, total=None)

    def __enter__(self) -> Bar:
        self._painter.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._painter.stop()

    def progress(self, progress: Progress) -> None:
        """Move the bar."""
        phase = _named(progress.phase)
        self._painter.update(self._line, description=f"{self._source}: {phase}", completed=progress.entries, total=progress.expected or None)

    def wait(self, text: str) -> None:
        """Say it beside the bar."""
        self._painter.update(self._line, description=f"{self._source}: {text}")


def _named(phase: str) -> str:
    return _PHASES.get(phase) or _OF_THE_STORE.get(phase, phase)


def watch(source: str, *, quiet: bool = False) -> Watcher:
    """Return what fits stderr."""
    if quiet:
        return Silent()
    return Bar(source) if is_terminal(sys.stderr) else Lines(source)
