"""How the `rosterd` command ends, whatever it is given."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from daemon.command import COMMANDS, run
from tests.daemon.commands.place import Place

ENDS = [
    # arguments, exit status, on stderr
    (("sync", "--nonsense"), 2, "No such option"),
    (("nonsense",), 2, "No such command"),
    (("runs", "nonsense"), 2, "No such command"),
    (("token", "issue", "--role", "king"), 2, "'king' is not one of"),
    (("token", "issue", "--role", "admin", "--ttl", "soon"), 2, 'A duration is a number and a unit: "90s"'),
    (("token", "issue", "--role", "device"), 2, "A device token stands for one user: --role device needs --user EMAIL, or"),
    (("token", "issue", "--role", "scim"), 2, "A scim token is for one source: --role scim needs --source NAME."),
    (("token", "issue", "--role", "scim", "--source", "nobody"), 2, "There is no [[source]] of this name with kind"),
    (("token", "issue", "--role", "device", "--user", ""), 2, "--role device needs --user EMAIL"),
    (("runs", "show", "0123456789"), 6, "rosterd: There is no run 0123456789. `rosterd runs` lists them."),
    (("runs", "show", "x", "--kind", "colour"), 2, "is one of key_issued"),
    (("users", "show", "ann@example.com"), 6, "rosterd: No user holds or lists this address."),
    (("users", "show", "ann@@@"), 2, "rosterd: The address"),
    (("users", "block", "nobody"), 6, "rosterd: There is no user nobody."),
    (("keys", "enable", "nothing"), 6, "rosterd: There is no key nothing."),
    (("token", "revoke", "nothing"), 6, "rosterd: There is no token nothing."),
    (("sources", "pause", "nothing"), 6, "rosterd: There is no source nothing."),
    (("sync", "nothing"), 6, "rosterd: There is no source nothing."),
    (("sync", "--run", "0123456789"), 6, "rosterd: There is no run 0123456789."),
    (("check", "nothing"), 6, "rosterd: There is no source nothing in"),
    (("--config", "nowhere.toml", "runs"), 78, "nowhere.toml: 1 mistake:"),
    (("runs", "--config", "nowhere.toml"), 78, "nowhere.toml: 1 mistake:"),
]


@pytest.mark.parametrize(("arguments", "status", "said"), ENDS, ids=[" ".join(arguments) for arguments, _, _ in ENDS])
def test_expected_failures(
    bare: Place, arguments: tuple[str, ...], status: int, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A failure that can be expected is its exit status and a sentence on stderr; nothing is on stdout."""
    monkeypatch.setenv("ROSTERD_CONFIG", str(bare.config))
    assert run(list(arguments)) == status
    shown = capsys.readouterr()
    assert said in shown.err
    assert "Traceback" not in shown.err
    assert shown.out == ""


def test_all_mistakes_of_a_configuration(bare: Place) -> None:
    """Exit status 78 comes with every mistake, a line each; control characters in them are spelt out."""
    bare.configure('nonsense = 1\n[http]\nport = "\\u001b[31m"\nhost = "a\\u001b[31m"')
    done = bare.run("runs", status=78)
    assert done.err.splitlines()[0] == f"rosterd: {bare.config}: 3 mistakes:"
    assert "[[source]] corp: nonsense: is not a key of this table" in done.err
    assert "a\\u{1b}[31m is neither a host name" in done.err


@pytest.mark.sqlite
def test_a_store_that_is_none(bare: Place) -> None:
    """A store that cannot be used is exit status 5 with a remedy."""
    (bare.folder / "rosterd.db").write_text("This is not a database, and long enough not to be taken for an empty one." * 50)
    assert "not a database" in bare.run("runs", status=5).err


def test_a_store_from_the_future(bare: Place) -> None:
    """A newer rosterd's store is refused with exit status 5, and stays as it is."""
    from sqlalchemy import text

    store = bare.store()
    with store.write() as connection:
        connection.execute(text("update alembic_version set version_num = '9999'"))
    store.close()
    assert "The store is at version 9999" in bare.run("users", status=5).err


@pytest.mark.parametrize("name", list(COMMANDS))
def test_every_command_explains_itself(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """`--help` works for each command that operator and newcomer meet, and for each part of it."""
    assert run([name, "--help"]) == 0
    said = capsys.readouterr().out
    parts = [line.split()[0] for line in said.partition("Commands:\n")[2].splitlines()]
    for part in parts:
        assert run([name, part, "--help"]) == 0
        assert "Usage: rosterd" in capsys.readouterr().out


def test_help_reads_nothing(bare: Place) -> None:
    """Help and version need no configuration, and import neither the server nor the database's library."""
    bare.config.unlink()
    assert "Makes the virtual keys of an AI gateway follow" in bare.run("--help").out
    assert bare.run("--version").out.startswith("rosterd ")
    heavy = "('sqlalchemy', 'litestar', 'ldap3', 'rich')"
    probe = f"import sys; from daemon.command import run; run(['--help']); print([m for m in {heavy} if m in sys.modules])"
    ended = subprocess.run([sys.executable, "-c", probe], env=bare.environment(), capture_output=True, text=True)
    assert ended.stdout.splitlines()[-1] == "[]"


def test_a_reader_that_leaves(bare: Place) -> None:
    """`rosterd … | head` ends quietly when the reader has had enough."""
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as pipe:
        ended = subprocess.run(bare.command("runs"), env=bare.environment(), stdout=pipe, stderr=subprocess.PIPE, text=True)
    assert (ended.returncode, ended.stderr) == (141, "")


def test_a_terminal_that_knows_no_arrows(bare: Place) -> None:
    """What the terminal's encoding cannot show is spelt out; it is no failure."""
    environment = bare.environment() | {"PYTHONIOENCODING": "latin-1"}
    ended = subprocess.run(bare.command("status"), env=environment, capture_output=True, text=True)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "\\u2192 rosterd check corp" in ended.stdout


def test_a_bug_says_that_it_is_one(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """What nobody expected is exit status 1 with a traceback to report."""

    def fail() -> None:
        raise ZeroDivisionError("no such number")

    monkeypatch.setattr("daemon.commands.runs.opened", fail)
    assert run(["runs"]) == 1
    said = capsys.readouterr().err
    assert "ZeroDivisionError: no such number" in said
    assert said.endswith("rosterd: this is a bug; please report it with the lines above.\n")
