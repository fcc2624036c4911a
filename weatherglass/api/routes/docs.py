"""The API documentation, without external resources: `GET /openapi.json`, `GET /docs`, and `GET /docs/try`.

`/docs` needs no script. `/docs/try` is Swagger UI, whose requests are those of the page and carry its login.
"""

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

from weatherglass.api.dashboard.pages import content_security_policy, templates
from weatherglass.api.dashboard.static_files import SWAGGER_VERSION
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
def openapi_json(request: Request) -> JSONResponse:
    """The OpenAPI document."""
    return JSONResponse(openapi_document(request))


@router.get("/docs")
def docs(request: Request) -> HTMLResponse:
    """The OpenAPI document as an HTML page."""
    html = render_page(openapi_document(request))
    return HTMLResponse(html, headers={"Content-Security-Policy": CONTENT_SECURITY_POLICY})


@router.get("/docs/try")
def try_out(request: Request) -> HTMLResponse:
    """Swagger UI, in which requests can be sent."""
    root = request.scope.get("root_path", "").rstrip("/")
    html = templates.get_template("try_api.html").render(root=root, swagger=SWAGGER_VERSION)
    return HTMLResponse(html, headers={"Content-Security-Policy": content_security_policy("")})


def openapi_document(request: Request) -> Json:
    """The OpenAPI document with the path under which the app is mounted as server URL."""
    schema = json.loads(json.dumps(request.app.openapi()))
    schema["components"]["schemas"]["ProblemDetails"] = ProblemDetails.model_json_schema()
    return {**schema, "servers": [{"url": request.scope.get("root_path") or "/"}]}


def render_page(document: Json) -> str:
    """An OpenAPI document as HTML. All text of the document is escaped."""
    info, root = document["info"], document["servers"][0]["url"].rstrip("/")
    operations = "".join(
        _render_operation(root, path, method, operation, document)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    )
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(info['title'])} API</title><style>{STYLE}</style></head><body><main>"
        f"<h1>{escape(info['title'])} API <small>version {escape(info['version'])}</small></h1>"
        + "".join(f"<p>{_render_text(paragraph)}</p>" for paragraph in info["description"].split("\n\n"))
        + f'<p>OpenAPI document: <a href="{escape(root)}/openapi.json">openapi.json</a>. '
        f'<a href="{escape(root)}/docs/try">Try it out</a></p>' + operations + "</main></body></html>"
    )


def _render_operation(root: str, path: str, method: str, operation: Json, document: Json) -> str:
    name = escape(path)
    is_stream = "text/event-stream" in operation["responses"].get("200", {}).get("content", {})
    if method == "get" and "{" not in path and not is_stream:
        name = f'<a href="{escape(root + path)}">{name}</a>'
    summary, description = operation.get("summary", ""), operation.get("description", "")
    sections = [
        f"<section><h2><b>{escape(method.upper())}</b> <span>{name}</span></h2>",
        f"<p><strong>{escape(summary)}.</strong> {_render_text(description)}</p>",
    ]
    if parameters := operation.get("parameters"):
        rows = [
            (
                parameter["name"],
                f"in {parameter['in']}{', required' if parameter.get('required') else ''}",
                _type_name(parameter["schema"]),
                _parameter_description(parameter),
            )
            for parameter in parameters
        ]
        sections.append("<h3>Parameters</h3>" + _render_table(rows))
    if body := operation.get("requestBody"):
        schema = next(iter(body["content"].values()))["schema"]
        sections.append(
            f"<h3>Request body</h3>{_render_fields(schema, document)}{_render_example(_example(schema, document))}"
        )
    for status, response in operation["responses"].items():
        sections.append(_render_response(status, response, document))
    return "".join([*sections, "</section>"])


def _render_response(status: str, response: Json, document: Json) -> str:
    contents = response.get("content", {})
    schema: Json = next((content["schema"] for content in contents.values()), {})
    alternatives = ", ".join(f"`{media_type}`" for media_type in list(contents)[1:])
    also = f"<p>Also available as {_render_text(alternatives)}.</p>" if alternatives else ""
    return (
        f"<details{' open' if status == '200' else ''}><summary>{escape(status)} "
        f"{_render_text(response['description'])}</summary>"
        f"{also}{_render_fields(schema, document)}{_render_example(_example(schema, document))}</details>"
    )


def _render_fields(schema: Json, document: Json) -> str:
    schema = _resolve(schema.get("anyOf", [schema])[0], document)
    fields = schema.get("properties", {})
    return _render_table([(name, _type_name(field), field.get("description", "")) for name, field in fields.items()])


def _render_example(example: Any) -> str:
    text = example if isinstance(example, str) else json.dumps(example, indent=2, ensure_ascii=False)
    return f"<pre>{escape(text)}</pre>"


def _render_text(text: str) -> str:
    """Escape text and convert `code` in backticks to <code> elements."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text))


def _render_table(rows: Sequence[tuple[str, ...]]) -> str:
    def row(cells: tuple[str, ...]) -> str:
        rest = "".join(f"<td>{_render_text(cell)}</td>" for cell in cells[1:])
        return f"<tr><th><code>{escape(cells[0])}</code></th>{rest}"

    return f"<table>{'</tr>'.join(map(row, rows))}</tr></table>" if rows else ""


def _parameter_description(parameter: Json) -> str:
    default = parameter["schema"].get("default")
    return parameter.get("description", "") + (f" Default: {default}." if default is not None else "")


def _type_name(schema: Json) -> str:
    """A short name of the type of a schema: `integer, 1 to 500`, `array of LeadItem`, `string or null`."""
    if "$ref" in schema:
        return schema["$ref"].rpartition("/")[2]
    if "anyOf" in schema:
        return " or ".join(_type_name(choice) for choice in schema["anyOf"])
    if schema.get("type") == "array":
        return f"array of {_type_name(schema['items'])}"
    name = schema.get("format") or schema.get("type", "object")
    if "minimum" in schema and "maximum" in schema:
        name += f", {schema['minimum']} to {schema['maximum']}"
    return name


def _resolve(schema: Json, document: Json) -> Json:
    reference = schema.get("$ref", "").rpartition("/")[2]
    return document["components"]["schemas"][reference] if reference else schema


def _example(schema: Json, document: Json) -> Any:
    """An example value of a schema, from its own examples or those of its fields."""
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
    defaults = {"string": "…", "number": 0.0, "integer": 1, "boolean": False, "object": {}}
    return defaults.get(schema.get("type", ""))
