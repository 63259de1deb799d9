"""clients/rosterd-key against whatever may answer in rosterd's place."""

from __future__ import annotations

import json
import socket
import time
from pathlib import Path

from tests.clients.conftest import Laptop
from tests.clients.instead import JSON, KEY, OTHER, USER, Server, answer, refusal


def whole(text: bytes) -> bytes:
    return json.dumps(answer(OTHER)).encode().replace(b"ada@example.com", text)


NOT_OURS = {
    "html 404": (404, "text/html", b"<html><body>Not Found</body></html>"),
    "html 502": (502, "text/html", b"<html>Bad Gateway</html>"),
    "html 200": (200, "text/html", b"<html>Please log in</html>"),
    "json of a proxy": (404, JSON, b'{"error": "no route", "code": "user_removed"}'),
    "user_removed without our shape": (404, JSON, b'{"error": {"code": "user_removed"}}'),
    "is_bifrost_error as a text": (404, JSON, json.dumps(refusal("user_removed") | {"is_bifrost_error": "true"}).encode()),
    "plain text": (200, "text/plain", (KEY + "\n").encode()),
    "half an answer": (200, JSON, json.dumps(answer(OTHER)).encode()[:-2]),
    "more than an answer": (200, JSON, json.dumps(answer(OTHER)).encode() + b" {}"),
    "nothing": (200, JSON, b""),
    "a list": (200, JSON, b"[]"),
    "no keys member": (200, JSON, json.dumps({"user_id": USER, "email": "a@b"}).encode()),
    "no user": (200, JSON, json.dumps({"virtual_keys": answer(OTHER)["virtual_keys"]}).encode()),
    "member twice": (200, JSON, json.dumps(answer(OTHER)).encode().replace(b'"email"', b'"user_id": "x", "email"')),
    "key's member twice": (200, JSON, json.dumps(answer(OTHER)).encode().replace(b'"is_active"', b'"value": "sk-bf-zzzzzzzzzzzzzzzz", "is_active"')),
    "is_active as a text": (200, JSON, json.dumps(answer(OTHER, active="true")).encode()),
    "value as a number": (200, JSON, json.dumps(answer(12345678901234567890)).encode()),
    "value with a command": (200, JSON, json.dumps(answer("$(touch /tmp/owned)`id`;reboot")).encode()),
    "value with a line break": (200, JSON, json.dumps(answer(OTHER + "\nexport PATH=/evil")).encode()),
    "value with an escape": (200, JSON, json.dumps(answer(OTHER)).encode().replace(b"sk-bf", b"sk\\u002dbf")),
    "value too long": (200, JSON, json.dumps(answer("x" * 5000)).encode()),
    "user with a blank": (200, JSON, json.dumps(answer(OTHER, user="a b")).encode()),
    "a NUL": (200, JSON, whole(b"a\x00b")),
    "a control character": (200, JSON, whole(b"a\x07b")),
    "bad escape": (200, JSON, whole(b"\\x41")),
    "deep nesting": (200, JSON, b'{"a":' * 5000 + b"1" + b"}" * 5000),
    "huge": (200, JSON, whole(b"a" * 100_000)),
    "a redirect": (302, "text/html", b""),
    "a 304 of some cache": (304, JSON, b""),
    "is_active as a number": (200, JSON, json.dumps(answer(OTHER, active=1)).encode()),
    "is_active as null": (200, JSON, json.dumps(answer(OTHER, active=None)).encode()),
    "keys as numbers": (200, JSON, json.dumps({"user_id": USER, "virtual_keys": [1]}).encode()),
    "keys in a list of lists": (200, JSON, json.dumps({"user_id": USER, "virtual_keys": [answer(OTHER)["virtual_keys"]]}).encode()),
    "keys as an object": (200, JSON, json.dumps({"user_id": USER, "virtual_keys": {"*": answer(OTHER)["virtual_keys"][0]}}).encode()),
    "keys as null": (200, JSON, json.dumps({"user_id": USER, "virtual_keys": None}).encode()),
    "a key without its state": (200, JSON, json.dumps({"user_id": USER, "virtual_keys": [{"value": OTHER}]}).encode()),
    "a comma too many": (200, JSON, json.dumps(answer(OTHER)).encode().replace(b"}]", b"},]")),
    "a strange 204": (204, JSON, b""),
    "a teapot": (418, JSON, json.dumps(refusal("teapot", 418)).encode()),
}


def test_what_is_not_ours_keeps_the_copy(laptop: Laptop, server: Server) -> None:
    """Whatever a proxy, a captive portal or an attacker answers: the copy is printed and stays, and nothing received is run or followed."""
    before = {name: laptop.state[name] for name in ("user", "key", "inactive")}
    for case, (status, kind, body) in NOT_OURS.items():
        server.say(body, status, kind, **({"Location": f"{server.url}/elsewhere"} if status == 302 else {}))
        asked = len(server.asked)
        assert laptop.run("--refresh", "--strict", status=5 if case == "a teapot" else 3).out == KEY + "\n", case
        assert {name: laptop.state[name] for name in before} == before, case
        assert len(server.asked) == asked + 1 and not Path("/tmp/owned").exists(), case  # noqa: S108
    (laptop.cache / "rosterd-key.state").unlink()
    server.say(b"<html>Please log in</html>", 200, "text/html")
    assert laptop.run(status=4).out == ""


