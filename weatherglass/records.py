"""The records on the topics; `docs/schemas/` is generated from them.

Values are UTF-8 JSON. Times are ISO 8601 in UTC with `Z`. Units: °C, %, hPa (station pressure), m/s, and degrees
for the direction from which the wind blows. A missing number is `null`, never NaN. `record_headers` has the metadata.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from math import isfinite
from operator import ge, gt
from typing import Annotated, Self

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
    model_validator,
)
from pydantic_core import InitErrorDetails, PydanticCustomError

from weatherglass.strict_json import STRICT_DECODER

VARIABLES = ("temperature", "humidity", "pressure", "wind_speed")
"""The variables that are aggregated, forecast and checked; array axes of variables have this order."""

LEADS = tuple(range(1, 25))
"""Lead times in hours: valid time - base hour."""
MAX_LEAD = timedelta(hours=LEADS[-1])

UNITS = {"temperature": "°C", "humidity": "%", "pressure": "hPa", "wind_speed": "m/s", "wind_direction": "°"}


def iso(time: datetime) -> str:
    """`2026-01-05T12:15:00Z`: UTC with `Z`, in seconds, or in milliseconds if the time has a fraction of a second."""
    time = time.astimezone(UTC)
    return time.isoformat(timespec="milliseconds" if time.microsecond else "seconds").replace("+00:00", "Z")


EARLIEST, LATEST = datetime(1900, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)
"""All times of records are in [EARLIEST, LATEST): Python, Java, numpy and SQL can represent them and add hours."""

Time = Annotated[
    AwareDatetime,
    Field(ge=EARLIEST, lt=LATEST),
    PlainSerializer(iso, return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "format": "date-time", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$"}),
]
TIME_TEXT = (
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[T ]([0-9]{2}:[0-9]{2}:[0-9]{2})(?:\.([0-9]{1,9}))?"
    r"(Z|[+-](?:0[0-9]|1[0-7]):[0-5][0-9])?"
)
"""Regular expression of an observation's time for Python and Java; groups: date, time, fraction, time zone.

A time without a time zone matches, so that it gets an error of its own. It is rejected.
"""
_TIME_TEXT = re.compile(TIME_TEXT)
_TIME_PATTERN = "^" + TIME_TEXT.removesuffix("?") + "$"


def _read_time(value: object) -> object:
    """Parse a string in the form of `TIME_TEXT`; pydantic validates everything else."""
    if not isinstance(value, str):
        return value
    if not _TIME_TEXT.fullmatch(value):
        raise ValueError("not a time such as 2026-01-05T12:15:00Z")
    return datetime.fromisoformat(value)


def _to_milliseconds(time: datetime) -> datetime:
    """Convert to UTC and truncate to milliseconds."""
    time = time.astimezone(UTC)
    return time.replace(microsecond=time.microsecond // 1000 * 1000)


ObservationTime = Annotated[
    Time,
    BeforeValidator(_read_time),
    AfterValidator(_to_milliseconds),
    WithJsonSchema({"type": "string", "pattern": _TIME_PATTERN}),
]


def _ignore_others(value: object) -> object:
    """A finite number that a float can represent; None for everything else."""
    try:
        usable = isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)
    except OverflowError:
        usable = False
    return value if usable else None


STATION_ID_PATTERN = r"^(\.{0,2}[^./\\\x00-\x1f\x7f-\x9f]|\.{3})[^/\\\x00-\x1f\x7f-\x9f]*$"
"""Regular expression of a station id: neither `.` nor `..`, and without slash, backslash and control characters, which
would change the meaning of a URL, a path or a line of a log. `ObservationParser.java` has the same rule."""
StationId = Annotated[str, StringConstraints(max_length=100, pattern=STATION_ID_PATTERN)]
Number = Annotated[float, Field(allow_inf_nan=False)]
OptionalDetail = Annotated[
    float | None,
    BeforeValidator(_ignore_others),
    WithJsonSchema({"anyOf": [{"type": "number"}, {"type": "null"}], "default": None}),
]
"""A number that the features job does not read; anything else is ignored there, so it is not an error here."""
Count = Annotated[int, Field(le=2**31 - 1)]
"""An SQL integer has 32 bits."""
Name = Annotated[str, StringConstraints(max_length=100)]
Sentence = Annotated[str, StringConstraints(max_length=1_000)]


class Record(BaseModel):
    """Base class: immutable, without unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    def to_json(self) -> bytes:
        return self.model_dump_json().encode()

    @classmethod
    def from_json(cls, value: bytes | str) -> Self:
        """Parse a record.

        Raises:
            pydantic.ValidationError: the value is not such a record; a number in a string is not accepted.
        """
        return cls.model_validate_json(value, strict=True)


