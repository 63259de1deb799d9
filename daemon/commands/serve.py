"""`rosterd serve`: the daemon."""

from __future__ import annotations

import faulthandler
import logging

import click

from daemon import garbage
from daemon.commands.opening import become_owner
from daemon.commands.options import config_path, takes_config
from sync.errors import RosterError

_log = logging.getLogger(__name__)

BUG = 1


@click.command()
@takes_config
def serve() -> int:
    """Run the daemon: answer lookups, and sync every source when it is due.

    SIGHUP reads the configuration again, SIGTERM and Ctrl-C end it in order. Logs go to stderr, or to the journal under systemd.
    """
    from daemon import systemd
    from daemon.logs import configure_logs
    from daemon.serve import serve as run

    garbage.look_as_usual()
    path = config_path()
    become_owner(path)
    configure_logs()
    faulthandler.enable()  # the watchdog's SIGABRT then leaves in the log where each thread stood: files, lines and functions, no values
    try:
        return run(path)
    except RosterError as error:
        if not systemd.is_under_systemd():
            raise
        for problem in getattr(error, "problems", None) or [str(error)]:
            _log.critical("rosterd cannot go on", extra={"event": "daemon.failed", "code": error.code, "why": problem})
        systemd.notify(f"STATUS={error.message}")
        return error.exit_status
    except Exception:
        _log.critical("rosterd has met a bug", exc_info=True, extra={"event": "daemon.bug"})
        return BUG
