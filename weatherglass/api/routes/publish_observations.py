"""`POST /observations`: records of the user's own stations, with a token of the station instead of a login."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import BaseModel, Field

from producer.own_stations import CheckedRecords, ProblemCode, RepeatedName
from weatherglass.api.limited_body import read_body
from weatherglass.api.problems import MALFORMED_JSON, NO_VALID_RECORD, Problem, error_responses
from weatherglass.api.record_publisher import MAX_RECORDS
from weatherglass.record_schemas import json_schema
from weatherglass.station_tokens import StationToken

router = APIRouter(tags=["observations"])

MAX_BODY_BYTES = 1_000_000
EXAMPLE = {
    "station_id": "my-garden",
    "timestamp": "2026-01-05T12:15:00Z",
    **{"temperature": 3.2, "humidity": 81, "pressure": 1013.6, "wind_speed": 4.1, "wind_direction": 220},
}

_bearer = HTTPBearer(scheme_name="stationToken", description="Created by `weatherglass tokens add`.", auto_error=False)


class RecordProblemItem(BaseModel):
    """Why a record was refused."""

    index: int = Field(description="Position in the batch, from 0.", examples=[1])
    code: ProblemCode = Field(examples=["unknown_field"])
    field: str | None = Field(
        description="The field concerned; null if it is the whole record.", examples=["temperature_f"]
    )
    detail: str = Field(description="What is wrong and what is allowed.")


class PublishedResponse(BaseModel):
    accepted: int = Field(description="Number of records that the broker has acknowledged.", examples=[1])
    problems: list[RecordProblemItem] = Field(description="The refused records; empty if there are none.")


async def station_token(
    request: Request, credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]
) -> StationToken:
    address = request.client.host if request.client else ""
    return request.app.state.station_auth.authenticate(credentials.credentials if credentials else "", address)


def _request_body() -> dict[str, Any]:
    schema = {name: value for name, value in json_schema("observation").items() if name not in ("$schema", "title")}
    record = {**schema, "additionalProperties": False, "example": EXAMPLE}
    batch = {"type": "array", "items": record, "minItems": 1, "maxItems": MAX_RECORDS}
    return {"required": True, "content": {"application/json": {"schema": {"anyOf": [record, batch]}}}}


@router.post(
    "/observations",
    status_code=202,
    summary="Publish observations of own stations",
    responses=error_responses(401, 413, 422, 429, 503),
    openapi_extra={"requestBody": _request_body()},
)
async def publish_observations(
    request: Request, token: Annotated[StationToken, Depends(station_token)]
) -> PublishedResponse:
    """One record, or an array of at most 1,000, in the schema of observations, for stations of the token.

    Returned after the broker has acknowledged the valid records. Each refused record has an entry in `problems` and
    does not affect the others; if all are refused, the status is 422. Sending a record again has no effect; with other
    values, it replaces the earlier one. Units and time zones are never guessed: unknown fields, times without a time
    zone and impossible values are refused.
    """
    content = _decode(await read_body(request, MAX_BODY_BYTES))
    records = content if isinstance(content, list) else [content]
    checked = await request.app.state.record_publisher.publish(token, records)
    problems = _problem_items(checked)
    if not checked.accepted:
        detail = f"record 0: {problems[0].detail}" if problems else "The array is empty."
        items = [problem.model_dump(mode="json") for problem in problems]
        raise Problem(NO_VALID_RECORD, f"No record was published; {detail}", problems=items)
    return PublishedResponse(accepted=len(checked.accepted), problems=problems)


def _problem_items(checked: CheckedRecords) -> list[RecordProblemItem]:
    return [RecordProblemItem(**asdict(problem)) for problem in checked.problems]


def _decode(body: bytes) -> Any:
    """The JSON value of a body. All numbers are floats, which have no limit of digits; NaN is refused by the record.

    Raises:
        Problem: it is not JSON.
    """
    try:
        return json.loads(body.decode(), object_pairs_hook=_object, parse_int=float)
    except (ValueError, RecursionError) as error:
        reason = str(error) if isinstance(error, json.JSONDecodeError) else type(error).__name__
        raise Problem(MALFORMED_JSON, f"The body is not JSON in UTF-8: {reason}") from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any] | RepeatedName:
    content = dict(pairs)
    if len(content) == len(pairs):
        return content
    counts = Counter(name for name, _ in pairs)
    return RepeatedName(next(name for name, count in counts.items() if count > 1))
