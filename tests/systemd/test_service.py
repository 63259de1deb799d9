"""The service under a real systemd: restarted, killed, hung, reloaded, and read from the journal."""

from __future__ import annotations

import json
from pathlib import Path

from tests.servers.kerberos import keytab
from tests.servers.slapd import Slapd
from tests.systemd.directory import CONFIG, CROWD, POST, Load, await_sync, configure, look_up, new_token
from tests.systemd.machine import Machine, wait_for

DROP_IN = "/etc/systemd/system/rosterd.service.d/test.conf"


def restarted(machine: Machine, before: str) -> str:
    """Wait until another process than `before` answers, and return its number."""

    def another() -> str | None:
        now = machine.show("rosterd", "MainPID")
        return now if now not in ("0", before) and machine.show("rosterd", "ActiveState") == "active" else None

    return str(wait_for(another, "the service to be back"))


def test_the_journal_can_be_asked_by_field(running: Machine) -> None:
    """Each record carries its facts: `journalctl ROSTERD_SOURCE=corp` finds the runs of a source, and of nothing else."""
    await_sync(running)
    ended = wait_for(
        lambda: running.journal("ROSTERD_SOURCE=corp", "ROSTERD_EVENT=run.succeeded"), "the record of the run"
    )  # written after the store
    assert all(record["_SYSTEMD_UNIT"] == "rosterd.service" for record in ended)
    ready = running.journal("ROSTERD_EVENT=daemon.ready", "_SYSTEMD_UNIT=rosterd.service")
    assert ready[-1]["ROSTERD_AT"] == "http://127.0.0.1:8321" and ready[-1]["SYSLOG_IDENTIFIER"] == "rosterd"


def test_commands_work_as_root_and_as_its_user(running: Machine) -> None:
    """Both see the same store, and neither leaves a file there that belongs to somebody else; others are refused."""
    for who in ([], ["runuser", "-u", "rosterd", "--"]):
        assert json.loads(running.say(*who, "rosterd", "users", "--json"))["total"] == 20
        running.run(*who, "rosterd", "sync")
        running.run(*who, "rosterd", "status")
    assert running.say("find", "/var/lib/rosterd", "!", "-user", "rosterd") == ""
    refused = running.run("runuser", "-u", "nobody", "--", "rosterd", "users", status=78)
    assert "Traceback" not in refused.stderr


def test_monitoring_is_told_how_it_is(running: Machine) -> None:
    """`status --exit-code` is 0 while all is well, as root and as its user, and 3 to those who may not read the configuration."""
    asked = ["rosterd", "status", "--exit-code"]
    for who in ([], ["runuser", "-u", "rosterd", "--"]):
        running.run(*who, *asked)
    assert "UNKNOWN" in running.run("runuser", "-u", "nobody", "--", *asked, status=3).stdout


def test_whoever_is_killed_comes_back(running: Machine) -> None:
    """After `kill -9` systemd starts another, which answers with the same key."""
    token, before = new_token(running), running.show("rosterd", "MainPID")
    key = look_up(running, token)
    running.run("kill", "-9", before)
    restarted(running, before)
    assert look_up(running, token) == key


def test_whoever_hangs_is_ended_and_comes_back(running: Machine) -> None:
    """A daemon whose loop does not turn feeds no watchdog: it is ended, and another answers."""
    running.write(DROP_IN, "[Service]\nWatchdogSec=2s\nTimeoutAbortSec=1s\n")
    running.run("systemctl", "daemon-reload")
    running.run("systemctl", "restart", "rosterd")
    token, before = new_token(running), running.show("rosterd", "MainPID")
    running.run("sleep", "5")
    assert running.show("rosterd", "MainPID") == before, "whoever works is left alone"
    running.run("kill", "-STOP", before)
    restarted(running, before)
    assert any("Watchdog timeout" in str(record["MESSAGE"]) for record in running.journal("_PID=1", "UNIT=rosterd.service"))
    assert look_up(running, token)["is_active"]
    running.run("rm", DROP_IN)
    running.run("systemctl", "daemon-reload")
    running.run("systemctl", "restart", "rosterd")


def test_where_it_hung_is_in_the_journal(running: Machine) -> None:
    """The watchdog's SIGABRT leaves the place of every thread in the journal, and no value of any variable."""
    before = running.show("rosterd", "MainPID")
    running.run("kill", "-ABRT", before)
    restarted(running, before)
    said = "\n".join(str(record["MESSAGE"]) for record in running.journal(f"_PID={before}"))
    assert "Fatal Python error: Aborted" in said and "daemon/serve.py" in said


