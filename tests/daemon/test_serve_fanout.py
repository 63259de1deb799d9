"""A bounded lookup token in a running daemon: refused in time, through a reload, and told to everybody who listens."""

from __future__ import annotations

import json
from pathlib import Path

from daemon.demo.responder import Responder
from tests.daemon.installation import Installation, wait_for
from tests.daemon.test_serve_keys import reload, rosterd
from tests.servers.receiver import Receiver

SECRET = "a-secret-of-thirty-two-characters-or-more"


def test_a_token_that_reaches_its_bound_is_refused_and_told(tmp_path: Path) -> None:
    """`--max-users 2`: the third user is 403, also after a reload; the webhook, the audit file, the log and the metrics hear of it once."""
    with Responder() as responder, Receiver(SECRET) as receiver:
        installation = Installation(tmp_path, responder)
        installation.secret("webhook.url", receiver.url)
        installation.secret("webhook.secret", SECRET)
        installation.configure(more='[[webhook]]\nurl_file = "webhook.url"\nsecret_file = "webhook.secret"\n')
        with installation.serve().ready() as daemon:
            installation.ended_runs(1)
            issued = rosterd(installation, "token", "issue", "--role", "lookup", "--max-users", "2", "--json")
            token = json.loads(issued.stdout)["token"]
            assert token["max_users"] == 2
            lookup = {"Authorization": f"Bearer {token['value']}"}
            emails = [user["email"] for user in daemon.get("/api/users?limit=3", installation.token("admin")).json()["users"]]

            def statuses() -> list[int]:
                return [daemon.get(f"/api/users/email/{email}/virtual-keys", lookup).status_code for email in emails]

            assert statuses() == [200, 200, 403]
            reload(daemon)
            assert statuses() == [200, 200, 403]
            wait_for(lambda: receiver.taken, "the delivery")
            told = {event["event"]: event for delivery in receiver.taken for event in delivery["events"] if event["kind"] == "lookup.fanout"}
            (event,) = told.values()  # a delivery that a reload interrupts may come again, with the same number
            assert (event["jti"], event["detail"]) == (token["jti"], {"client": "127.0.0.1", "users": 2, "why": "max_users", "hours": 24})
            wait_for(lambda: 'rosterd_lookup_fanouts_total{why="max_users"} 1.0' in daemon.get("/metrics").text, "the number")
            assert daemon.end() == 0
        audit = [json.loads(line) for line in (installation.folder / "audit.jsonl").read_text().splitlines()]
        assert [one["jti"] for one in audit if one.get("action") == "lookup.fanout"] == [token["jti"]]
        assert daemon.log.count("a token asked for more users than it may read") == 1