class Observation(Record):
    """One observation of a station, on `weather-raw`, keyed by the station.

    Other programs may publish too: variables may be missing, and further fields are ignored. This class and
    `ObservationParser.java` of the features job accept the same messages, except for JSON that is nested exactly one
    level deeper than both allow.
    """

    model_config = ConfigDict(extra="ignore")

    station_id: StationId
    timestamp: ObservationTime = Field(
        description="Truncated to milliseconds. Identifies the observation, together with the station, in windows, in "
        "its prediction and in the store."
    )
    temperature: Number | None = None
    humidity: Number | None = None
    pressure: Number | None = None
    wind_speed: Number | None = None
    wind_direction: Number | None = None
    wind_gust: OptionalDetail = Field(None, description="m/s; null without a gust. Not used by forecasts and checks.")
    temperature_resolution: OptionalDetail = Field(
        None, description="Step in which the temperature is reported, °C; null if unknown."
    )

    @classmethod
    def from_json(cls, value: bytes | str) -> Self:
        """Like `Record.from_json`; in addition, object names must be unique, and ignored fields must be valid JSON."""
        observation = super().from_json(value)
        try:
            STRICT_DECODER.decode(value if isinstance(value, str) else value.decode())
        except PydanticCustomError as error:
            details: list[InitErrorDetails] = [{"type": error, "input": value}]
            raise ValidationError.from_exception_data(cls.__name__, details) from None
        return observation


class Trend(StrEnum):
    RISING = "rising"
    STEADY = "steady"
    FALLING = "falling"


class Quality(StrEnum):
    """Result of a check. `not_checked`: there was no value, or not enough data to check it."""

    OK = "ok"
    FAILED = "failed"
    NOT_CHECKED = "not_checked"


Checks = Annotated[dict[Name, Quality], Field(max_length=100)]


class Statistics(Record):
    """Statistics of a variable in a window; null if the window has too few usable values."""

    mean: Number | None
    std: Number | None = Field(description="Sample standard deviation; null below two values.")
    min: Number | None
    max: Number | None
    last: Number | None
    rate_per_hour: Number | None = Field(description="Least-squares slope per hour; null below two distinct times.")
    trend: Trend | None
    count: Count | None = Field(None, ge=0, description="Values that passed quality control; null in older records.")


class Wind(Record):
    """Vector mean of the wind."""

    u: Number | None = Field(description="Eastward component, m/s.")
    v: Number | None = Field(description="Northward component, m/s.")
    direction: Number | None = Field(description="Direction from which the mean wind blows, in degrees; null if calm.")
    steadiness: Number | None = Field(description="Speed of the vector mean divided by the mean speed, 0 to 1.")
    count: Count | None = Field(None, ge=0, description="Observations with speed and direction; null in older records.")


class AggregatedFeatures(Record):
    count: Count = Field(ge=1, description="Distinct observations in the window.")
    last_observation: Time
    temperature: Statistics
    humidity: Statistics
    pressure: Statistics
    wind_speed: Statistics
    wind: Wind
    dew_point: Number | None = Field(description="°C, from the mean temperature and humidity.")
    sea_level_pressure: Number | None = Field(
        None, description="hPa, from the means; null if the elevation is unknown or outside the range of the formula."
    )
    apparent_temperature: Number | None = Field(None, description="°C, in the shade, from the means (Steadman 1994).")
    quality: Checks = Field(description="Per variable: `failed` if quality control excluded any of its values.")
    checks: Checks = Field({}, description="Per check of quality control, for all observations of the window.")


class WindowFeatures(Record):
    """A five-minute window of a station, half-open [start, end), on `weather-features`, keyed by the station."""

    station_id: StationId
    window_start: Time
    window_end: Time
    aggregated_features: AggregatedFeatures

    @model_validator(mode="after")
    def _check_last_observation(self) -> Self:
        if not self.window_start <= self.aggregated_features.last_observation < self.window_end:
            raise PydanticCustomError("outside_window", "last_observation is not in [window_start, window_end)")
        return self


class Hour(Record):
    """The values of one hour of a station, on `weather-hours`, keyed by station and hour.

    `weatherglass.history` defines how the hour is computed from windows.
    """

    station_id: StationId
    hour: Time
    count: Count = Field(ge=1, description="Distinct observations that contribute to the hour.")
    temperature: Number | None
    humidity: Number | None
    pressure: Number | None
    wind_u: Number | None
    wind_v: Number | None
    wind_speed: Number | None = None

    @model_validator(mode="after")
    def _check_full_hour(self) -> Self:
        if self.hour.timestamp() % 3600:
            raise PydanticCustomError("no_full_hour", "hour is not a full hour")
        return self


