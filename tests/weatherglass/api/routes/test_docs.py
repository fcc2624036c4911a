"""The page of the API, from a small document in which each kind of schema occurs."""

from __future__ import annotations

import json
import re
from html import unescape
from types import SimpleNamespace
from typing import Any

import pytest
from fastapi import Request

from weatherglass.api.routes.docs import openapi_document, render_page

ITEM = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "description": "With `code` & <b>.", "examples": ["jfk"]},
        "kind": {"type": "string", "enum": ["hard", "soft"]},
        "values": {"type": "array", "items": {"type": "number", "minimum": 0, "maximum": 1}},
        "least": {"type": "integer", "minimum": 3},
        "most": {"type": "integer", "maximum": 9},
        "next": {"anyOf": [{"$ref": "#/components/schemas/Next"}, {"type": "null"}]},
        "flag": {"type": "boolean"},
        "anything": {},
    },
}
DOCUMENT: dict[str, Any] = {
    "info": {"title": "Test", "version": "1.2", "description": "First.\n\nSecond."},
    "servers": [{"url": "/base/"}],
    "paths": {
        "/items": {
            "get": {
                "summary": "List items",
                "parameters": [
                    {
                        "name": "limit",
                        "in": "query",
                        "required": True,
                        "description": "Rows.",
                        "schema": {"type": "integer", "minimum": 1, "maximum": 500, "default": 0},
                    },
                    {"name": "since", "in": "query", "schema": {"type": "string", "format": "date-time"}},
                ],
                "responses": {
                    "200": {
                        "description": "Items",
                        "content": {
                            "application/json": {"schema": {"$ref": "#/components/schemas/Item"}},
                            "text/csv": {},
                            "text/plain": {},
                        },
                    },
                    "404": {"description": "Unknown", "content": {"application/json": {"schema": {"type": "string"}}}},
                },
            },
            "post": {
                "requestBody": {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Next"}}}},
                "responses": {},
            },
        },
        "/events": {
            "get": {"responses": {"200": {"description": "", "content": {"text/event-stream": {"schema": {}}}}}}
        },
        "/items/{id}": {"get": {"responses": {}}},
    },
    "components": {"schemas": {"Item": ITEM, "Next": {"type": "object", "example": {"at": 5}, "properties": {}}}},
}


@pytest.fixture(scope="module")
def sections() -> list[str]:
    """The HTML of each operation."""
    return re.findall(r"<section>(.*?)</section>", render_page(DOCUMENT), re.DOTALL)


def rows(html: str) -> list[list[str]]:
    """The cells of all tables."""
    return [
        re.findall(r"<t[hd]>(?:<code>)?(.*?)(?:</code>)?</t[hd]>", row) for row in re.findall(r"<tr>(.*?)</tr>", html)
    ]


def test_the_head_has_title_version_and_a_link_to_the_document() -> None:
    head = render_page(DOCUMENT).partition("<section>")[0]
    assert "<h1>Test API <small>version 1.2</small></h1><p>First.</p><p>Second.</p>" in head
    assert 'href="/base/openapi.json"' in head


def test_parameters_and_fields_have_their_types_ranges_and_defaults(sections: list[str]) -> None:
    assert rows(sections[0]) == [
        ["limit", "in query, required", "integer, 1 to 500", "Rows. Default: 0."],
        ["since", "in query", "date-time", ""],
        ["name", "string", "With <code>code</code> &amp; &lt;b&gt;."],
        ["kind", "string", ""],
        ["values", "array of number, 0 to 1", ""],
        ["least", "integer", ""],
        ["most", "integer", ""],
        ["next", "Next or null", ""],
        ["flag", "boolean", ""],
        ["anything", "object", ""],
    ]


def test_only_requests_that_end_and_need_no_value_are_links(sections: list[str]) -> None:
    titles = [re.findall(r"<b>(\w+)</b> <span>(.*?)</span>", section)[0] for section in sections]
    assert titles == [
        ("GET", '<a href="/base/items">/items</a>'),
        ("POST", "/items"),
        ("GET", "/events"),
        ("GET", "/items/{id}"),
    ]


def test_a_response_names_the_further_media_types_and_only_the_successful_one_is_open(sections: list[str]) -> None:
    good, unknown = re.findall(r"<details.*?</details>", sections[0], re.DOTALL)
    assert good.startswith("<details open>")
    assert re.findall(r"<code>([a-z]+/[a-z]+)</code>", good) == ["text/csv", "text/plain"]
    assert unknown.startswith("<details>")
    assert re.findall(r"<code>([a-z]+/[a-z]+)</code>", unknown) == []


def test_examples_come_from_the_schema_or_are_made_from_its_types(sections: list[str]) -> None:
    (example, text) = re.findall(r"<pre>(.*?)</pre>", sections[0], re.DOTALL)
    assert json.loads(unescape(example)) == {
        "name": "jfk",
        "kind": "hard",
        "values": [0.0],
        "least": 1,
        "most": 1,
        "next": {"at": 5},
        "flag": False,
        "anything": None,
    }
    assert text == "…"
    (body,) = re.findall(r"<pre>(.*?)</pre>", sections[1], re.DOTALL)
    assert json.loads(unescape(body)) == {"at": 5}


@pytest.mark.parametrize(("root_path", "url"), [("/weatherglass", "/weatherglass"), ("", "/"), (None, "/")])
def test_the_server_is_the_path_under_which_the_app_is_mounted(root_path: str | None, url: str) -> None:
    app = SimpleNamespace(openapi=lambda: {"components": {"schemas": {}}, "paths": {}})
    scope = {"type": "http", "app": app} | ({} if root_path is None else {"root_path": root_path})
    document = openapi_document(Request(scope))
    assert document["servers"] == [{"url": url}]
    assert document["components"]["schemas"]["ProblemDetails"]["type"] == "object"
