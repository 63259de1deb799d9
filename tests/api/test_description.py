"""The description of the API: complete, true to the shapes, for this machine and admins; and its page in a real browser."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec
import pytest

from api import shapes
from api.description import facts
from api.description.examples import REQUESTS
from api.description.page import render
from tests.api.world import Company
from tests.servers.browser import Browser

ERRORS = (Path(__file__).parents[2] / "docs/errors.md").read_text()


def document(company: Company) -> dict[str, Any]:
    found: dict[str, Any] = company.ask("GET", "/openapi.json").json()
    return found


def operations(said: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {one["operationId"]: one for methods in said["paths"].values() for one in methods.values()}


def test_every_route_is_described(company: Company) -> None:
    """No route without an operation, no operation without a summary, a group, and an example of every body and error."""
    said = document(company)
    found = operations(said)
    assert set(found) == set(facts.OPERATIONS)
    inner = company.app._app
    assert {route.path_format for route in inner.routes if route.path_format} - set(said["paths"]) == set()
    for name, one in found.items():
        assert one["summary"] and one["description"] and one["tags"][0] in facts.TAGS, name
        assert all(parameter["description"] for parameter in one["parameters"]), name
        for status, answer in one["responses"].items():
            assert {"X-Request-Id", "Cache-Control"} <= set(answer["headers"]), (name, status)
            if status >= "400" and name != "ready":
                assert answer["content"]["application/json"]["examples"], (name, status)
        for content in one.get("requestBody", {}).get("content", {}).values():
            assert content["example"], name


def test_every_reference_leads_somewhere(company: Company) -> None:
    """Whatever the document points at is in it."""
    said = document(company)
    for reference in set(re.findall(r'"\$ref": ?"#/([^"]+)"', json.dumps(said))):
        place: Any = said
        for part in reference.split("/"):
            place = place[part]


def test_who_may_ask_is_said_of_every_operation(company: Company) -> None:
    """The lookup by token or key, administration by role, health by anybody, monitoring on this machine by anybody."""
    found = operations(document(company))
    assert found["look_up_me"]["security"] == [{"bearer": []}, {"x-bf-vk": []}, {"x-api-key": []}, {"x-goog-api-key": []}]
    assert found["list_runs"]["security"] == [{"bearer": ["operator"]}, {"bearer": ["admin"]}]
    assert found["mint_key"]["security"] == [{"bearer": ["admin"]}]
    assert found["live"]["security"] == found["ready"]["security"] == []
    assert {} in found["show_metrics"]["security"] and {} in found["show_docs"]["security"]


def test_examples_fit_their_shapes() -> None:
    """Every example of a body is one that the route would take; every code of an example is explained to people."""
    for name, example in REQUESTS.items():
        msgspec.convert(example, getattr(shapes, name))
    assert [code for code in facts.CODES if f"`{code[4:]}`" not in ERRORS] == []


@pytest.mark.parametrize("path", ["/openapi.json", "/docs"])
def test_the_description_is_for_this_machine_and_admins(company: Company, path: str) -> None:
    """Loopback needs no token, elsewhere an admin's."""
    assert company.ask("GET", path).status_code == 200
    assert company.ask("GET", path, peer="192.0.2.7").status_code == 401
    assert company.ask("GET", path, company.token("operator"), peer="192.0.2.7").status_code == 403
    assert company.ask("GET", path, company.token(), peer="192.0.2.7").status_code == 200


def test_the_page_may_load_nothing_and_be_framed_by_nobody(company: Company) -> None:
    """The policy forbids everything but the style whose hash it names; nothing in the page could need more."""
    answer = company.ask("GET", "/docs")
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; style-src 'sha256-") and "frame-ancestors 'none'" in policy
    assert (answer.headers["x-content-type-options"], answer.headers["x-frame-options"]) == ("nosniff", "DENY")
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert not re.search(r"<script|<link|<img|<iframe|style=|\son\w+=|https?://", answer.text.replace("ldaps://", ""))


def test_nothing_in_the_page_is_taken_for_html(company: Company) -> None:
    """Whatever stands in the document is text."""
    said = json.loads(json.dumps(document(company)).replace("No credential", "<script>alert(1)</script>").replace("ada.okafor@", "<b id=x>@"))
    page = render(said).decode()
    assert "<script" not in page and "<b id=x>" not in page and "&lt;script&gt;" in page


def test_a_browser_shows_every_operation_and_asks_nobody_else(company: Company, port: int, tmp_path: Path) -> None:
    """In a real browser every operation is visible, unfolds by a click, is styled, and no request went to another host."""
    with Browser(tmp_path / "profile") as browser:
        browser.open(f"http://127.0.0.1:{port}/docs")
        shown = browser.evaluate("[...document.querySelectorAll('details[id]')].filter(one => one.checkVisibility()).map(one => one.id)")
        assert set(facts.OPERATIONS) <= set(shown)
        folded = "document.querySelector('#mint_key table').checkVisibility()"
        assert browser.evaluate(folded) is False
        browser.evaluate("document.querySelector('#mint_key summary').click()")
        assert browser.evaluate(folded) is True
        assert browser.evaluate("getComputedStyle(document.querySelector('details')).borderRadius") == "8px"
        browser.evaluate("document.body.style.width = '340px'")
        assert browser.evaluate("document.querySelector('nav').scrollWidth") <= 340  # a phone need not scroll sideways for the list of parts
        asked = [one["request"]["url"] for one in browser.events("Network.requestWillBeSent")]
        assert {urlsplit(url).netloc for url in asked} == {f"127.0.0.1:{port}"}
        assert [one for one in browser.events("Log.entryAdded") if "Content Security Policy" in one["entry"]["text"]] == []
