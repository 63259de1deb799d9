"""`rosterd init`: from nothing to something that only wants its directory described."""

from __future__ import annotations

import re
import stat
import tomllib
from pathlib import Path

from daemon.commands.init import _config
from tests.daemon.commands.place import Place
from tests.servers.slapd import Slapd


def test_init_makes_everything_and_says_what_is_next(bare: Place) -> None:
    """A configuration, two secrets nobody else can read and a store; the next steps name them."""
    folder = bare.folder / "new" / "rosterd"
    done = bare.run("init", "--dir", str(folder))
    assert sorted(path.name for path in folder.iterdir()) == ["config.toml", "jwt.secret", "rosterd.db", "vault.keys"]
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}
    assert modes == {"config.toml": 0o644, "jwt.secret": 0o600, "vault.keys": 0o600, "rosterd.db": 0o600}
    assert f"rosterd --config {folder}/config.toml check" in done.out
    assert f"{folder}/ldap.password" in done.out


def test_init_overwrites_nothing(bare: Place) -> None:
    """What is there stays as it is, what is missing is made, and a second time nothing happens."""
    folder = bare.folder / "new"
    folder.mkdir()
    (folder / "jwt.secret").write_text("mine")
    bare.run("init", "--dir", str(folder))
    before = {path.name: path.read_bytes() for path in folder.iterdir() if path.suffix != ".db"}
    assert before["jwt.secret"] == b"mine"
    again = bare.run("init", "--dir", str(folder), "--json").json
    assert (again["written"], sorted(again["kept"])) == ([], ["config.toml", "jwt.secret", "rosterd.db", "vault.keys"])
    assert {path.name: path.read_bytes() for path in folder.iterdir() if path.suffix != ".db"} == before


def test_init_makes_no_second_set_of_encryption_keys(bare: Place) -> None:
    """A store without its key file is not given another one that could not open it."""
    folder = bare.folder / "new"
    bare.run("init", "--dir", str(folder))
    (folder / "vault.keys").unlink()
    assert "not the encryption keys it was sealed with" in bare.run("init", "--dir", str(folder), status=6).err
    assert not (folder / "vault.keys").exists()


def test_init_where_nobody_may_write(bare: Place) -> None:
    """A folder that cannot be made is one sentence, not a traceback."""
    (bare.folder / "file").write_text("")
    assert "cannot be written: Not a directory" in bare.run("init", "--dir", str(bare.folder / "file" / "x"), status=6).err


def test_with_little_editing_it_runs(bare: Place, slapd: Slapd) -> None:
    """After `init`: describe the directory, put the password there, check, sync, look a person up."""
    folder = bare.folder / "new"
    bare.run("init", "--dir", str(folder))
    config = folder / "config.toml"
    text = config.read_text()
    for old, new in (
        ('urls = ["ldaps://ldap.example.com"]', f'urls = ["{slapd.ldaps_url}"]'),
        ('#ca_file = ""', f'ca_file = "{slapd.ca_file}"'),
        ("cn=rosterd,ou=services,dc=example,dc=com", slapd.bind_dn),
    ):
        assert text.count(old) >= 1
        text = text.replace(old, new, 1)
    config.write_text(text)
    password = folder / "ldap.password"
    password.write_text(slapd.password)
    password.chmod(0o600)
    slapd.add_person("ann")
    at = ("--config", str(config))
    bare.run(*at, "check")
    bare.run(*at, "sync")
    assert "answers with 1 key, 1 of them active" in bare.run(*at, "explain", "ANN@example.com").out


def test_a_provider_that_pushes_takes_the_place_of_the_directory(bare: Place) -> None:
    """The next steps speak of it, and what they say suffices: its table instead of LDAP's, public_url, a token."""
    folder = bare.folder / "new"
    steps = bare.run("init", "--dir", str(folder)).out
    config = folder / "config.toml"
    before, ldap, scim, push, after = re.split(r"(?m)^(?=#?\[\[source\]\]|# -- who is told)", config.read_text())
    assert all(f'kind = "{kind}"' in table for kind, table in (("ldap", ldap), ("scim", scim), ("scim-push", push)))
    assert '"scim-push" pushes' in steps and "[http] public_url" in steps
    asked = before.replace('#public_url = ""', 'public_url = "https://keys.example.com"')
    config.write_text(asked + re.sub("(?m)^#", "", push).replace("[]", '["example.com"]') + after)
    at = ("--config", str(config))
    bare.run(*at, "check")
    assert f"rosterd {' '.join(at)} token issue --role scim --source NAME" in steps
    assert bare.run(*at, "token", "issue", "--role", "scim", "--source", "okta").out.count(".") == 2


def test_the_secrets_are_new_each_time(bare: Place) -> None:
    """Two installations share no secret, and each is long enough to be used."""
    for name in ("one", "two"):
        bare.run("init", "--dir", str(bare.folder / name))
    one, two = ([Path(bare.folder / name / file).read_text() for file in ("jwt.secret", "vault.keys")] for name in ("one", "two"))
    assert not {line for text in one for line in text.splitlines() if line[0] != "#"} & {line for text in two for line in text.splitlines()}


def test_in_the_services_own_folder_the_store_is_where_the_unit_may_write() -> None:
    """`init --dir /etc/rosterd` leaves the store in /var/lib/rosterd: /etc is read-only for the service."""
    assert tomllib.loads(_config(Path("/etc/rosterd"))).get("store", {}).get("url") is None
    assert tomllib.loads(_config(Path("/srv/rosterd")))["store"]["url"] == "sqlite:///rosterd.db"