def test_a_sync_goes_behind_lookups_and_ends_before_them(running: Machine) -> None:
    """While a sync waits for its directory: the daemon's main thread has the priority, the sync has none and offers itself
    to a kernel that wants memory; when it is taken, its run is recorded as killed, and the daemon is who it was and answers."""
    running.write("/etc/rosterd/config.toml", CONFIG.replace("base =", 'connect_timeout = "5m"\nbase ='))
    running.run("systemctl", "restart", "rosterd")
    token, before = new_token(running), running.show("rosterd", "MainPID")
    directory = running.show("directory", "MainPID")
    running.run("kill", "-STOP", directory)
    admin = running.say("rosterd", "token", "issue", "--role", "admin")
    running.run("python3", "-c", POST, "/api/sync/runs", admin, "application/json", stdin='{"source": "corp"}')
    child = wait_for(lambda: " ".join(running.run("pgrep", "-P", before, status=None).stdout.split()), "the child")
    wait_for(lambda: '"running"' in running.say("rosterd", "runs", "--json"), "the child to begin")
    assert running.say("cat", f"/proc/{child}/oom_score_adj") == "500"
    assert [nice(running, process) for process in (before, child)] == [-10, 0]
    assert int(running.say("cat", f"/proc/{child}/oom_score")) > int(running.say("cat", f"/proc/{before}/oom_score"))
    assert (running.show("rosterd", "OOMPolicy"), running.show("rosterd", "MemoryMax")) == ("continue", str(4 << 30))
    running.run("kill", "-9", child)  # as the kernel does
    running.run("kill", "-CONT", directory)
    wait_for(lambda: running.journal("ROSTERD_EVENT=run.failed", f"_PID={before}"), "the record of the killed run")
    assert running.show("rosterd", "MainPID") == before and look_up(running, token)["is_active"]
    configure(running)
    running.run("systemctl", "restart", "rosterd")


def nice(machine: Machine, process: str) -> int:
    """Return the niceness of a process's main thread (proc(5))."""
    return int(machine.say("cat", f"/proc/{process}/stat").rpartition(")")[2].split()[16])


def test_ten_thousand_may_stay_connected(running: Machine) -> None:
    """Ten thousand connections that have asked once, and wait: none is refused or ended, all are answered once more, and so is a new one."""
    said = json.loads(running.say("python3", "-c", CROWD, "10000"))
    assert (said["answered"], said["again"]) == (10000, 10000) and said["renewed"] < 5000, said
    assert look_up(running, new_token(running))["is_active"]


def test_a_bad_configuration_is_refused_and_a_good_one_taken(running: Machine) -> None:
    """`systemctl reload` with a mistake changes nothing and says why; without it the new one is in force, in the same process."""
    token, before = new_token(running), running.show("rosterd", "MainPID")
    running.write("/etc/rosterd/config.toml", CONFIG.replace("base =", "bass ="))
    running.run("systemctl", "reload", "rosterd")
    refused = wait_for(lambda: running.journal("ROSTERD_EVENT=reload.refused", f"_PID={before}"), "the refusal")
    assert any("bass" in record["ROSTERD_PROBLEM"] for record in refused)
    assert look_up(running, token)["is_active"]
    configure(running)
    running.run("systemctl", "reload", "rosterd")
    wait_for(lambda: running.journal("ROSTERD_EVENT=reload.done", f"_PID={before}"), "the new configuration")
    assert running.show("rosterd", "MainPID") == before
    assert running.show("rosterd", "StatusText").startswith("Answers on http://127.0.0.1:8321")


def test_started_with_a_bad_configuration_it_does_not_try_again(running: Machine) -> None:
    """Exit status 78 ends it for good: nothing that systemd could repeat would mend it."""
    running.write("/etc/rosterd/config.toml", CONFIG.replace("base =", "bass ="))
    running.run("systemctl", "restart", "rosterd", status=1)
    assert (running.show("rosterd", "ActiveState"), running.show("rosterd", "ExecMainStatus")) == ("failed", "78")
    configure(running)
    running.run("systemctl", "start", "rosterd")


def test_a_provider_can_push_into_the_sandbox(running: Machine) -> None:
    """What the package carries, and what the unit allows, is enough for a source that is pushed to; `check` says what it found there."""
    running.write("/etc/rosterd/config.toml", CONFIG.replace('name = "default"', 'name = "default"\nsources = ["corp", "okta"]') + PUSHED)
    running.run("systemctl", "restart", "rosterd")
    token = running.say("rosterd", "token", "issue", "--role", "scim", "--source", "okta", "--ttl", "1h")
    running.run("python3", "-c", POST, "/scim/v2/okta/Users", token, "application/scim+json", stdin=json.dumps(PERSON))
    assert look_up(running, new_token(running), "pushed@example.com")["is_active"]
    assert "okta: " in running.say("rosterd", "check")
    configure(running)
    running.run("systemctl", "restart", "rosterd")


