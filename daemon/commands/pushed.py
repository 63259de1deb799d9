"""What `rosterd check` looks at of a source that is pushed to: nobody is asked there, so it is what the store tells of its provider."""

from __future__ import annotations

from collections.abc import Iterator

from daemon.commands.looking import Checked
from daemon.config import Config
from daemon.printing import plural
from sync.errors import NotFound, RosterError
from sync.settings import SourceSettings
from sync.sources.probed import judge_domains
from sync.store import pushed, sources, tokens
from sync.store.engine import Store


def check_pushed(config: Config, source: SourceSettings, store: Store) -> Iterator[Checked]:
    """Yield where the provider pushes to, with which tokens, what it pushed and when. A store that fails has been told of before."""
    yield Checked("url", "ok", f"the provider pushes to {config.http.public_url}/scim/v2/{source.name}", where=source.name)
    domains = judge_domains(source)
    yield Checked("domains", "warning" if domains.remedy else "ok", domains.detail, domains.remedy, source.name)
    try:
        yield _check_tokens(store, source.name)
        yield _check_pushes(store, source.name)
    except RosterError as error:
        yield Checked("pushes", "failed", error.message, error.remedy, source.name)


def _check_tokens(store: Store, source: str) -> Checked:
    standing = [token for token in tokens.list_tokens(store, tokens.Wanted(role="scim", active=True)) if token.source == source]
    if not standing:
        remedy = f"rosterd token issue --role scim --source {source} makes one; enter it at the provider."
        return Checked("token", "warning", "there is no token that it could push with", remedy, source)
    last = max((token.last_used_at for token in standing if token.last_used_at), default=None)
    said = f"{plural(len(standing), 'token')}, the last to end at {max(token.expires_at for token in standing)}"
    return Checked("token", "ok", f"{said}; {f'used last at {last}' if last else 'none of them was used yet'}", where=source)


def _check_pushes(store: Store, source: str) -> Checked:
    pushed_at = last_push(store, source)
    if pushed_at is None:
        remedy = "Start provisioning at the provider; docs/scim-push.md says what to enter there."
        return Checked("pushes", "warning", "nothing was pushed yet", remedy, source)
    with store.read() as connection:
        people = pushed.count(connection, source)
    return Checked("pushes", "ok", f"{plural(people, 'user')}, pushed to last at {pushed_at}", where=source)


def last_push(store: Store, source: str) -> str | None:
    """Return when the source was pushed to last (RFC 3339), None before that, or before a daemon has run with it."""
    try:
        return sources.get_source(store, source).read_at
    except NotFound:
        return None
