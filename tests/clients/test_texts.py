"""The clients as texts: the sh one is clean, the PowerShell one (which nothing here can run) keeps to what the sh one does."""

from __future__ import annotations

import json
import re
import subprocess

from tests.clients.conftest import ROOT, Laptop
from tests.clients.instead import Server, answer, refusal

SH, POWERSHELL = ROOT / "clients/rosterd-key", ROOT / "clients/rosterd-key.ps1"
PAGE, RECIPES = ((ROOT / "docs" / name).read_text() for name in ("mdm.md", "mdm-recipes.md"))
ONLY_SH = {"cert", "key", "ca-file", "user", "config", "version", "help"}
"""What Windows has otherwise: a store of certificates and authorities, an MDM that runs scripts as the user, PowerShell's own help."""

EVALUATING = r"Invoke-|\biex\b|ScriptBlock|Add-Type|Start-Process|Import-|\bicm\b|&\s*[$({\"']|^\s*\.\s|ServerCertificateValidation|SkipCertificate"


def blocks(language: str, start: str) -> list[str]:
    """Return the fenced blocks of the recipes that begin like this."""
    found = re.findall(rf"^```{language}\n(.*?)^```", RECIPES, re.MULTILINE | re.DOTALL)
    return [text for text in found if text.startswith(start)]


