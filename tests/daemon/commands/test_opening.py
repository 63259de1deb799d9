"""Who a command is, and as whom it works."""

from __future__ import annotations

import json
import os
import pwd
from collections.abc import Callable
from pathlib import Path
from typing import Any

from daemon.commands.opening import become, become_owner, caller

NOBODY = pwd.getpwnam("nobody")


def in_a_process(*work: Callable[[], Any]) -> Any:
    """Return what the last of `work` returns (JSON) in a process of its own, which may change who it is."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(writer, json.dumps([step() for step in work][-1]).encode())
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        said = pipe.read()
    os.waitpid(child, 0)
    return json.loads(said)


def who() -> list[Any]:
    """Return every id that this process has, and its groups."""
    return [list(os.getresuid()), list(os.getresgid()), sorted(os.getgroups())]


def test_root_becomes_the_owner_of_the_store(tmp_path: Path) -> None:
    """Started as root a command becomes whom the store, or else its folder, belongs to, for good and with none of root's groups."""
    config, store = tmp_path / "config.toml", tmp_path / "data" / "rosterd.db"
    config.write_text('[store]\nurl = "sqlite:///data/rosterd.db"')
    store.parent.mkdir()
    uid, gid = (NOBODY.pw_uid, NOBODY.pw_gid) if os.geteuid() == 0 else (os.getuid(), os.getgid())
    as_it_is = who()
    os.chown(store.parent, uid, gid)
    for _ in ("there is no store yet", "there is one"):
        found = in_a_process(lambda: become_owner(config), who)
        assert found == ([[uid] * 3, [gid] * 3, sorted(os.getgrouplist("nobody", gid))] if os.geteuid() == 0 else as_it_is)
        store.write_text("")
        os.chown(store, uid, gid)


def test_roots_own_store_stays_roots(tmp_path: Path) -> None:
    """A store that belongs to root, or a configuration that names none, changes nobody."""
    config = tmp_path / "config.toml"
    as_it_is = who()
    for text in ('[store]\nurl = "sqlite:///rosterd.db"', "not even TOML ["):
        config.write_text(text)
        assert in_a_process(lambda: become_owner(config), who) == as_it_is


def test_an_owner_without_a_name() -> None:
    """An owner whom no user database knows (a container's) is become all the same, in one group."""
    uid = 61_234 if os.geteuid() == 0 else os.getuid()
    if os.geteuid() == 0:
        assert in_a_process(lambda: become(uid, uid), who) == [[uid] * 3, [uid] * 3, [uid]]


def test_who_asked_is_recorded(tmp_path: Path) -> None:
    """The name behind sudo, if root believes it; else the user's own."""

    def ask(name: str) -> str:
        caller.cache_clear()
        os.environ["SUDO_USER"] = name
        return caller()

    own = f"cli:{pwd.getpwuid(os.getuid()).pw_name}"
    assert in_a_process(lambda: ask("ann")) == ("cli:ann" if os.geteuid() == 0 else own)
    assert in_a_process(lambda: ask("")) == own