PUSHED = """
[http]
public_url = "https://keys.example.com"
[[source]]
name = "okta"
kind = "scim-push"
domains = ["example.com"]
"""
PERSON = {
    "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"],
    "userName": "pushed",
    "emails": [{"value": "pushed@example.com", "primary": True}],
}


def test_kerberos_is_the_distributions(running: Machine, tmp_path: Path) -> None:
    """With python3-gssapi the package asks the realm, and says that nobody answers there; without, `check` says that alone, and what to install."""
    running.put(keytab(tmp_path / "rosterd.keytab", "rosterd@EXAMPLE.COM"), "/etc/rosterd")
    running.run("chown", "rosterd:", "/etc/rosterd/rosterd.keytab")
    binding = CONFIG[CONFIG.index("bind_dn") : CONFIG.index("base =")]
    kerberos = 'sasl = "gssapi"\nprincipal = "rosterd@EXAMPLE.COM"\nkeytab_file = "rosterd.keytab"\n'
    running.write("/etc/rosterd/config.toml", CONFIG.replace(binding, kerberos))
    assert "The key distribution centre of EXAMPLE.COM cannot be reached" in running.run("rosterd", "check", status=4).stdout
    running.run("apt-get", "remove", "-y", "-q", "python3-gssapi")
    said = running.run("rosterd", "check", status=78).stderr
    assert said.count("[[source]]") == 1 and "Install python3-gssapi" in said, said
    configure(running)
    running.run("systemctl", "restart", "rosterd")


def test_secrets_come_as_credentials(running: Machine, package: Path) -> None:
    """Given by systemd, plain and encrypted, the secrets are readable by root only; commands find them too, and an upgrade goes well."""
    folder = "/etc/rosterd/credentials"
    running.run("install", "-d", "-m", "0700", folder)
    running.run("mv", "/etc/rosterd/jwt.secret", "/etc/rosterd/vault.keys", folder)
    running.run("chown", "root:root", f"{folder}/jwt.secret", f"{folder}/vault.keys")
    running.run("systemd-creds", "encrypt", "--with-key=host", "--name=ldap.password", "/etc/rosterd/ldap.password", f"{folder}/ldap.password.cred")
    running.run("rm", "/etc/rosterd/ldap.password")
    assert Slapd.password not in running.path(f"{folder}/ldap.password.cred").read_text()
    loaded = "".join(f"LoadCredential={name}:{folder}/{name}\n" for name in ("jwt.secret", "vault.keys"))
    running.write(DROP_IN, f"[Service]\n{loaded}LoadCredentialEncrypted=ldap.password:{folder}/ldap.password.cred\n")
    text = CONFIG
    for name in ("jwt.secret", "vault.keys", "ldap.password"):
        text = text.replace(f'"{name}"', f'"credential:{name}"')
    running.write("/etc/rosterd/config.toml", text)
    running.run("systemctl", "daemon-reload")
    running.run("systemctl", "restart", "rosterd")
    assert look_up(running, new_token(running))["is_active"]
    running.run("rosterd", "sync", "--full")
    running.run("runuser", "-u", "rosterd", "--", "rosterd", "check")
    running.run("apt-get", "install", "-y", "-q", "--reinstall", f"/srv/{package.name}")
    assert look_up(running, new_token(running))["is_active"]
    assert not running.path("/etc/rosterd/jwt.secret").exists(), "a second secret was made"


def test_no_request_is_refused_while_it_restarts(running: Machine) -> None:
    """With rosterd.socket, whoever asks during a restart or a reload waits a little: no connection of four clients is refused or
    reset, all are answered with 200."""
    running.run("systemctl", "stop", "rosterd")
    running.run("systemctl", "enable", "--now", "rosterd.socket")
    running.run("systemctl", "start", "rosterd")
    with Load(running, new_token(running)) as load:
        processes = {running.show("rosterd", "MainPID")}
        for _ in range(3):
            running.run("systemctl", "restart", "rosterd")
            processes.add(running.show("rosterd", "MainPID"))
            running.run("systemctl", "reload", "rosterd")
            wait_for(lambda: running.journal("ROSTERD_EVENT=reload.done", f"_PID={running.show('rosterd', 'MainPID')}"), "the reload")
    assert len(processes) == 4
    assert list(load.said) == ["200"] and load.said["200"] > 20, load
    print(load)
