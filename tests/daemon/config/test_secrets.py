"""Secret files: where they are looked for, and which are refused."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from daemon.config import find_owned, locate
from daemon.config.secretfiles import check_mode
from daemon.config.values import Wrong
from sync.settings import Secret


@pytest.mark.parametrize("mode", [0o644, 0o604, 0o660, 0o602, 0o606, 0o777])
@pytest.mark.parametrize("name", ["jwt.secret", "vault.keys", "ldap.password"])
def test_what_others_can_read_or_change_is_refused(folder: Any, name: str, mode: int) -> None:
    """A secret that anybody but its owner can read or change is not used, and the line says how to mend it."""
    (folder.path / name).chmod(mode)
    (problem,) = folder.problems()
    assert f"{folder.path}/{name} can be read or changed by others (mode {mode:04o}); `chmod 0600" in problem


def test_a_group_may_read_only_what_root_owns() -> None:
    """root:rosterd 0640 is how packages hand secrets to a daemon; anybody else's group is somebody else."""

    def status(mode: int, uid: int) -> os.stat_result:
        return os.stat_result((0o100000 | mode, 0, 0, 1, uid, 5, 0, 0, 0, 0))

    check_mode(Path("x"), status(0o640, 0))
    check_mode(Path("x"), status(0o440, 0))
    check_mode(Path("x"), status(0o400, 1000))
    for mode, uid in ((0o640, 1000), (0o644, 0), (0o660, 0), (0o620, 0)):
        with pytest.raises(Wrong, match="can be read or changed by others"):
            check_mode(Path("x"), status(mode, uid))


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("ldap.password", "", "is empty"),
        ("ldap.password", "\n\n", "is empty"),
        ("ldap.password", "one\ntwo\n", "holds 2 lines; it must hold the secret alone, on one line"),
        ("ldap.password", "x" * 70_000, "is larger than 64 KiB; is it the right file?"),
        ("ldap.password", "a\0b", "holds a NUL character"),
        ("jwt.secret", "# only a comment\n", "holds no secret"),
        ("jwt.secret", f"{'n' * 32}\nshort\n{'o' * 31}\n", ", line 2, 3: shorter than 32 characters"),
    ],
)
def test_what_is_no_secret_is_refused(folder: Any, name: str, text: str, said: str) -> None:
    """Empty, short, overlong or doubled secrets are named by file and never shown."""
    folder.secret(name, text)
    (problem,) = folder.problems()
    assert said in problem
    assert str(folder.path / name) in problem


def test_a_key_file_is_looked_at_by_the_vault(folder: Any) -> None:
    """A line that is no encryption key is named by its number."""
    folder.secret("vault.keys", "# newest\nnot base64 !\n")
    assert folder.problems() == ["[keys] encryption_key_file: line 2 is no base64 text of 32 bytes"]


def test_what_is_no_text_is_refused(folder: Any) -> None:
    """A binary file is said to be one."""
    (folder.path / "ldap.password").write_bytes(b"\xff\xfe")
    assert folder.problems()[0].endswith("ldap.password is no UTF-8 text")


def test_a_fifo_does_not_hang_the_start(folder: Any) -> None:
    """What is no file is refused at once, even what nobody would ever write into."""
    (folder.path / "ldap.password").unlink()
    os.mkfifo(folder.path / "ldap.password", 0o600)
    assert folder.problems()[0].endswith("ldap.password is no file")


def test_a_password_keeps_its_spaces(folder: Any) -> None:
    """Only the line's end is taken off a password."""
    folder.secret("ldap.password", "  sp ace \r\n")
    assert folder.load().sources[0].password == Secret("  sp ace ")


def test_several_signing_secrets(folder: Any) -> None:
    """The newest is first, comments and blank lines do not count."""
    folder.secret("jwt.secret", f"# newest\n{'n' * 32}\n\n{'o' * 40}\n")
    assert folder.load().api.secrets == (Secret("n" * 32), Secret("o" * 40))


def test_where_files_are_looked_for(folder: Any, tmp_path_factory: pytest.TempPathFactory, replaced: Callable[..., str]) -> None:
    """An absolute name is taken as it is, whatever directory the command was started in."""
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "password"
    elsewhere.write_text("from elsewhere")
    elsewhere.chmod(0o600)
    small = replaced('"ldap.password"', f'"{elsewhere}"')
    assert folder.load(small=small).sources[0].password == Secret("from elsewhere")


def test_credentials(folder: Any, monkeypatch: pytest.MonkeyPatch, replaced: Callable[..., str]) -> None:
    """`credential:NAME` is looked for in $CREDENTIALS_DIRECTORY, else where systemd keeps those of the unit."""
    small = replaced('"ldap.password"', '"credential:ldap"')
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    assert folder.problems(small=small) == ["[[source]] corp: password_file: /run/credentials/rosterd.service/ldap does not exist"]
    folder.secret("ldap", "a credential", 0o400)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(folder.path))
    assert folder.load(small=small).sources[0].password == Secret("a credential")


def test_secrets_do_not_show(folder: Any) -> None:
    """Nobody who prints a configuration prints a secret."""
    assert "hunter2" not in repr(folder.load())


def test_locate(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """--config comes before $ROSTERD_CONFIG, and that before the default."""
    monkeypatch.delenv("ROSTERD_CONFIG", raising=False)
    assert locate() == Path("/etc/rosterd/config.toml")
    monkeypatch.setenv("ROSTERD_CONFIG", "/x/y.toml")
    assert locate() == Path("/x/y.toml")
    monkeypatch.chdir(tmp_path)
    assert locate("z.toml") == tmp_path / "z.toml"


def test_the_store_is_found_whatever_else_is_wrong(folder: Any) -> None:
    """Who the store belongs to is known before a secret is read, and without a store there is nobody to become."""
    folder.file.write_text('[store]\nurl = "sqlite:///data/x.db"\n[http]\nport = "wrong"')
    assert find_owned(folder.file) == folder.path / "data/x.db"
    folder.file.write_text("[http]\n")
    assert find_owned(folder.file) == Path("/var/lib/rosterd/rosterd.db")
    folder.file.write_text('[store]\nurl = "postgresql+psycopg://u@h/d"\n[audit]\nfile = "logs/audit.jsonl"')
    assert find_owned(folder.file) == folder.path / "logs/audit.jsonl"
    for text in ("[store", 'store = "x"', "[store]\nurl = 5", '[store]\nurl = "postgresql://x"'):
        folder.file.write_text(text)
        assert find_owned(folder.file) is None
