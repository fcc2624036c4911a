"""What the clients of all sources share about responses: errors, refusals, the usable observations, JSON.

What is wrong in one station, variable or value is refused and named; the rest remains usable.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Generic, TypeVar

from weatherglass.records import Observation

T = TypeVar("T")


class ApiError(Exception):
    """A request to the API of a source, or to the replay that replaces it, failed."""


class ApiConnectionError(ApiError):
    """No usable response after all retries: unreachable, too slow, overloaded, or rate limit exceeded."""


class ApiRequestError(ApiError):
    """The server rejected the request; a repeated request would be rejected again."""


class ResponseProblem(StrEnum):
    """Why a response as a whole cannot be used."""

    NOT_JSON = "not_json"
    INCOMPLETE = "incomplete"
    """Cut off: the server failed after it had sent the status 200. Source: open-meteo/open-meteo, issue 1771."""
    ERROR = "error"
    """An error object with the status 200."""
    LOCATIONS = "locations"
    """Other locations than requested."""
    TOO_LARGE = "too_large"


class ApiResponseError(ApiError):
    """The response as a whole cannot be used."""

    def __init__(self, problem: ResponseProblem, message: str):
        super().__init__(message)
        self.problem = problem


class ApiRefusalCode(StrEnum):
    """Why a part of a response is refused."""

    NOT_AN_OBJECT = "not_an_object"
    MISSING_SECTION = "missing_section"
    TIME_ZONE = "time_zone"
    TIME_UNIT = "time_unit"
    TIME = "time"
    REPEATED_TIME = "repeated_time"
    MISSING_VARIABLE = "missing_variable"
    UNIT = "unit"
    LENGTH = "length"
    NOT_A_NUMBER = "not_a_number"
    NOT_REQUESTED = "not_requested"
    RANGE = "range"
    CONTRADICTION = "contradiction"
    """Two values of a report exclude each other."""


@dataclass(frozen=True)
class ApiRefusal:
    """A refused part of the response of one station.

    Attributes:
        field: `section.variable`, `section.time`, a section, or a field of the location.
        value: what the response has, shortened; of several values the first one.
        allowed: what it may have.
        count: number of refused values.
    """

    station_id: str
    field: str
    code: ApiRefusalCode
    value: str
    allowed: str
    count: int = 1

    def __str__(self) -> str:
        several = f" ({self.count} values)" if self.count > 1 else ""
        return f"{self.field}: {self.value}{several}; allowed: {self.allowed}"


@dataclass(frozen=True)
class StationObservations:
    """The observations of one station, in order of time; observations without any value are omitted.

    Attributes:
        current: the present observation.
        quarter_hours: the steps between the polls; not used for a station that has not been observed before.
        hours: the past at the interval of the source: hours, or the reports of an airport.
    """

    current: Observation | None
    quarter_hours: tuple[Observation, ...]
    hours: tuple[Observation, ...]

    def steps(self, *, with_quarter_hours: bool) -> dict[datetime, Observation]:
        """The observations by time, up to the present one; `current` takes precedence at the same time.

        The backfill of a new station is hourly, like history; quarter hours requested for other stations are ignored.
        """
        merged = [*self.hours, *(self.quarter_hours if with_quarter_hours else ())]
        if self.current:
            merged = [o for o in merged if o.timestamp < self.current.timestamp] + [self.current]
        return {observation.timestamp: observation for observation in merged}


@dataclass(frozen=True)
class StationsResponse(Generic[T]):
    """A response by station id: what is usable, the reason for each station without anything usable, and what is
    refused of the usable and of the other stations."""

    stations: dict[str, T] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)
    refusals: list[ApiRefusal] = field(default_factory=list)

    def add(self, other: StationsResponse[T]) -> None:
        self.stations.update(other.stations)
        self.failures.update(other.failures)
        self.refusals.extend(other.refusals)


@dataclass(frozen=True)
class ParsedResponse(StationsResponse[StationObservations]):
    """A response with observations."""


def summarize(refusals: Sequence[ApiRefusal]) -> str:
    """The first refusals as one line; empty if there are none."""
    more = f" (and {len(refusals) - 3} more)" if len(refusals) > 3 else ""
    return "; ".join(map(str, refusals[:3])) + more


_NAN_LITERAL = re.compile(rb"(?<=[:,\[])(\s*)-?(?:nan|inf|infinity)(?=\s*[,\]}])", re.IGNORECASE)
_STREAM_ERROR = b"Unexpected error while streaming data"
"""The server appends this text and the kind of error, such as `timeoutReached`, to a response that it has begun."""


def decode(body: bytes) -> Any:
    """Parse JSON; all numbers become floats, and the literals nan and -nan become null.

    The server writes them for coordinates and for missing values. Source: open-meteo/open-meteo, issues 314, 1590 and
    2108.

    Raises:
        ApiResponseError: the body is not JSON, or only the beginning of it.
    """
    try:
        return json.loads(_NAN_LITERAL.sub(rb"\1null", body), parse_int=float)
    except (ValueError, RecursionError):
        text = body.strip()
        if not text or text[:1] in (b"{", b"[") or _STREAM_ERROR in text:
            end = text[-60:].decode("utf-8", "replace")
            message = f"The response is incomplete: {len(body):,} bytes that end with {end!r}"
            raise ApiResponseError(ResponseProblem.INCOMPLETE, message) from None
        start = text[:60].decode("utf-8", "replace")
        message = f"The response is not JSON; it starts with {start!r}"
        raise ApiResponseError(ResponseProblem.NOT_JSON, message) from None


def error_reason(body: bytes) -> str | None:
    """The reason in the body of an error response; None if there is none."""
    try:
        content = decode(body)
    except ApiResponseError:
        return None
    if not isinstance(content, dict):
        return None
    reason = content.get("reason", content.get("error"))  # Open-Meteo has both; `error` is then a boolean
    return None if reason is None else str(reason)


def is_number(value: Any) -> bool:
    return isinstance(value, float) and math.isfinite(value)
