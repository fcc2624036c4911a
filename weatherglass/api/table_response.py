"""Rows as CSV (RFC 4180) or Apache Parquet, for requests whose `Accept` names one of them before JSON."""

from __future__ import annotations

import csv
import io
import types
from collections.abc import Iterable, Mapping
from datetime import datetime
from enum import Enum
from typing import TYPE_CHECKING, Annotated, Any, Union, get_args, get_origin

from fastapi import Depends, Request, Response
from pydantic import AwareDatetime, BaseModel

if TYPE_CHECKING:
    import pyarrow as pa

JSON = "application/json"


class TableFormat(Enum):
    """A format with one row for each item; the value is its media type."""

    CSV = "text/csv"
    PARQUET = "application/vnd.apache.parquet"


TABLE_RESPONSES: dict[str, Any] = {
    "content": {
        TableFormat.CSV.value: {
            "schema": {"type": "string", "description": "A header line, then one line per row."},
        },
        TableFormat.PARQUET.value: {
            "schema": {"type": "string", "format": "binary", "description": "Times are UTC, with microseconds."},
        },
    }
}
"""The alternatives of a JSON route for the OpenAPI document."""

Columns = Mapping[str, type]
"""Name -> `str`, `float`, `int`, `bool`, `datetime` for a time as text, or `list` for a list of texts."""


async def _preferred_table(request: Request) -> TableFormat | None:
    """The format that `Accept` lists before JSON, if any. Quality values are ignored."""
    known = {JSON: None, **{table.value: table for table in TableFormat}}
    accepted = [item.partition(";")[0].strip().lower() for item in request.headers.get("accept", "").split(",")]
    return next((known[name] for name in accepted if name in known), None)


PreferredTable = Annotated[TableFormat | None, Depends(_preferred_table)]


def columns_of(model: type[BaseModel]) -> dict[str, type]:
    """The fields of a model of rows; what is neither a number, a time nor a list becomes text."""
    return {name: _column_type(field.annotation) for name, field in model.model_fields.items()}


def _column_type(annotation: Any) -> type:
    if get_origin(annotation) in (Union, types.UnionType):
        (annotation,) = (option for option in get_args(annotation) if option is not type(None))
    while get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    if annotation is AwareDatetime:
        return datetime
    kind = get_origin(annotation) or annotation
    return kind if kind in (float, int, bool, list) else str


def table_response(
    table: TableFormat, columns: Columns, rows: Iterable[Mapping[str, Any]], next_cursor: object = None
) -> Response:
    """Rows with these columns; a missing value is an empty field in CSV, and null in Parquet.

    Args:
        next_cursor: for the header `Next-Cursor`; None on the last page.
    """
    headers = {} if next_cursor is None else {"Next-Cursor": str(next_cursor)}
    if table is TableFormat.CSV:
        return Response(_csv(columns, rows), media_type=f"{table.value}; charset=utf-8", headers=headers)
    return Response(_parquet(columns, rows), media_type=table.value, headers=headers)


def _csv(columns: Columns, rows: Iterable[Mapping[str, Any]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(columns)
    writer.writerows([_csv_value(row.get(name)) for name in columns] for row in rows)
    return text.getvalue()


def _csv_value(value: Any) -> Any:
    """Quote text that a spreadsheet would evaluate as a formula. Source: OWASP, CSV Injection."""
    if isinstance(value, list):
        value = "; ".join(map(str, value))
    return f"'{value}" if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r") else value


def _parquet(columns: Columns, rows: Iterable[Mapping[str, Any]]) -> bytes:
    import pyarrow as pa
    from pyarrow import parquet

    listed = list(rows)
    arrays = {name: _array([row.get(name) for row in listed], kind) for name, kind in columns.items()}
    content = io.BytesIO()
    parquet.write_table(pa.table(arrays), content)
    return content.getvalue()


def _array(values: list[Any], kind: type) -> pa.Array:
    import pyarrow as pa

    arrow_types = {
        float: pa.float64(),
        int: pa.int64(),
        bool: pa.bool_(),
        datetime: pa.timestamp("us", "UTC"),
        list: pa.list_(pa.string()),
        str: pa.string(),
    }
    if kind is datetime:
        values = [None if value is None else datetime.fromisoformat(value) for value in values]
    elif kind is str:
        values = [value.value if isinstance(value, Enum) else value for value in values]
    return pa.array(values, arrow_types[kind])
