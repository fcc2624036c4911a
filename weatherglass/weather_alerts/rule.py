"""Weather alert rules, as users write them and as the store keeps them."""

from __future__ import annotations

from datetime import datetime, time
from enum import StrEnum
from functools import cached_property
from typing import Annotated, Any, Literal, Self
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, Field, StringConstraints, TypeAdapter, model_validator
from pydantic_core import PydanticCustomError

from weatherglass.history.sources.units import UNITS, Unit, find_unit
from weatherglass.qc.limits import RANGE_LIMITS
from weatherglass.records import LEADS, Number, Record, StationId
from weatherglass.station_table import is_time_zone

MAX_STATIONS = 500
DEFAULT_END_SHARE = 0.6
"""Default of `end_probability` as a share of `probability`."""


class Condition(StrEnum):
    """How a forecast is compared with the threshold; `rise` and `fall`: the change since the observation."""

    ABOVE = "above"
    BELOW = "below"
    RISE = "rise"
    FALL = "fall"


def _check_time_zone(text: str) -> str:
    if not is_time_zone(text):
        raise PydanticCustomError("time_zone", "not a time zone of the IANA database, such as Europe/Berlin or UTC")
    return text


DayTime = Annotated[str, StringConstraints(pattern=r"^([01]\d|2[0-3]):[0-5]\d$")]
RuleName = Annotated[str, StringConstraints(min_length=1, max_length=100, pattern=r"^[^\x00-\x1f\x7f-\x9f]+$")]
StationList = Annotated[list[StationId], Field(min_length=1, max_length=MAX_STATIONS)]


class QuietHours(Record):
    """The part of each day in which no messages are sent: [start, end), past midnight if end is before start."""

    start: DayTime = Field(examples=["22:00"])
    end: DayTime = Field(examples=["06:00"])
    time_zone: Annotated[str, StringConstraints(max_length=60), AfterValidator(_check_time_zone)] = Field(
        description="IANA time zone name of `start` and `end`.", examples=["America/New_York"]
    )

    @model_validator(mode="after")
    def _check_length(self) -> Self:
        if self.start == self.end:
            raise PydanticCustomError("quiet_hours", "start and end of the quiet hours are the same")
        return self

    def include(self, now: datetime) -> bool:
        """Whether a time is in the quiet hours."""
        local = now.astimezone(ZoneInfo(self.time_zone)).time()
        start, end = time.fromisoformat(self.start), time.fromisoformat(self.end)
        return start <= local < end if start < end else local >= start or local < end


class _Rule(Record):
    name: RuleName = Field(examples=["Frost in the orchard"])
    stations: StationList | None = Field(
        None, description="Ids of the stations; null: every station with a forecast.", examples=[["new-york"]]
    )
    quiet_hours: QuietHours | None = Field(None, description="Messages wait until they end; null: none.")

    def covers(self, station_id: str) -> bool:
        return self.stations is None or station_id in self.stations


class ForecastRule(_Rule):
    """A threshold for the forecasts of stations."""

    kind: Literal["forecast"]
    variable: Literal["temperature", "humidity", "pressure", "wind_speed"] = Field(examples=["temperature"])
    condition: Condition = Field(
        description="`above` or `below` the threshold, or a `rise` or `fall` by more than the threshold since the "
        "observation that the forecast is based on.",
        examples=["below"],
    )
    threshold: Number = Field(description="In `unit`.", examples=[0])
    unit: Annotated[str, StringConstraints(max_length=20)] = Field(
        description="Unit of the threshold: °C, °F, K; %; hPa, Pa, kPa, inHg, mmHg; m/s, km/h, mph, kt.",
        examples=["°C"],
    )
    first_lead: Annotated[int, Field(ge=LEADS[0], le=LEADS[-1])] = Field(
        LEADS[0], description="First lead of the lead window, hours."
    )
    last_lead: Annotated[int, Field(ge=LEADS[0], le=LEADS[-1])] = Field(
        LEADS[-1], description="Last lead of the lead window, hours."
    )
    probability: Annotated[Number, Field(ge=0.01, le=0.99)] = Field(
        0.5, description="The alert starts when the probability of an hour in the lead window reaches this."
    )
    end_probability: Annotated[Number, Field(gt=0, lt=0.99)] | None = Field(
        None,
        description="The alert ends when the probability of every hour is below this; it must be less than "
        f"`probability`. Default: {DEFAULT_END_SHARE:.0%} of `probability`.",
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        unit = find_unit(self.variable, self.unit)
        if unit is None:
            known = ", ".join(known.name for known in UNITS[self.variable])
            raise PydanticCustomError("unit", f"the unit of {self.variable} is unknown; known units: {known}")
        limits = RANGE_LIMITS[self.variable]
        if self.is_change:
            if not 0 < self.threshold * unit.factor <= limits.high - limits.low:
                raise PydanticCustomError("threshold", "the threshold of a rise or fall must be positive and possible")
        elif not limits.low <= unit.convert(self.threshold) <= limits.high:
            raise PydanticCustomError("threshold", f"{self.variable} cannot have this value")
        if self.first_lead > self.last_lead:
            raise PydanticCustomError("lead_window", "first_lead must not be greater than last_lead")
        if self.ends_below >= self.probability:
            raise PydanticCustomError("end_probability", "end_probability must be less than probability")
        return self

    @property
    def ends_below(self) -> float:
        """`end_probability`, or its default."""
        return DEFAULT_END_SHARE * self.probability if self.end_probability is None else self.end_probability

    @cached_property
    def known_unit(self) -> Unit:
        unit = find_unit(self.variable, self.unit)
        assert unit is not None  # validated
        return unit

    @property
    def is_change(self) -> bool:
        """Whether the condition refers to the observation that a forecast is based on."""
        return self.condition in (Condition.RISE, Condition.FALL)

    @property
    def is_upward(self) -> bool:
        """Whether greater values meet the condition."""
        return self.condition in (Condition.ABOVE, Condition.RISE)

    def limit(self, observed: float | None) -> float:
        """The value beyond which the condition is met, in the unit of the records.

        Args:
            observed: the observation that a change refers to, in the unit of the records; None without a change.
        """
        unit = self.known_unit
        if observed is None:
            return float(unit.convert(self.threshold))
        change = self.threshold * unit.factor
        return observed + change if self.is_upward else observed - change

    def is_met(self, value: float, observed: float | None) -> bool:
        """Whether a value meets the condition; arguments as for `limit`."""
        return value > self.limit(observed) if self.is_upward else value < self.limit(observed)

    def in_rule_unit(self, value: float) -> float:
        """A value of the variable, not a change, in the unit of the rule."""
        unit = self.known_unit
        return (value - unit.offset) / unit.factor


class FaultRule(_Rule):
    """Consecutive flagged readings of a station: an anomaly event."""

    kind: Literal["fault"]
    min_score: Annotated[Number, Field(ge=0.5, le=1)] = Field(
        0.5, description="Only flags with at least this score; 1: a violated rule, less: an unlikely reading."
    )
    min_readings: Annotated[int, Field(ge=1, le=1000)] = Field(
        2, description="The alert starts with this number of consecutive flagged readings."
    )


WeatherAlertRule = Annotated[ForecastRule | FaultRule, Field(discriminator="kind")]
_ADAPTER: TypeAdapter[ForecastRule | FaultRule] = TypeAdapter(WeatherAlertRule)


def parse_rule(definition: Any) -> ForecastRule | FaultRule:
    """The rule of a stored definition.

    Raises:
        pydantic.ValidationError: the definition is not a rule.
    """
    return _ADAPTER.validate_python(definition)