def test_unknown_members_and_odd_spelling_are_fine(laptop: Laptop, server: Server) -> None:
    """A newer rosterd may add members; white space, escapes, numbers and nulls elsewhere mean nothing; the first active key counts."""
    keys = [
        {"id": "1", "name": 'q"uo\\te 😀', "value": "sk-bf-inactive-0000000", "is_active": False, "more": [1, -2.5e3, None, {"a": {}}]},
        {"id": "2", "name": "b", "value": OTHER, "is_active": True},
        {"id": "3", "name": "c", "value": "sk-bf-third-0000000000", "is_active": True},
    ]
    body = json.dumps({"virtual_keys": keys, "new": {"user_id": "nested"}, "email": None, "user_id": USER}, indent=3)
    server.say(b"\r\n\t" + body.encode() + b"\n \n")
    assert laptop.run("--refresh").out == OTHER + "\n"


def test_no_keys_at_all_is_inactive_not_broken(laptop: Laptop, server: Server) -> None:
    """An empty list is rosterd's word that there is no key."""
    server.say({"user_id": USER, "email": "ada@example.com", "virtual_keys": []})
    assert laptop.run("--refresh").out == KEY + "\n"
    laptop.edit(inactive=int(laptop.state["inactive"]) - 3601)
    assert laptop.run("--refresh", status=6).out == ""


def test_retry_after_is_kept_to_within_bounds(laptop: Laptop, server: Server) -> None:
    """Until then nobody is asked, not even with --refresh; a week is cut to an hour; a clock turned back does not make it longer."""
    server.say(refusal("rate", 429), 429, Retry_After="600")
    assert laptop.run("--refresh").out == KEY + "\n"
    asked = len(server.asked)
    assert laptop.run("--refresh").out == KEY + "\n" and len(server.asked) == asked
    assert 500 < int(laptop.state["not_before"]) - time.time() <= 600
    laptop.edit(not_before=0)
    server.say(refusal("down", 503), 503, Retry_After="604800")
    laptop.run("--refresh")
    assert int(laptop.state["not_before"]) - time.time() <= 3600
    laptop.edit(not_before=int(time.time()) + 10_000_000)
    for odd in ("08", "-5", "99999999999999", "soon", "1e3", "$(id)"):
        laptop.edit(not_before=0)
        server.say(b"<html>", 503, "text/html", Retry_After=odd)
        assert laptop.run("--refresh").out == KEY + "\n" and laptop.state["not_before"] == "0", odd
    laptop.edit(not_before=int(time.time()) + 10_000_000)
    server.say(answer())
    assert laptop.run("--refresh").out == KEY + "\n" and laptop.state["not_before"] == "0"


def test_the_answers_headers_are_harmless(laptop: Laptop, server: Server) -> None:
    """An ETag that would break out of a header or a file is not kept."""
    for tag in ('"a"; rm -rf"', '"$(id)"', "no quotes", '"' + "x" * 3000 + '"'):
        server.say(answer(), ETag=tag)
        laptop.run("--refresh")
        assert laptop.state["etag"] == ""
        assert laptop.run("--refresh").out == KEY + "\n" and "if-none-match" not in server.asked[-1]


def test_a_304_must_answer_what_was_asked(laptop: Laptop, server: Server) -> None:
    """Only one that names the copy's own ETag makes the copy young again."""
    laptop.edit(checked=1)
    server.say(b"", 304, ETag='"another"')
    assert laptop.run("--strict", status=3).out == KEY + "\n" and laptop.state["checked"] == "1"
    server.say(b"", 304, ETag='"abc"')
    assert laptop.run("--strict").out == KEY + "\n" and int(laptop.state["checked"]) > time.time() - 60
    assert server.asked[-1]["if-none-match"] == '"abc"'


def test_an_answer_about_somebody_else_is_an_alarm(laptop: Laptop, server: Server) -> None:
    """A server that mixes people up: exit 8, nothing printed, the copy stays as it is. At the first use the token says whose it is."""
    server.say(answer(OTHER, user="somebody-else"), ETag='"b"')
    assert laptop.run("--refresh", status=8).out == "" and (laptop.state["key"], laptop.state["user"]) == (KEY, USER)
    (laptop.cache / "rosterd-key.state").unlink()
    assert "ALARM" in laptop.run(status=8).err and not (laptop.cache / "rosterd-key.state").exists()


def test_an_answer_without_end_fills_no_disk(laptop: Laptop, server: Server) -> None:
    """An answer of no stated length is cut off by the size of the file, long before the time is over."""
    server.say(whole(b"a" * 1_000_000))
    server.times = 2000
    began = time.monotonic()
    assert laptop.run("--refresh", "--strict", status=3).out == KEY + "\n"
    assert time.monotonic() - began < 5


def test_a_server_that_says_nothing_is_given_up(laptop: Laptop, server: Server) -> None:
    """A connection that is accepted and never answered ends in time with the copy."""
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        laptop.url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        assert laptop.run("--refresh", "--timeout", "1").out == KEY + "\n"
