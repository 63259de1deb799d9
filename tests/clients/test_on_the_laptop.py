"""clients/rosterd-key against what is on the laptop: its other users, its files, its environment, whoever calls it wrongly."""

from __future__ import annotations

import base64
import json
import os
import ssl
import subprocess
import time
from contextlib import suppress
from pathlib import Path

from tests.clients.conftest import Laptop
from tests.clients.instead import KEY, OTHER, TOKEN, USER, Proxy, Server, answer
from tests.servers.slapd_texts import make_certificate


def test_what_is_secret_is_in_no_command_line(laptop: Laptop, server: Server) -> None:
    """While curl waits for a slow answer, no process of this machine shows token or key, nor has one of them in its environment."""
    server.delay = 0.6
    variables = {"HOME": str(laptop.folder), "SHELLOPTS": "allexport:xtrace", "token": "", "old_key": "", "value": ""}
    process = subprocess.Popen(laptop.command("--refresh"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=variables, **laptop.identity)
    seen = b""
    while process.poll() is None:
        for command in Path("/proc").glob("[0-9]*/cmdline"):
            with suppress(OSError):
                seen += command.read_bytes() + b"\n" + (command.parent / "environ").read_bytes()
        time.sleep(0.02)
    out, err = process.communicate()
    assert out.decode() == KEY + "\n"
    assert b"curl" in seen and all(secret.encode() not in seen + err for secret in (TOKEN, KEY))


def test_what_a_killed_run_left_is_removed(laptop: Laptop, server: Server) -> None:
    """A folder of work with a key in it does not stay; what is not ours does."""
    for name in (".rosterd-key-work.abcdef", "photos", "work.abcdef"):
        (laptop.cache / name).mkdir()
        os.utime(laptop.cache / name, (1, 1))
    done = subprocess.run(laptop.command("--refresh"), capture_output=True, env={"HOME": str(laptop.folder)}, **laptop.identity)
    assert done.returncode == 0 and {path.name for path in laptop.cache.iterdir()} == {"rosterd-key.state", "photos", "work.abcdef"}


def test_files_that_others_can_touch_are_refused(laptop: Laptop, server: Server) -> None:
    """A token or a copy that is readable by others, a link in the place of either, an open folder: exit 9, nothing printed."""
    token = laptop.folder / "device.token"
    token.chmod(0o644)
    assert "can be read or changed by others" in laptop.run("--refresh", status=9).err
    token.rename(laptop.folder / "elsewhere")
    token.symlink_to(laptop.folder / "elsewhere")
    assert "is a link" in laptop.run("--refresh", status=9).err
    token.unlink()
    laptop.write("device.token", TOKEN)
    state = laptop.cache / "rosterd-key.state"
    state.rename(laptop.folder / "victim")
    state.symlink_to(laptop.folder / "victim")
    assert laptop.run(status=9).out == ""
    state.unlink()
    laptop.cache.chmod(0o755)
    assert "open to others" in laptop.run(status=9).err
    laptop.cache.chmod(0o700)
    laptop.cache.rename(laptop.folder / "moved")
    laptop.cache.symlink_to(laptop.folder / "moved")
    assert "is a link" in laptop.run(status=9).err


def test_a_copy_that_was_meddled_with_is_no_copy(laptop: Laptop, server: Server) -> None:
    """Garbage in the state file is neither printed nor run."""
    laptop.edit(key="$(reboot)", checked="9" * 30, inactive="a[0]", user="")
    assert laptop.run().out == KEY + "\n"
    laptop.write("cache/rosterd-key.state", "key " + "x" * 100_000 + "\nnonsense\n\0\n")
    assert laptop.run().out == KEY + "\n"


WRONG = (
    ["--url", "http://rosterd.example"], ["--url", "https://user@rosterd.example"], ["--url", "ftp://x"], ["--url", 'https://x"y'],
    ["--url", "https://x y"], ["--max-age", "1h"], ["--jitter", "-1"], ["--nonsense", "1"], ["nonsense"], ["--kerberos"],
    ["--cert", "/x"], ["--ca-file", "relative"], ["--max-age"], ["--max-age", "08"], ["--timeout", "0"], ["--key", "/x"],
    ["--url", "https://x[1-9]"], ["--url", "http://localhost:1@rosterd.example"], ["--ca-file", '/x"y'],
)  # fmt: skip


def test_wrong_usage_is_named_and_asks_nobody(laptop: Laptop, server: Server) -> None:
    """Exit 2 and a sentence."""
    asked = len(server.asked)
    for wrong in WRONG:
        command = [part for part in laptop.command() if part not in ("--url", laptop.url)] if wrong[0] == "--url" else laptop.command()
        done = subprocess.run([*command, *wrong], capture_output=True, text=True, env={"HOME": str(laptop.folder)}, timeout=30, **laptop.identity)
        assert (done.returncode, done.stdout, len(server.asked)) == (2, "", asked), wrong
        assert done.stderr.startswith("rosterd-key: ")


def test_options_can_stand_in_a_file(laptop: Laptop, server: Server) -> None:
    """The command line wins; a line that means nothing is named; nothing of the file is run."""
    file = laptop.write("rosterd-key.conf", f"# a comment\n\nurl {server.url}\ntoken-file {laptop.folder}/device.token\ncache-dir {laptop.cache}\n")
    done = subprocess.run(
        [*laptop.shell, str(laptop.folder / "rosterd-key"), "--config", str(file), "--refresh"], capture_output=True, text=True,
        env={"HOME": str(laptop.folder)}, timeout=30, **laptop.identity,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, KEY + "\n")
    laptop.write("rosterd-key.conf", "url $(touch /tmp/owned)\n`id`\n")
    assert "there is no option `id`" in laptop.run("--config", str(file), status=2).err and not Path("/tmp/owned").exists()  # noqa: S108
    laptop.write("rosterd-key.conf", f"url {server.url}\n", 0o666)
    assert "can be changed by others" in laptop.run("--config", str(file), status=9).err


def test_as_root_it_becomes_the_user_first(laptop: Laptop, server: Server) -> None:
    """Everything it makes belongs to the user; without a user to become it does nothing."""
    if os.geteuid() != 0:
        assert laptop.run("--user", "nobody").out == KEY + "\n"
        return
    done = subprocess.run(laptop.command("--refresh", "--user", "nobody"), capture_output=True, text=True, timeout=30)
    assert (done.returncode, done.stdout) == (0, KEY + "\n"), done
    assert (laptop.cache / "rosterd-key.state").stat().st_uid == laptop.owner
    before = len(server.asked)
    for wrong, status in (([], 10), (["--user", "root"], 10), (["--user", "no such"], 2), (["--user", "nosuchuser"], 2)):
        refused = subprocess.run(laptop.command("--refresh", *wrong), capture_output=True, text=True, timeout=30)
        assert (refused.returncode, refused.stdout, len(server.asked)) == (status, "", before), wrong


def test_the_environment_leads_nowhere_else(laptop: Laptop, server: Server) -> None:
    """A curl of somebody's, curl's own configuration, a proxy for what goes to this machine, and odd separators change nothing."""
    laptop.write(".curlrc", f"url = {server.url}/elsewhere\n")
    (laptop.folder / "bin").mkdir()
    for name in ("curl", "awk", "ls"):
        laptop.write(f"bin/{name}", f"#!/bin/sh\ntouch {laptop.folder}/owned\n", 0o755)
    hostile = {
        "PATH": f"{laptop.folder}/bin:/usr/bin:/bin", "CURL_HOME": str(laptop.folder), "IFS": "/", "CDPATH": "/tmp",  # noqa: S108
        "http_proxy": "http://127.0.0.1:1", "SSLKEYLOGFILE": f"{laptop.folder}/owned", "ENV": "/nonexistent", "old_key": OTHER, "work": "/",
    }  # fmt: skip
    asked = len(server.asked)
    assert laptop.run("--refresh", "--strict", variables=hostile).out == KEY + "\n"
    assert [request["path"] for request in server.asked[asked:]] == ["/api/users/me/virtual-keys"] and not (laptop.folder / "owned").exists()


def test_a_token_file_that_is_missing_or_a_folder_that_is_full_loses_nothing(laptop: Laptop, server: Server) -> None:
    """What goes wrong on the laptop itself is no reason to lose a key that works."""
    (laptop.folder / "device.token").unlink()
    assert laptop.run("--refresh", "--strict", status=9).out == laptop.run("--refresh").out == KEY + "\n"
    laptop.write("device.token", TOKEN)
    laptop.cache.chmod(0o500)
    assert laptop.run("--refresh", "--strict", status=9).out == KEY + "\n"
    laptop.cache.chmod(0o700)


def test_what_is_not_to_be_printed_is_kept_all_the_same(laptop: Laptop, server: Server) -> None:
    """--no-print is for an MDM, which stores what scripts print."""
    server.say(answer(OTHER))
    ended = laptop.run("--refresh", "--no-print")
    assert (ended.out, laptop.state["key"]) == ("", OTHER) and OTHER not in ended.err


def test_only_device_tokens_are_sent(laptop: Laptop, server: Server) -> None:
    """Neither a key, nor a token that says nothing of a role, nor one that only mentions it, leaves the laptop."""
    asked = len(server.asked)
    for payload in ({"role": "lookup", "x": '"role":"device"'}, {"sub": USER}, {"role": ["device"]}, {"a": {"role": "device"}}, ["role", "device"]):
        middle = base64.urlsafe_b64encode(json.dumps(payload).encode()).decode().rstrip("=")
        laptop.write("device.token", f"e30.{middle}.e30")
        assert "no device token" in laptop.run("--refresh", status=2).err, payload
    for other in (KEY, "x.y.z.a-b-c-d-e-f-g", "e30." + "A" * 3000 + ".e30"):
        laptop.write("device.token", other)
        assert "no device token" in laptop.run("--refresh", status=2).err
    for odd in ("", "short", TOKEN + " more", TOKEN + '"\nurl = "http://127.0.0.1:1'):
        laptop.write("device.token", odd)
        laptop.run("--refresh", status=2)
    assert len(server.asked) == asked


def test_the_jitter_waits_and_a_dry_run_does_not(laptop: Laptop, server: Server) -> None:
    """A random part of the seconds that were asked for."""
    began = time.monotonic()
    assert laptop.run("--dry-run", "--jitter", "3600").out == ""
    laptop.run("--refresh", "--jitter", "1")
    assert time.monotonic() - began < 20


def test_a_certificate_that_nobody_vouches_for_gets_no_token(laptop: Laptop, server: Server) -> None:
    """The connection ends before anything is said; with --ca-file the same server is the right one."""
    make_certificate(laptop.folder)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(laptop.folder / "server.crt", laptop.folder / "server.key")
    (laptop.folder / "server.crt").chmod(0o644)
    other = Server(tls)
    try:
        laptop.url, trusted = other.url, ("--ca-file", f"{laptop.folder}/server.crt")
        other.say(answer(OTHER))
        assert laptop.run("--refresh", "--strict", status=3).out == KEY + "\n" and other.asked == []
        laptop.url = other.url.replace("127.0.0.1", "localhost.localdomain")
        assert laptop.run("--refresh", "--strict", *trusted, status=3).out == KEY + "\n" and other.asked == []
        laptop.url = other.url
        assert laptop.run("--refresh", *trusted).out == OTHER + "\n" and other.asked[-1]["authorization"] == f"Bearer {TOKEN}"
    finally:
        other.close()


def test_a_proxy_sees_no_token(laptop: Laptop, server: Server) -> None:
    """One that answers 404 with a page of its own, to the question for a tunnel already: the copy stays, and --no-proxy goes around it."""
    with Proxy() as proxy:
        laptop.url = "https://rosterd.example"
        assert laptop.run("--refresh", "--strict", status=3, variables={"https_proxy": proxy.url}).out == KEY + "\n"
        assert proxy.heard.startswith(b"CONNECT rosterd.example:443 ") and TOKEN.encode() not in proxy.heard
        proxy.heard, laptop.url = b"", "https://127.0.0.1:1"
        laptop.run("--refresh", "--strict", "--no-proxy", status=3, variables={"https_proxy": proxy.url})
        laptop.url = server.url
        assert laptop.run("--refresh", variables={"http_proxy": proxy.url, "all_proxy": proxy.url}).out == KEY + "\n" and proxy.heard == b""


def test_a_client_certificate_instead_of_a_token(laptop: Laptop, server: Server) -> None:
    """It is shown in the handshake, and no bearer is sent; its key must be private."""
    make_certificate(laptop.folder)
    for name in ("server.crt", "server.key"):
        laptop.write(name, (laptop.folder / name).read_text())
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(laptop.folder / "server.crt", laptop.folder / "server.key")
    tls.load_verify_locations(laptop.folder / "server.crt")
    tls.verify_mode = ssl.CERT_REQUIRED
    other = Server(tls)
    try:
        laptop.url, other_paths = other.url, {name: f"{laptop.folder}/server.{name}" for name in ("crt", "key")}
        options = ("--refresh", "--strict", "--ca-file", other_paths["crt"], "--cert", other_paths["crt"], "--key", other_paths["key"])
        other.say(answer(OTHER))
        assert laptop.run(*options, credential=False).out == OTHER + "\n" and "authorization" not in other.asked[-1]
        (laptop.folder / "server.key").chmod(0o640)
        assert laptop.run(*options, credential=False, status=9).out == "" and len(other.asked) == 1
    finally:
        other.close()


def test_kerberos_without_a_ticket_is_a_refusal(laptop: Laptop, server: Server) -> None:
    """A proxy that wants a ticket and gets none answers 401 in words of its own: the copy stays."""
    server.say(b"<html>", 401, "text/html", WWW_Authenticate="Negotiate")
    assert laptop.run("--refresh", "--strict", "--kerberos", credential=False, status=3).out == KEY + "\n"
    assert "authorization" not in server.asked[-1]
