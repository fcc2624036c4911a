"""Answers as CSV (RFC 4180) for who asks with `Accept: text/csv`."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any

from fastapi import Depends, Request, Response

MEDIA_TYPE = "text/csv"
CSV: dict[str, Any] = {
    "content": {MEDIA_TYPE: {"schema": {"type": "string", "description": "A line of names, then a line a row."}}}
}
"""What a route says in the OpenAPI document of its second form."""


async def _wants_csv(request: Request) -> bool:
    """Whether CSV is named before JSON; quality values are not weighed, since nobody sends them for these two."""
    named = [part.partition(";")[0].strip().lower() for part in request.headers.get("accept", "").split(",")]
    return next((name == MEDIA_TYPE for name in named if name in (MEDIA_TYPE, "application/json")), False)


AsCsv = Annotated[bool, Depends(_wants_csv)]


def csv_of(
    columns: Sequence[str], rows: Iterable[Mapping[str, Any]], headers: Mapping[str, str] | None = None
) -> Response:
    """Rows with these columns; a missing number is an empty field."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(columns)
    writer.writerows([_cell(row.get(name)) for name in columns] for row in rows)
    return Response(text.getvalue(), media_type=f"{MEDIA_TYPE}; charset=utf-8", headers=dict(headers or {}))


def _cell(value: Any) -> Any:
    """Text that a spreadsheet would run as a formula is quoted as text. Source: OWASP, CSV Injection."""
    if isinstance(value, list):
        value = "; ".join(map(str, value))
    return f"'{value}" if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r") else value
