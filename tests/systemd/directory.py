"""A slapd inside a booted machine, and a rosterd there that is told to read it."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any, Self

from tests.servers.slapd import Slapd
from tests.systemd.machine import ENVIRONMENT, Machine, wait_for

PEOPLE = 20
ADDRESS = "u000007@example.com"
CONFIG = f"""
[auth]
secret_file = "jwt.secret"
[keys]
encryption_key_file = "vault.keys"
[[keys.issue]]
name = "default"
[[source]]
name = "corp"
kind = "ldap"
urls = ["ldaps://127.0.0.1:6636"]
ca_file = "/srv/directory/server.crt"
bind_dn = "{Slapd.bind_dn}"
password_file = "ldap.password"
base = "{Slapd.base}"
[source.schedule]
every = "1h"
"""


def start_directory(machine: Machine, folder: Path) -> None:
    """Run a slapd with twenty people in the machine."""
    directory = Slapd(folder).prepare()
    directory.add_people(PEOPLE)
    machine.put(folder, "/srv/directory")
    listen = "ldap://127.0.0.1:3389 ldaps://127.0.0.1:6636"
    command = ["systemd-run", "-q", "--unit=directory", "-p", "WorkingDirectory=/srv/directory", "slapd", "-d", "0", "-F", "slapd.d", "-h", listen]
    machine.run(*command)
    search = ["ldapsearch", "-x", "-H", "ldap://127.0.0.1:3389", "-D", Slapd.bind_dn, "-w", Slapd.password, "-b", Slapd.base, "-s", "base"]
    wait_for(lambda: machine.run(*search, status=None).returncode == 0, "the directory")


def configure(machine: Machine, more: str = "") -> None:
    """Write the configuration and the password as docs/install.md says."""
    machine.write("/etc/rosterd/config.toml", CONFIG + more)
    machine.run("install", "-m", "0640", "-g", "rosterd", "/dev/null", "/etc/rosterd/ldap.password")
    machine.write("/etc/rosterd/ldap.password", Slapd.password + "\n")


def await_sync(machine: Machine, count: int = 1) -> None:
    """Wait until so many runs have succeeded."""

    def ended() -> bool:
        runs = json.loads(machine.say("rosterd", "runs", "--json"))["runs"]
        assert not [run for run in runs if run["state"] == "failed"], runs
        return sum(run["state"] == "succeeded" for run in runs) >= count

    wait_for(ended, f"{count} runs")


def new_token(machine: Machine) -> str:
    """Return a bearer that may look everybody up."""
    return machine.say("rosterd", "token", "issue", "--role", "lookup")


def look_up(machine: Machine, token: str, address: str = ADDRESS) -> dict[str, Any]:
    """Ask the daemon in the machine for somebody's keys, and return the only one."""
    (key,) = json.loads(machine.say("python3", "-c", ASK, f"/api/users/email/{address}/virtual-keys", token))["virtual_keys"]
    return key  # type: ignore[no-any-return]


ASK = """
import sys, urllib.request
request = urllib.request.Request("http://127.0.0.1:8321" + sys.argv[1], headers={"Authorization": "Bearer " + sys.argv[2]})
print(urllib.request.urlopen(request, timeout=30).read().decode())
"""
"""A program for the machine's own Python: PATH TOKEN → the body of the answer."""

POST = """
import sys, urllib.request
facts = {"Authorization": "Bearer " + sys.argv[2], "Content-Type": sys.argv[3]}
print(urllib.request.urlopen(urllib.request.Request("http://127.0.0.1:8321" + sys.argv[1], sys.stdin.buffer.read(), facts), timeout=30).status)
"""
"""A program for the machine's own Python: PATH TOKEN TYPE, and on stdin what to POST → the status."""

CROWD = """
import http.client, json, resource, socket, sys, time
count = int(sys.argv[1])
resource.setrlimit(resource.RLIMIT_NOFILE, (count + 100, count + 100))
def come(number):
    return socket.create_connection(("127.0.0.1", 8321), 60, ("127.0.0.%d" % (2 + number // 5000), 0))
def answered(line):
    answer = http.client.HTTPResponse(line)
    try:
        line.sendall(b"GET /health/live HTTP/1.1\\r\\nHost: 127.0.0.1\\r\\n\\r\\n")
        answer.begin()
    except ConnectionError:
        return None
    answer.read()
    return answer.status == 200
lines, times, first, again, renewed = [], [], 0, 0, 0
for number in range(count):
    lines.append(come(number))
    first += answered(lines[-1])
    times.append(time.monotonic())
for number, line in enumerate(lines):
    good = answered(line)
    if good is None and time.monotonic() - times[number] > 75:  # a slow machine: it has waited for longer than connections are kept
        line.close()
        lines[number] = come(number)
        good, renewed = answered(lines[number]), renewed + 1
    again += good
print(json.dumps({"answered": first, "again": again, "renewed": renewed}))
"""
"""A program for the machine's own Python: COUNT → of so many connections, all open at once, how many were answered 200 when they came, and how many
once more when all were there; and how many of those had waited for so long that they had to come again."""

LOAD = """
import collections, http.client, json, sys, threading, time
path, token = sys.argv[1:]
said, waited, over = collections.Counter(), [], threading.Event()
def ask():
    while not over.is_set():
        began = time.monotonic()
        try:
            line = http.client.HTTPConnection("127.0.0.1", 8321, timeout=60)
            line.request("GET", path, headers={"Authorization": "Bearer " + token, "Connection": "close"})
            answer = line.getresponse()
            answer.read()
            said[str(answer.status)] += 1
        except Exception as error:
            said[type(error).__name__] += 1
        waited.append(time.monotonic() - began)
threads = [threading.Thread(target=ask) for _ in range(4)]
for thread in threads: thread.start()
sys.stdin.read()
over.set()
for thread in threads: thread.join()
print(json.dumps({"said": said, "worst": max(waited)}))
"""
"""Four who ask the same again and again, each time on a new connection, until stdin ends: PATH TOKEN → how often each answer or error came, and
the longest wait in seconds."""


class Load:
    """`with Load(machine, token) as load:` asks all the while; then `load.said` = how often each status or error came, `load.worst` = the
    longest wait in seconds."""

    said: dict[str, int]
    worst: float

    def __init__(self, machine: Machine, token: str) -> None:
        inside = ["nsenter", "-t", str(machine.leader), "-a", *ENVIRONMENT]
        self._command = [*inside, "python3", "-c", LOAD, f"/api/users/email/{ADDRESS}/virtual-keys", token]

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        return self

    def __exit__(self, *_: object) -> None:
        report = json.loads(self._process.communicate()[0])
        self.said, self.worst = report["said"], report["worst"]

    def __repr__(self) -> str:
        return f"{self.said}, longest wait {self.worst:.1f} s"
