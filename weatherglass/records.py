"""The messages on the topics, defined once; `docs/schemas/` is made from them.

Values are UTF-8 JSON. Times are ISO 8601 in UTC with `Z`. Units: °C, %, hPa (station pressure), m/s, and degrees
from which the wind blows. A missing number is `null`, never NaN. Headers carry what the value does not.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any, Literal, NoReturn, Self

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    StringConstraints,
    ValidationError,
    WithJsonSchema,
)
from pydantic_core import InitErrorDetails, PydanticCustomError

VARIABLES = ("temperature", "humidity", "pressure", "wind_speed")
"""The variables that are summarised, forecast and checked, in this order wherever an axis holds variables."""

LEADS = tuple(range(1, 25))
"""Lead times in hours; lead = valid time - base hour."""

UNITS = {"temperature": "°C", "humidity": "%", "pressure": "hPa", "wind_speed": "m/s", "wind_direction": "°"}


def iso(time: datetime) -> str:
    """`2026-01-05T12:15:00Z`: UTC with `Z`, whole seconds, or milliseconds where there are any."""
    time = time.astimezone(UTC)
    return time.isoformat(timespec="milliseconds" if time.microsecond else "seconds").replace("+00:00", "Z")


Time = Annotated[
    AwareDatetime,
    PlainSerializer(iso, return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "format": "date-time", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$"}),
]
TIME_TEXT = (
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[T ]([0-9]{2}:[0-9]{2}:[0-9]{2})(?:\.([0-9]{1,9}))?"
    r"(Z|[+-](?:0[0-9]|1[0-7]):[0-5][0-9])?"
)
"""The time of an observation as anybody may write it: its date, time, fraction and zone, for Python and for Java.

One without a zone fits, so that it can be told from what is no time at all, and is refused all the same.
"""
_TIME_TEXT = re.compile(TIME_TEXT)
_TIME_PATTERN = "^" + TIME_TEXT.removesuffix("?") + "$"


def _read_time(value: object) -> object:
    """A text in the contract's form as a time; anything else is left for pydantic to judge."""
    if not isinstance(value, str):
        return value
    if not _TIME_TEXT.fullmatch(value):
        raise ValueError("no time such as 2026-01-05T12:15:00Z")
    return datetime.fromisoformat(value)


