"""`rosterd demo`: the whole thing on an embedded directory."""

from __future__ import annotations

import sys

import click

from daemon.printing import say


@click.command()
@click.option("--port", type=click.IntRange(0, 65535), help="Where to answer on 127.0.0.1 (default: 8321, or another if that is taken; 0: any).")
def demo(port: int | None) -> int:
    """Show rosterd at work: an embedded directory of invented people, the real daemon, a first sync.

    Nothing to configure, no network. Prints three lines to paste; Ctrl-C ends it and leaves nothing behind.
    """
    from daemon.demo.show import demo as run

    def say_now(text: str) -> None:
        say(text)
        sys.stdout.flush()

    return run(port, say_now)
