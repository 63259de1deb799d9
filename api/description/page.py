"""The description as one page of HTML: no script, no font, no picture, nothing from another host, and a policy that forbids all of them."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Iterable, Iterator
from html import escape
from typing import Any

_STYLE = """
:root{color-scheme:light dark;--line:#8884;--dim:#888;--get:#2563eb;--post:#15803d;--put:#b45309;--delete:#b91c1c}
body{font:16px/1.5 system-ui,sans-serif;max-width:62rem;margin:0 auto;padding:1rem 1.25rem 6rem}
h2{margin:2.5rem 0 .5rem}h2::first-letter{text-transform:uppercase}h3{font-size:1rem;margin:1.25rem 0 .25rem}p{margin:.4rem 0}
nav{display:flex;flex-wrap:wrap;gap:0 1rem}code,pre{font:.875rem/1.45 ui-monospace,monospace}
pre{background:#8881;border-radius:6px;padding:.7rem .9rem;overflow-x:auto;margin:.4rem 0}
details{border:1px solid var(--line);border-radius:8px;margin:.5rem 0;padding:0 .9rem}details details{border:0;padding:0;margin:.2rem 0}
summary{cursor:pointer;padding:.55rem 0}details[open]>summary{border-bottom:1px solid var(--line)}details details[open]>summary{border:0}
.method{display:inline-block;min-width:4.2rem;font-weight:700}.get{color:var(--get)}.post{color:var(--post)}.put{color:var(--put)}
.delete{color:var(--delete)}.dim{color:var(--dim)}table{border-collapse:collapse;width:100%}
td,th{text-align:left;vertical-align:top;padding:.3rem .8rem .3rem 0;border-bottom:1px solid var(--line)}
"""

_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
POLICY = f"default-src 'none'; style-src 'sha256-{_HASH}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'".encode()
"""The Content-Security-Policy of the page."""


def render(document: dict[str, Any]) -> bytes:
    """Return the page of an OpenAPI document. Everything in it is escaped."""
    info, tags = document["info"], document["tags"]
    parts = [
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">',
        f"<title>{escape(info['title'])} {escape(info['version'])}</title><style>{_STYLE}</style></head><body>",
        f'<h1>{escape(info["title"])} <span class="dim">{escape(info["version"])}</span></h1><p>{_prose(info["description"])}</p>',
        "<nav>" + "".join(f'<a href="#{_slug(tag["name"])}">{escape(tag["name"])}</a>' for tag in tags),
        '<a href="#bearers">bearers</a><a href="#shapes">shapes</a><a href="openapi.json">openapi.json</a></nav>',
    ]
    for tag in tags:
        parts.append(f'<h2 id="{_slug(tag["name"])}">{escape(tag["name"])}</h2><p>{_prose(tag["description"])}</p>')
        for path, methods in document["paths"].items():
            parts += (_operation(document, path, method, one) for method, one in methods.items() if tag["name"] in one["tags"])
    parts += _bearers(document["components"]["securitySchemes"])
    parts.append('<h2 id="shapes">shapes</h2>')
    parts += (_fold(f"<code>{escape(name)}</code>", _json(schema), f"shape-{name}") for name, schema in document["components"]["schemas"].items())
    return "".join([*parts, "</body></html>"]).encode()


def _operation(document: dict[str, Any], path: str, method: str, said: dict[str, Any]) -> str:
    title = f'<span class="method {escape(method)}">{escape(method.upper())}</span> <code>{escape(path)}</code>'
    parts = [f"<p>{_prose(said['description'])}</p>", f'<p class="dim">{_who(said["security"])}</p>']
    if said["parameters"]:
        rows = ((f"<code>{escape(one['name'])}</code>", escape(one["in"]), _type(one), _prose(one["description"])) for one in said["parameters"])
        parts.append("<h3>Parameters</h3>" + _table(rows))
    if "requestBody" in said:
        parts.append("<h3>Body</h3>" + "".join(_content(document, kind, one) for kind, one in said["requestBody"]["content"].items()))
    parts.append("<h3>Answers</h3>")
    for status, answer in sorted(said["responses"].items()):
        headers = ", ".join(f"<code>{escape(name)}</code>" for name in answer["headers"])
        inner = "".join(_content(document, kind, one) for kind, one in answer.get("content", {}).items())
        parts.append(_fold(f"<b>{escape(status)}</b> {_prose(answer['description'])}", f'<p class="dim">{headers}</p>{inner}'))
    return _fold(f'{title} <span class="dim">{escape(said["summary"])}</span>', "".join(parts), said["operationId"])


def _content(document: dict[str, Any], kind: str, content: dict[str, Any]) -> str:
    schema = content["schema"]
    names = re.findall(r"#/components/schemas/(\w+)", json.dumps(schema))
    link = " ".join(f'<a href="#shape-{escape(name)}">{escape(name)}</a>' for name in names)
    examples = [content["example"]] if "example" in content else []
    examples += (document["components"]["examples"][one["$ref"].rpartition("/")[2]]["value"] for one in content.get("examples", {}).values())
    return f'<p class="dim"><code>{escape(kind)}</code> {link}</p>' + "".join(_json(example) for example in examples)


def _bearers(schemes: dict[str, Any]) -> Iterator[str]:
    yield '<h2 id="bearers">bearers</h2>'
    yield _table((f"<code>{escape(name)}</code>", escape(one["type"]), _prose(one["description"])) for name, one in schemes.items())


def _who(security: list[dict[str, list[str]]]) -> str:
    if not security:
        return "Anybody may ask."
    words = [escape(f"{name} ({', '.join(roles)})" if roles else name) for one in security for name, roles in one.items()]
    return ("On this machine without a token; else: " if {} in security else "With one of: ") + ", ".join(words) + "."


def _type(parameter: dict[str, Any]) -> str:
    schema = parameter["schema"]
    facts = {name: value for name, value in schema.items() if name != "type"}
    facts |= {"required": True} if parameter["required"] else {}
    return escape(" ".join([str(schema.get("type", "")), *(f"{name}={json.dumps(value)}" for name, value in facts.items())]))


def _table(rows: Iterable[tuple[str, ...]]) -> str:
    return "<table>" + "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows) + "</table>"


def _fold(summary: str, inner: str, name: str = "") -> str:
    anchor = f' id="{escape(name)}"' if name else ""
    return f"<details{anchor}><summary>{summary}</summary>{inner}</details>"


def _json(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, indent=2, ensure_ascii=False)
    return f"<pre>{escape(text)}</pre>"


def _prose(text: str) -> str:
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text))


def _slug(text: str) -> str:
    return re.sub(r"\W+", "-", text)
