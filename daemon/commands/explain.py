"""`rosterd explain`: where an address comes from, or why it is not there."""

from __future__ import annotations

import click

from daemon.commands.conflicts import describe as describe_claimant
from daemon.commands.opening import opened
from daemon.commands.options import takes_json
from daemon.commands.users import describe as describe_user
from daemon.printing import print_json, safe, say


@click.command()
@click.argument("email")
@takes_json
def explain(email: str, as_json: bool) -> int:
    """Say why an address answers or does not: source, state, conflict, hold, last seen, keys."""
    from sync.store.addresses import explain as explained

    with opened() as place:
        view = explained(place.store, email)
    if as_json:
        print_json(explanation=view)
        return 0
    say(safe(view.why))
    for note in view.notes:
        say(f"- {safe(note)}")
    if view.hold:
        say(f"- Held: {safe(view.hold.why)} `rosterd runs show {view.hold.run}` shows it.")
    others = [one for one in view.claimants if view.user is None or one.user_id != view.user.id]
    if others:
        say("Who else claims it, or did:")
        for one in others:
            say(f"  {describe_claimant(one)}")
    if view.user:
        say()
        for title, text in describe_user(view.user):
            say(f"  {title:<10} {safe(text)}")
    return 0