class Method(StrEnum):
    """How a forecast was made."""

    MODEL = "model"
    DAMPED_ANOMALY = "damped_anomaly"
    PERSISTENCE = "persistence"


LeadValues = Annotated[list[Number], Field(min_length=1, max_length=len(LEADS))]
"""One number per lead time."""


class UsedRun(Record):
    """A run of a weather model that a forecast used."""

    model: Name = Field(description="Open-Meteo's id of the model.")
    run: Time = Field(description="Time of the run, as in `guidance`.")


class UsedGuidance(Record):
    """The guidance in a forecast."""

    model_version: Name = Field(description="Registered version of the model that combines guidance and forecast.")
    runs: list[UsedRun] = Field(min_length=1, max_length=100)
    variables: list[Name] = Field(
        min_length=1, max_length=len(VARIABLES), description="Those whose forecast uses guidance."
    )
    simulated: bool = Field(description="True: made by the replay server from later observations, by no weather model.")


class Predictions(Record):
    """Forecasts; every list has one number per valid time."""

    valid_times: Annotated[list[Time], Field(min_length=1, max_length=len(LEADS))] = Field(
        description="Strictly increasing, after the observation and at most 24 hours after it."
    )
    temperature: LeadValues
    humidity: LeadValues
    pressure: LeadValues
    wind_speed: LeadValues
    model_version: Name
    method: Method
    guidance: UsedGuidance | None = Field(
        None, description="Forecasts of weather models that were used; null: only observations of stations."
    )


class Flag(Record):
    """One failed check of an observation."""

    variable: Name
    check: Name = Field(description="The check that failed, as in `checks`.")
    severity: Annotated[float, Field(ge=0, le=1)] = Field(
        description="1 for a violated rule, 0.5 to 1 for a soft flag."
    )
    reason: Sentence
    onset: Time = Field(description="Estimated start of the event; it ends when the flag disappears.")


class Anomaly(Record):
    is_anomaly: bool
    score: Annotated[float, Field(ge=0, le=1)] = Field(
        description="The highest severity; below 0.5 if there is no flag."
    )
    checks: Checks
    reasons: list[Sentence] = Field(max_length=100, description="One sentence per flag.")
    flags: list[Flag] = Field([], max_length=100)
    model_version: Name | None


class Bounds(Record):
    """A bound of the interval; every list has one number per valid time."""

    temperature: LeadValues
    humidity: LeadValues
    pressure: LeadValues
    wind_speed: LeadValues


class Interval(Record):
    level: Annotated[float, Field(gt=0, lt=1)] = Field(description="Nominal coverage of the interval.")
    lower: Bounds
    upper: Bounds

    @model_validator(mode="after")
    def _check_bounds(self) -> Self:
        for name in VARIABLES:
            lower, upper = getattr(self.lower, name), getattr(self.upper, name)
            if len(lower) != len(upper) or any(map(gt, lower, upper)):
                raise PydanticCustomError("bounds", "a lower bound is missing or above the upper bound")
        return self


class Confidence(Interval):
    history_hours: Count = Field(ge=0, description="Hours of the station's past that the forecast used.")
    others: list[Interval] = Field([], max_length=10, description="Intervals at other levels.")


class Prediction(Record):
    """A forecast and the anomaly check of the current observation, on `weather-predictions`, keyed by the station.

    It is identified by (station_id, timestamp), where timestamp is the time of the observation.
    """

    station_id: StationId
    timestamp: Time
    predictions: Predictions
    anomaly: Anomaly
    confidence: Confidence

    @model_validator(mode="after")
    def _check_valid_times(self) -> Self:
        times = [self.timestamp, *self.predictions.valid_times]
        if any(map(ge, times, times[1:])) or times[-1] - times[0] > MAX_LEAD:
            raise PydanticCustomError("valid_times", "valid times do not increase, or are not in the forecast's range")
        if any(len(values) != len(times) - 1 for values in self._lists()):
            raise PydanticCustomError("ragged", "a list has another length than valid_times")
        return self

    def _lists(self) -> Iterator[list[float]]:
        lower = (interval.lower for interval in (self.confidence, *self.confidence.others))  # upper has this length
        return (getattr(block, name) for block in (self.predictions, *lower) for name in VARIABLES)