def test_the_sh_client_is_clean() -> None:
    """shellcheck finds nothing, and its few exceptions say why."""
    done = subprocess.run(["shellcheck", "-s", "sh", str(SH)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    assert SH.stat().st_mode & 0o111 and SH.read_text().count("shellcheck disable") <= 2 and not re.search(r"\beval\b", SH.read_text())


def test_the_functions_of_both_are_small() -> None:
    """None is longer than a function of ours may be; the reader of JSON, a program in awk, is the exception and has none longer inside."""
    for path, start in ((SH, r"^( *)(?:function )?(\w+)\(.*\) \{"), (POWERSHELL, r"^( *)function ([\w-]+).*\{")):
        lines = path.read_text().splitlines()
        for number, line in enumerate(lines):
            if (found := re.match(start, line)) and not line.endswith("}"):
                length = next(end for end in range(number, len(lines)) if lines[end].startswith(found[1] + "}")) - number
                assert length <= (80 if found[2] == "read_json" else 45), (path.name, found[2])


def test_the_scripts_to_paste_are_clean() -> None:
    """Every sh script of the recipes passes shellcheck, and prints no key."""
    scripts = blocks("sh", "#!/bin/sh")
    assert len(scripts) == 3
    for script in scripts:
        done = subprocess.run(["shellcheck", "-s", "sh", "-e", "SC2015", "-"], input=script, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout
    for script in scripts + blocks("powershell", "$client"):
        assert all(
            re.search("--?no-?print", line, re.IGNORECASE) for line in script.splitlines() if re.search(r"(key/rosterd-key|-File \$client) ", line)
        )


def test_the_agents_settings_are_json() -> None:
    """They can be pasted as they are, and call a client that prints."""
    for text in blocks("json", "{"):
        assert "rosterd-key" in json.loads(text)["apiKeyHelper"] and "rint" not in text


def test_the_reports_to_paste_say_what_happened(laptop: Laptop, server: Server) -> None:
    """Jamf's extension attribute and Kandji's audit, with the client in its place: one line, no key, the right word."""
    laptop.write("rosterd-key.conf", f"url {server.url}\ntoken-file {laptop.folder}/device.token\ncache-dir {laptop.cache}\n")
    client = f"{' '.join(laptop.shell)} {laptop.folder}/rosterd-key --config {laptop.folder}/rosterd-key.conf"
    _, attribute, audit = (script.replace("/opt/rosterd-key/rosterd-key", client).replace("--jitter 120", "") for script in blocks("sh", "#!/bin/sh"))

    def run(script: str) -> tuple[int, str]:
        done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, cwd="/", env={"HOME": str(laptop.folder)}, **laptop.identity)
        return done.returncode, done.stdout

    assert run(attribute) == (0, "<result>has its key</result>\n") and run(audit) == (0, "")
    server.say(b"<html>", 404, "text/html")
    assert run(attribute) == (0, "<result>keeps its copy: rosterd not reached</result>\n")
    laptop.edit(checked=1)
    assert run(audit) == (0, "")
    server.say(refusal("not_authenticated", 401), 401)
    assert run(attribute) == (0, "<result>needs a new token</result>\n") and run(audit) == (1, "rosterd-key ended with 5\n")
    server.say(answer(user="somebody-else"))
    assert run(attribute) == (0, "<result>ALARM: belongs to another user</result>\n") and run(audit) == (1, "rosterd-key ended with 8\n")
    server.say(refusal("user_removed"), 404)
    assert run(attribute) == (0, "<result>user removed</result>\n")


def statuses(text: str, pattern: str) -> dict[str, int]:
    return {name.lower(): int(number) for name, number in re.findall(pattern, text)}


def test_both_end_with_the_same_statuses() -> None:
    """And the page lists each of them, and no other."""
    sh = statuses(re.search(r"^KEY=.*$", SH.read_text(), re.MULTILINE)[0], r"([A-Z]+)=(\d+)")  # type: ignore[index]
    assert sh == statuses(POWERSHELL.read_text(), r"\$Exit(\w+) = (\d+)") and len(sh) == 10
    assert [int(status) for status in re.findall(r"^\| (\d+) \|", PAGE, re.MULTILINE)] == sorted(sh.values())


def test_both_know_the_same_options() -> None:
    """--max-age is -MaxAge, and so on; the page explains each of both."""
    sh = set(re.findall(r"(?<![\w-])--([a-z-]+)", re.findall(r"<<'TEXT'\n(.*?)^TEXT", SH.read_text(), re.MULTILINE | re.DOTALL)[0]))
    block = re.search(r"^param\((.*?)^\)", POWERSHELL.read_text(), re.MULTILINE | re.DOTALL)
    assert block
    names = re.findall(r"^  (?:\[.*\] )?\$(\w+)", block[1], re.MULTILINE)
    powershell = {re.sub(r"(?<!^)([A-Z])", r"-\1", name).lower() for name in names}
    assert powershell - {"cert-thumbprint"} == sh - ONLY_SH
    assert [option for option in sh if f"--{option}" not in PAGE] == [] and [name for name in names if f"-{name}" not in PAGE] == []


def test_both_keep_the_same_bounds() -> None:
    """An hour between two looks at an inactive key, an answer of 64 KiB, a Retry-After of an hour; and the same words to say so."""
    for name in ("Hour", "Largest", "LongestWait"):
        sh = re.search(rf"^{re.sub('(?<!^)([A-Z])', r'_' + chr(92) + '1', name).upper()}=(\d+)", SH.read_text(), re.MULTILINE)
        powershell = re.search(rf"^\${name} = (\d+)", POWERSHELL.read_text(), re.MULTILINE)
        assert sh and powershell and sh[1] == powershell[1], name
    for words in ("something else than rosterd answered 304", "this user was removed", "nothing was changed", "asked to come back later"):
        assert words in SH.read_text() and words in POWERSHELL.read_text()


def test_the_powershell_client_says_what_it_is() -> None:
    """Never run here, and it says so; plain ASCII, for Windows PowerShell reads anything else wrongly; closed brackets."""
    text = POWERSHELL.read_bytes().decode("ascii")
    assert "NOT RUN BY THE TEST SUITE" in text and "not run by the test suite" in PAGE
    assert all(text.count(left) == text.count(right) for left, right in ("{}", "()"))
    assert text.index("Set-StrictMode") < text.index("function ") and "$ErrorActionPreference = 'Stop'" in text


def test_the_powershell_client_evaluates_and_follows_nothing() -> None:
    """Nothing received is run, no redirect followed, no certificate waved through, no secret put into a URL or on a command line."""
    code = re.sub(r"<#.*?#>|^\s*#[^\n]*", "", POWERSHELL.read_text(), flags=re.MULTILINE | re.DOTALL)
    assert re.search(EVALUATING, code, re.MULTILINE) is None
    assert re.search(EVALUATING, "& $what") and re.search(EVALUATING, "Invoke-Expression $x") and re.search(EVALUATING, ". $file")
    assert "$request.AllowAutoRedirect = $false" in code and code.count("Create(") == 1 and 'Create("$Url/api/users/me/virtual-keys")' in code
    assert not re.search(r"(Say|Stop-With|Show-Copy)[^\n}]*\$(token|Key|active|body)\b(?!\.Length)", code)