def _to_milliseconds(time: datetime) -> datetime:
    """In UTC, cut to the millisecond; refuses one that UTC has no year for."""
    try:
        time = time.astimezone(UTC)
    except OverflowError as error:
        raise ValueError("a time before the year 1 or after 9999") from error
    return time.replace(microsecond=time.microsecond // 1000 * 1000)


ObservationTime = Annotated[
    Time,
    BeforeValidator(_read_time),
    AfterValidator(_to_milliseconds),
    WithJsonSchema({"type": "string", "pattern": _TIME_PATTERN}),
]
StationId = Annotated[str, StringConstraints(min_length=1, max_length=100)]
Number = Annotated[float, Field(allow_inf_nan=False)]


class Record(BaseModel):
    """What all messages share: immutable, no unknown fields, JSON out by `to_json`."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    def to_json(self) -> bytes:
        return self.model_dump_json().encode()

    @classmethod
    def from_json(cls, value: bytes | str) -> Self:
        """Raises pydantic's ValidationError where the value is not such a record; a number as a string is none."""
        return cls.model_validate_json(value, strict=True)


class Observation(Record):
    """One reading of a station, on `weather-raw`, keyed by the station.

    Others may publish too, so a variable may be left out, and further fields are passed over. What they send is read
    here as `ObservationParser.java` reads it in the features job: no message is an observation for one of them only,
    but for what nests exactly one level deeper than both allow.
    """

    model_config = ConfigDict(extra="ignore")

    station_id: StationId
    timestamp: ObservationTime = Field(
        description="Cut to the millisecond when it is read: with the station it is the observation's identity, in "
        "the windows, in its prediction and in the store."
    )
    temperature: Number | None = None
    humidity: Number | None = None
    pressure: Number | None = None
    wind_speed: Number | None = None
    wind_direction: Number | None = None

    @classmethod
    def from_json(cls, value: bytes | str) -> Self:
        """As of every record; beyond that, no name may come twice in an object, and what is passed over is JSON too."""
        read = super().from_json(value)
        try:
            _WHOLE.decode(value if isinstance(value, str) else value.decode())
        except PydanticCustomError as error:
            wrong: list[InitErrorDetails] = [{"type": error, "input": value}]
            raise ValidationError.from_exception_data(cls.__name__, wrong) from None
        return read


LONGEST_NUMBER = 4300
"""Digits of a number; pydantic reads no longer integer, and Java is told the same."""
LONGEST_NAME = 1000
"""Bytes of a name; Java keeps each that it has seen, and somebody might send ever new ones."""


def _sound_names(pairs: list[tuple[str, Any]]) -> None:
    if len(dict(pairs)) < len(pairs):
        raise PydanticCustomError("repeated_name", "a name comes twice in an object")
    if any(len(name.encode()) > LONGEST_NAME for name, _ in pairs):
        raise PydanticCustomError("long_name", "a name of more than {longest} bytes", {"longest": LONGEST_NAME})


def _no_number(text: str) -> NoReturn:
    raise PydanticCustomError("no_number", "{text} is no number", {"text": text})


def _short(number: str) -> None:
    if len(number) > LONGEST_NUMBER and sum(map(str.isdigit, number)) > LONGEST_NUMBER:
        raise PydanticCustomError("long_number", "a number of too many digits")


_WHOLE = json.JSONDecoder(object_pairs_hook=_sound_names, parse_constant=_no_number, parse_float=_short)
"""Sees what pydantic passes over. Made once, since making it takes longer than reading an observation."""


class Trend(StrEnum):
    RISING = "rising"
    STEADY = "steady"
    FALLING = "falling"


class Quality(StrEnum):
    """State of a check. `not_checked` is not `ok`: there was nothing to check, or not enough to check it with."""

    OK = "ok"
    FAILED = "failed"
    NOT_CHECKED = "not_checked"


class Statistics(Record):
    """A variable in a window; each null where the window holds too few usable values."""

    mean: Number | None
    std: Number | None = Field(description="Sample standard deviation; null below two values.")
    min: Number | None
    max: Number | None
    last: Number | None
    rate_per_hour: Number | None = Field(description="Least-squares slope per hour; null below two distinct times.")
    trend: Trend | None
    count: int | None = Field(None, ge=0, description="Values that passed quality control; null in older records.")


class Wind(Record):
    """Vector mean of the wind."""

    u: Number | None = Field(description="Towards the east, m/s.")
    v: Number | None = Field(description="Towards the north, m/s.")
    direction: Number | None = Field(description="Degrees from which the mean wind blows; null in a calm.")
    steadiness: Number | None = Field(description="Speed of the vector mean over the mean speed, 0..1.")
    count: int | None = Field(None, ge=0, description="Observations with speed and direction; null in older records.")


class AggregatedFeatures(Record):
    count: int = Field(ge=1, description="Distinct observations in the window.")
    last_observation: Time
    temperature: Statistics
    humidity: Statistics
    pressure: Statistics
    wind_speed: Statistics
    wind: Wind
    dew_point: Number | None = Field(description="°C, of the mean temperature and humidity.")
    sea_level_pressure: Number | None = Field(
        None, description="hPa, of the means; null where the elevation is not known or beyond the formula's range."
    )
    apparent_temperature: Number | None = Field(None, description="°C, in the shade, of the means (Steadman 1994).")
    quality: dict[str, Quality] = Field(
        description="Per variable: `failed` if quality control kept any of its values out."
    )
    checks: dict[str, Quality] = Field({}, description="Per check of quality control, over the window's observations.")


class WindowFeatures(Record):
    """A five-minute window of a station, half-open [start, end), on `weather-features`, keyed by the station."""

    station_id: StationId
    window_start: Time
    window_end: Time
    aggregated_features: AggregatedFeatures


class Hour(Record):
    """The values of one hour of a station, on `weather-hours`, keyed by station and hour.

    `weatherglass.history` says how windows become an hour.
    """

    station_id: StationId
    hour: Time
    count: int = Field(ge=1, description="Distinct observations the hour rests on.")
    temperature: Number | None
    humidity: Number | None
    pressure: Number | None
    wind_u: Number | None
    wind_v: Number | None
    wind_speed: Number | None = None


class Method(StrEnum):
    """How a forecast was made."""

    MODEL = "model"
    DAMPED_ANOMALY = "damped_anomaly"
    PERSISTENCE = "persistence"


Path = list[Number]
"""A number for each lead."""


class Predictions(Record):
    """Forecasts; every list has a number for each valid time."""

    valid_times: list[Time]
    temperature: Path
    humidity: Path
    pressure: Path
    wind_speed: Path
    model_version: str
    method: Method


class Flag(Record):
    """One thing that is wrong with a reading."""

    variable: str
    check: str = Field(description="The check that failed, as in `checks`.")
    severity: Annotated[float, Field(ge=0, le=1)] = Field(description="1 for a broken rule, 0.5 to 1 for a soft flag.")
    reason: str
    onset: Time = Field(description="Since when, as far as can be told; the event ends when the flag is gone.")


class Anomaly(Record):
    is_anomaly: bool
    score: Annotated[float, Field(ge=0, le=1)] = Field(description="The highest severity; below 0.5 without a flag.")
    checks: dict[str, Quality]
    reasons: list[str] = Field(description="One sentence a person understands for each flag.")
    flags: list[Flag] = []
    model_version: str | None


class Bounds(Record):
    """A bound of the interval; each list has a number for each valid time."""

    temperature: Path
    humidity: Path
    pressure: Path
    wind_speed: Path


class Interval(Record):
    level: Annotated[float, Field(gt=0, lt=1)] = Field(description="Share of the truth the interval should hold.")
    lower: Bounds
    upper: Bounds


class Confidence(Interval):
    history_hours: int = Field(ge=0, description="Hours of the station's own past the forecast could see.")
    others: list[Interval] = Field([], description="The intervals at other levels.")


class Prediction(Record):
    """A forecast and the verdict on the present reading, on `weather-predictions`, keyed by the station.

    Its identity is (station_id, timestamp), the time of the observation that it answers.
    """

    station_id: StationId
    timestamp: Time
    predictions: Predictions
    anomaly: Anomaly
    confidence: Confidence


RECORDS: dict[str, type[Record]] = {
    "observation": Observation,
    "window-features": WindowFeatures,
    "hour": Hour,
    "prediction": Prediction,
}
"""Name of each schema, as in `docs/schemas/<name>.json` and in the header `schema`."""

SCHEMA_VERSION = 1


class Origin(StrEnum):
    """The header `source`: where a record's observations come from."""

    OPEN_METEO = "open-meteo"
    REPLAY = "replay"
    SIMULATED = "simulated"
    KAGGLE = "kaggle"


Headers = list[tuple[str, bytes]]
INPUTS_HEADER = "inputs"
"""Header of a prediction: SHA-256 of what the model was given."""


def headers(record: type[Record] | Record, source: Origin | None, produced_at: datetime) -> Headers:
    """The headers of a record: `schema` (name and version), `source` where it is known, `produced_at`."""
    kind = record if isinstance(record, type) else type(record)
    name = next(name for name, known in RECORDS.items() if known is kind)
    pairs = [("schema", f"{name}/{SCHEMA_VERSION}".encode()), ("produced_at", iso(produced_at).encode())]
    return [*pairs, ("source", source.value.encode())] if source else pairs


def origin(headers: Iterable[tuple[str, bytes]]) -> Origin | None:
    """The header `source` of a message; None without it, or where it names no source we know."""
    said = dict(headers).get("source")
    return next((origin for origin in Origin if said == origin.value.encode()), None)


def inputs_hash(headers: Iterable[tuple[str, bytes]]) -> str | None:
    """The header `inputs` of a prediction; None without it."""
    said = dict(headers).get(INPUTS_HEADER)
    return said.decode("ascii", "replace")[:64] if said else None


def json_schema(name: str) -> dict[str, Any]:
    """The JSON Schema (2020-12) of a record as it stands in `docs/schemas/`."""
    mode: Literal["serialization"] = "serialization"
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **RECORDS[name].model_json_schema(mode=mode),
    }
