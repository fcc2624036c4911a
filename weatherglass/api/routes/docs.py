"""`GET /docs` and `GET /openapi.json`: the documentation, without anything from the internet and without scripts."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Sequence
from html import escape
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, JSONResponse

from weatherglass.api.problems import ProblemDetails

router = APIRouter(include_in_schema=False)

Json = dict[str, Any]

STYLE = """
:root { color-scheme: light dark; --line: #8885; --soft: #8881; --accent: light-dark(#0b63a5, #7cc0f5); }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h1 small { font-weight: normal; font-size: 1rem; }
section { border: 1px solid var(--line); border-radius: .5rem; padding: .25rem 1.25rem 1rem; margin: 1.5rem 0; }
h2 { font-size: 1.1rem; } h2 b { color: var(--accent); } h3 { font-size: 1rem; margin-bottom: .25rem; }
code, pre, h2 span { font-family: ui-monospace, monospace; font-size: .9em; }
pre { background: var(--soft); padding: .75rem; overflow: auto; border-radius: .25rem; }
table { border-collapse: collapse; width: 100%; }
td, th { text-align: left; vertical-align: top; padding: .3rem .75rem .3rem 0; border-bottom: 1px solid var(--line); }
a { color: var(--accent); } summary { cursor: pointer; }
"""
_STYLE_HASH = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
CONTENT_SECURITY_POLICY = f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; frame-ancestors 'self'"


@router.get("/openapi.json")
def openapi(request: Request) -> JSONResponse:
    """The OpenAPI document, with the address under which the app is mounted."""
    return JSONResponse(document(request))


@router.get("/docs")
def docs(request: Request) -> HTMLResponse:
    """The OpenAPI document as a page."""
    return HTMLResponse(page(document(request)), headers={"Content-Security-Policy": CONTENT_SECURITY_POLICY})


def document(request: Request) -> Json:
    schema = json.loads(json.dumps(request.app.openapi()))
    schema["components"]["schemas"]["ProblemDetails"] = ProblemDetails.model_json_schema()
    return {**schema, "servers": [{"url": request.scope.get("root_path") or "/"}]}


def page(document: Json) -> str:
    """HTML of an OpenAPI document; everything from the document is escaped."""
    info, root = document["info"], document["servers"][0]["url"].rstrip("/")
    operations = "".join(
        _operation(root, path, method, operation, document)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    )
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(info['title'])} API</title><style>{STYLE}</style></head><body><main>"
        f"<h1>{escape(info['title'])} API <small>version {escape(info['version'])}</small></h1>"
        + "".join(f"<p>{_prose(paragraph)}</p>" for paragraph in info["description"].split("\n\n"))
        + f'<p>For programs: <a href="{escape(root)}/openapi.json">openapi.json</a></p>'
        + operations
        + "</main></body></html>"
    )


def _operation(root: str, path: str, method: str, operation: Json, document: Json) -> str:
    name = escape(path)
    streams = "text/event-stream" in operation["responses"].get("200", {}).get("content", {})
    if method == "get" and "{" not in path and not streams:
        name = f'<a href="{escape(root + path)}">{name}</a>'
    parts = [
        f"<section><h2><b>{escape(method.upper())}</b> <span>{name}</span></h2>",
        f"<p><strong>{escape(operation.get('summary', ''))}.</strong> {_prose(operation.get('description', ''))}</p>",
    ]
    if parameters := operation.get("parameters"):
        rows = [
            (p["name"], f"in the {p['in']}{', required' if p.get('required') else ''}", _kind(p["schema"]), _about(p))
            for p in parameters
        ]
        parts.append("<h3>Parameters</h3>" + _table(rows))
    if body := operation.get("requestBody"):
        schema = next(iter(body["content"].values()))["schema"]
        parts.append(f"<h3>Body</h3>{_fields(schema, document)}{_pre(_example(schema, document))}")
    for status, answer in operation["responses"].items():
        parts.append(_response(status, answer, document))
    return "".join([*parts, "</section>"])


def _response(status: str, answer: Json, document: Json) -> str:
    contents = answer.get("content", {})
    first: Json = next((content["schema"] for content in contents.values()), {})
    also = (
        f"<p>Also as {_prose(', '.join(f'`{kind}`' for kind in list(contents)[1:]))}.</p>" if len(contents) > 1 else ""
    )
    return (
        f"<details{' open' if status == '200' else ''}><summary>{escape(status)} {_prose(answer['description'])}"
        f"</summary>{also}{_fields(first, document)}{_pre(_example(first, document))}</details>"
    )


def _fields(schema: Json, document: Json) -> str:
    fields = _resolve(schema, document).get("properties", {})
    return _table([(name, _kind(field), field.get("description", "")) for name, field in fields.items()])


def _pre(example: Any) -> str:
    text = example if isinstance(example, str) else json.dumps(example, indent=2, ensure_ascii=False)
    return f"<pre>{escape(text)}</pre>"


def _prose(text: str) -> str:
    """Text with its `code` marked up as such; everything else is escaped."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text))


def _table(rows: Sequence[tuple[str, ...]]) -> str:
    def row(cells: tuple[str, ...]) -> str:
        return f"<tr><th><code>{escape(cells[0])}</code></th>" + "".join(f"<td>{_prose(c)}</td>" for c in cells[1:])

    return f"<table>{'</tr>'.join(map(row, rows))}</tr></table>" if rows else ""


def _about(parameter: Json) -> str:
    default = parameter["schema"].get("default")
    return parameter.get("description", "") + (f" Default {default}." if default is not None else "")


def _kind(schema: Json) -> str:
    """A schema in a few words: `integer, 1 to 500`, `array of Lead`, `string or null`."""
    if "$ref" in schema:
        return schema["$ref"].rpartition("/")[2]
    if "anyOf" in schema:
        return " or ".join(_kind(choice) for choice in schema["anyOf"])
    if schema.get("type") == "array":
        return f"array of {_kind(schema['items'])}"
    words = schema.get("format") or schema.get("type", "object")
    if "minimum" in schema and "maximum" in schema:
        words += f", {schema['minimum']} to {schema['maximum']}"
    return words


def _resolve(schema: Json, document: Json) -> Json:
    reference = schema.get("$ref", "").rpartition("/")[2]
    return document["components"]["schemas"][reference] if reference else schema


def _example(schema: Json, document: Json) -> Any:
    """An example of a schema, from its own examples and those of what it holds."""
    if examples := schema.get("examples"):
        return examples[0]
    schema = _resolve(schema, document)
    if "example" in schema:
        return schema["example"]
    if "anyOf" in schema:
        return _example(schema["anyOf"][0], document)
    if "enum" in schema:
        return schema["enum"][0]
    if schema.get("type") == "array":
        return [_example(schema["items"], document)]
    if "properties" in schema:
        return {name: _example(field, document) for name, field in schema["properties"].items()}
    plain = {"string": "…", "number": 0.0, "integer": 1, "boolean": False, "object": {}}
    return plain.get(schema.get("type", ""))
