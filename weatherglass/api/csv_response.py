"""CSV responses (RFC 4180) for requests with `Accept: text/csv`."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any

from fastapi import Depends, Request, Response

MEDIA_TYPE = "text/csv"
CSV_RESPONSES: dict[str, Any] = {
    "content": {MEDIA_TYPE: {"schema": {"type": "string", "description": "A header line, then one line per row."}}}
}
"""The CSV alternative of a JSON route for the OpenAPI document."""


async def _prefers_csv(request: Request) -> bool:
    """Whether `Accept` lists CSV before JSON. Quality values are ignored."""
    accepted = [item.partition(";")[0].strip().lower() for item in request.headers.get("accept", "").split(",")]
    return next((name == MEDIA_TYPE for name in accepted if name in (MEDIA_TYPE, "application/json")), False)


PrefersCsv = Annotated[bool, Depends(_prefers_csv)]


def csv_response(
    columns: Sequence[str], rows: Iterable[Mapping[str, Any]], headers: Mapping[str, str] | None = None
) -> Response:
    """Rows with these columns; a missing value is an empty field."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(columns)
    writer.writerows([_csv_value(row.get(name)) for name in columns] for row in rows)
    return Response(text.getvalue(), media_type=f"{MEDIA_TYPE}; charset=utf-8", headers=dict(headers or {}))


def _csv_value(value: Any) -> Any:
    """Quote text that a spreadsheet would evaluate as a formula. Source: OWASP, CSV Injection."""
    if isinstance(value, list):
        value = "; ".join(map(str, value))
    return f"'{value}" if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r") else value
