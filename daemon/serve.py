"""The composition root of `rosterd serve`, to be read from top to bottom: what there is, in which order it begins, and how it ends."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import ssl
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from api.app import build
from api.audit import AuditLog
from api.auth.fanout import Fanout
from api.auth.minting import make_mint, public_keys
from api.auth.published import Published
from api.context import ApiContext
from api.metrics import Metrics
from daemon import handover, systemd
from daemon.children import Children
from daemon.clock import LOOK_EVERY, Clock
from daemon.config import Config, load
from daemon.crowding import Crowd, make_room
from daemon.keysets import KeySets
from daemon.listening import Listener, listen, load_certificate, make_tls
from daemon.process import Program, child_command
from daemon.relay import refuse_older, relay, relay_forever
from daemon.version import VERSION
from daemon.web import FINISH_WITHIN, Exchange, Web
from daemon.webhooks import Webhooks
from sync import jump
from sync.errors import RosterError, StoreUnavailable
from sync.pushing import Pushing
from sync.sources import normalise_group
from sync.store import forgetting, keychanges, keyring, nodes, runs, sources
from sync.store.engine import Store, open_store
from sync.vault import Vault

_log = logging.getLogger(__name__)

LEAST_PATIENCE = 600.0
"""Seconds that any run may go without progress."""
ANSWERS = 20
"""…or so many times its read_timeout for each server, if that is more: one answer may take ten."""
TELL_WITHIN = 5.0
"""Seconds in which the audit file is told at the end what waits. A first sync may leave more: the next daemon, or `rosterd audit`, tells the rest."""


def serve(path: Path) -> int:
    """Run the daemon until SIGTERM or SIGINT; return the exit status. Raises ConfigError, CannotListen, StoreUnavailable."""
    config = load(path)
    tls = make_tls(config.http)
    with ExitStack() as stack:
        listeners = listen(config.http)
        for listener in listeners:
            stack.callback(listener.close)
        store = open_store(config.store)
        stack.callback(store.close)
        refuse_older(store, config.audit.path)
        return asyncio.run(_run(config, store, listeners, tls))


async def _run(config: Config, store: Store, listeners: Sequence[Listener], tls: ssl.SSLContext | None) -> int:
    daemon = Daemon(config, store, listeners, tls)
    await daemon.start()
    status = await daemon.wait()
    await daemon.stop()
    return status


class Daemon:
    """Everything that lives in the process of `rosterd serve`, and the configuration it lives by."""

    def __init__(self, config: Config, store: Store, listeners: Sequence[Listener], tls: ssl.SSLContext | None) -> None:
        self._config, self._store, self._listeners, self._tls = config, store, listeners, tls
        self._told_to_stop, self._told_to_reload = asyncio.Event(), asyncio.Event()
        self._stopping = asyncio.Event()  # what open streams wait for
        self._began = jump.take_stamp()
        self._audit = AuditLog(config.audit.path, config.audit.keep, self._is_clock_right)
        self._metrics, self._fanout = Metrics(), Fanout()  # these outlive a reload
        self._children = Children(store, self._program, self._patience)
        self._clock = Clock(store, config.sources, self._children.wake, self._tidy)
        self._app = Exchange()
        self._crowd = Crowd(make_room())
        self._web = Web(self._app, list(listeners), tls, self._crowd)
        self._webhooks = Webhooks(store)
        self._published = Published()
        self._keysets = KeySets(self._published)
        self._name = f"{socket.gethostname()}/{os.getpid()}"
        self._vault: Vault
        self._going: dict[asyncio.Task[None], str] = {}

    async def start(self) -> None:
        """Begin everything, and say so."""
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(self._crowd.listen_on)
        for number, told in ((signal.SIGTERM, self._told_to_stop), (signal.SIGINT, self._told_to_stop), (signal.SIGHUP, self._told_to_reload)):
            loop.add_signal_handler(number, told.set)
        vault = self._vault = self._open_vault(self._config)
        await asyncio.to_thread(nodes.announce, self._store, self._name, vault.key_names)
        sources.declare(self._store, self._config.sources, self._config.policies)
        await self._app.put(build(self._context(self._config, vault)))
        parts = {
            "web": self._web.serve(), "children": self._children.run(), "reload": self._reload_when_told(), "watchdog": self._feed_watchdog(),
            "relay": relay_forever(self._store, self._audit), "announcer": self._announce_forever(), "clock": self._keep_up(),
        }  # fmt: skip
        await self._webhooks.follow(self._config.webhooks)
        await self._keysets.follow(self._config.api.issuers)
        self._going = {asyncio.create_task(part, name=name): name for name, part in parts.items()}
        await self._web.ready()
        self._clock.start()
        where = ", ".join(listener.name for listener in self._listeners)
        _log.info("rosterd answers", extra={"event": "daemon.ready", "version": VERSION, "at": where, "config": str(self._config.path)})
        systemd.notify("READY=1", self._status())

    async def wait(self) -> int:
        """Return 0 when told to stop, 1 when a part ended by itself: then systemd starts us afresh."""
        told = asyncio.create_task(self._told_to_stop.wait())
        await asyncio.wait({told, *self._going}, return_when=asyncio.FIRST_COMPLETED)
        told.cancel()
        ended = [part for part in self._going if part.done()]
        for part in ended:
            facts = {"event": "daemon.bug", "part": self._going.pop(part)}
            _log.critical("a part of the daemon ended by itself", extra=facts, exc_info=part.exception())
        return 1 if ended else 0

    async def stop(self) -> None:
        """End in order: no new requests, streams say goodbye, children leave, the audit file is complete."""
        systemd.notify("STOPPING=1", "STATUS=Ending.")
        _log.info("rosterd ends", extra={"event": "daemon.stopping"})
        self._stopping.set()
        self._web.stop()
        await asyncio.gather(asyncio.to_thread(self._clock.stop), self._children.stop(), self._webhooks.stop(), self._keysets.stop())
        for part, name in self._going.items():
            if name not in ("web", "children"):
                part.cancel()
        await asyncio.wait(self._going, timeout=FINISH_WITHIN + 5)
        await self._app.close()
        await asyncio.to_thread(self._say_goodbye)
        await asyncio.to_thread(self._audit.close)
        _log.info("rosterd has ended", extra={"event": "daemon.stopped"})

    async def _reload_when_told(self) -> None:
        while True:
            await self._told_to_reload.wait()
            self._told_to_reload.clear()
            systemd.notify_reloading()
            try:
                await self._reload()
            except RosterError as error:
                problems = getattr(error, "problems", None) or [str(error)]
                for problem in problems:
                    _log.error("the new configuration is refused; the old one stays", extra={"event": "reload.refused", "problem": problem})
            except Exception:
                _log.exception("the new configuration could not be taken over", extra={"event": "reload.bug"})
            systemd.notify("READY=1", self._status())

    async def _reload(self) -> None:
        """Read the configuration again and live by it; nothing changes unless all of it can be used. Raises RosterError."""
        config = await asyncio.to_thread(load, self._config.path)
        vault = await asyncio.to_thread(self._open_vault, config)
        if self._tls is not None and config.http.tls_cert_file is not None:
            load_certificate(self._tls, config.http)
        self._store.database.password = config.store.password
        await asyncio.to_thread(sources.declare, self._store, config.sources, config.policies)
        await self._app.put(await asyncio.to_thread(build, self._context(config, vault)))
        self._vault = vault
        await asyncio.to_thread(nodes.announce, self._store, self._name, vault.key_names)
        await self._webhooks.follow(config.webhooks)
        await self._keysets.follow(config.api.issuers)
        self._clock.set_sources(config.sources)
        needs_restart = _needs_restart(self._config, config)
        self._config = config
        self._children.forgive()
        _log.info("the new configuration is in force", extra={"event": "reload.done"})
        if needs_restart:
            facts = {"event": "reload.partial", "keys": ", ".join(needs_restart)}
            _log.warning("some of what changed needs a restart", extra=facts)

    def _context(self, config: Config, vault: Vault) -> ApiContext:
        return ApiContext(
            self._store, vault, config.api, self._audit, self._children.wake, self._stopping, VERSION, metrics=self._metrics,
            published=self._published, fanout=self._fanout,
            mint=make_mint(config.minting, self._store.now), jwks=public_keys(config.minting), applied=self._pushing(config, vault).apply,
        )  # fmt: skip

    def _pushing(self, config: Config, vault: Vault) -> Pushing:
        """Return what makes users of what providers push, by the configuration in force."""
        pushed = {source.name: source for source in config.sources if source.is_pushed}
        mint = make_mint(config.minting, self._store.now)
        return Pushing(self._store, vault, pushed, config.policies, partial(normalise_group, "scim-push"), mint, config.revive_within)

    def _open_vault(self, config: Config) -> Vault:
        vault = Vault.parse(config.vault_secret)
        keyring.bind_vault(self._store, vault)
        return vault

    def _program(self, run_id: str) -> Program:
        """Return what a child runs: one run, by the configuration in force."""
        return Program(child_command("sync", "--run", run_id), handover.pack(handover.with_newest_passwords(self._config)))

    def _patience(self, source: str) -> float:
        """Return how many seconds a run of this source may go without progress."""
        for settings in self._config.sources:
            if settings.name == source:
                return max(LEAST_PATIENCE, ANSWERS * settings.read_timeout * len(settings.urls))
        return LEAST_PATIENCE

    def _tidy(self) -> None:
        """Forget runs older than [store] history, and the names and addresses of people removed before forget_after."""
        if not self._is_clock_right():
            _log.warning(
                "nothing is forgotten: the clock of this host jumped since rosterd began; if it is right now, restart rosterd",
                extra={"event": "tidy.clock"},
            )
            return
        settings = self._config.store
        old_runs = _total(lambda: runs.prune(self._store, settings.history * 1000))
        keychanges.forget_overlaps(self._store)
        removed = _total(lambda: forgetting.forget_removed(self._store, settings.forget_after * 1000))
        if old_runs or removed:
            _log.info("what is too old was forgotten", extra={"event": "tidy.done", "runs": old_runs, "people": removed})

    def _is_clock_right(self) -> bool:
        """Tell whether the clock shows the time that has passed since we began. By a wrong one everything may seem old enough to go."""
        return not jump.jump_between(self._began, jump.take_stamp())

    async def _keep_up(self) -> None:
        while True:
            await asyncio.sleep(LOOK_EVERY)
            self._clock.keep_up()

    async def _feed_watchdog(self) -> None:
        """Tell systemd that we live, from this loop, and only while the clock ticks: a stuck daemon is to be restarted."""
        seconds = systemd.watchdog_seconds()
        while True:
            await asyncio.sleep(seconds / 2 if seconds else 3600)
            if self._clock.is_alive:
                systemd.notify("WATCHDOG=1")
            else:
                _log.critical("the clock has stopped", extra={"event": "clock.dead"})

    async def _announce_forever(self) -> None:
        """Say again and again that this daemon lives and which encryption keys it knows: `store rewrap` waits until all do."""
        while True:
            try:
                await asyncio.to_thread(nodes.announce, self._store, self._name, self._vault.key_names)
            except StoreUnavailable as error:
                _log.warning("this daemon could not announce itself", extra={"event": "node.store", "why": str(error)})
            await asyncio.sleep(nodes.ANNOUNCE_EVERY)

    def _say_goodbye(self) -> None:
        try:
            nodes.leave(self._store, self._name)
            relay(self._store, self._audit, TELL_WITHIN)
        except StoreUnavailable as error:
            _log.warning("the store could not be told that this daemon ends", extra={"event": "node.store", "why": str(error)})

    def _status(self) -> str:
        names = ", ".join(source.name for source in self._config.sources)
        return f"STATUS=Answers on {', '.join(listener.name for listener in self._listeners)}; sources: {names}."


def _total(forget_some: Callable[[], int]) -> int:
    """Call until nothing is left to forget; return how much there was."""
    total = 0
    while count := forget_some():
        total += count
    return total


def _needs_restart(old: Config, new: Config) -> list[str]:
    """Return the keys whose change a running daemon cannot follow."""
    fixed = {
        "[store] url": (old.store.url, new.store.url),
        "[http] host": (old.http.host, new.http.host),
        "[http] port": (old.http.port, new.http.port),
        "[http] unix_socket": (old.http.unix_socket, new.http.unix_socket),
        "[http] tls_cert_file": (old.http.tls_cert_file is None, new.http.tls_cert_file is None),
        "[audit] file": (old.audit, new.audit),
    }
    return [key for key, (before, after) in fixed.items() if before != after]
