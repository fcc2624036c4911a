"""The record on `weather-guidance`: what a weather model predicts for a station.

The same rules as in `records` apply: UTC, the units of observations, null for a missing number.
"""

from __future__ import annotations

from enum import StrEnum
from operator import ge
from typing import Annotated, Self

from pydantic import Field, StringConstraints, model_validator
from pydantic_core import PydanticCustomError

from weatherglass.records import Number, Record, StationId, Time

GUIDANCE_VARIABLES = ("temperature", "humidity", "pressure", "wind_speed", "wind_direction")
"""The variables of guidance, those of an observation."""
MAX_GUIDANCE_HOURS = 16 * 24
"""Most hours of a run: Open-Meteo's models reach at most 16 days ahead."""
MODEL_ID_PATTERN = r"[a-z0-9_]{1,60}"
"""Regular expression of a model id of Open-Meteo, such as `best_match` or `ecmwf_ifs025`."""

ModelId = Annotated[str, StringConstraints(pattern=f"^{MODEL_ID_PATTERN}$")]
GuidanceList = Annotated[list[Number | None], Field(min_length=1, max_length=MAX_GUIDANCE_HOURS)]
"""One number per valid time; null if the model has none."""


class RunTime(StrEnum):
    """What the time of a run is."""

    FETCH = "fetch"
    """When values that differ from those before were first received. The source does not give the initialization."""


class GuidanceValues(Record):
    """The predicted values; every list has one number per valid time."""

    valid_times: Annotated[list[Time], Field(min_length=1, max_length=MAX_GUIDANCE_HOURS)] = Field(
        description="Full hours, strictly increasing."
    )
    temperature: GuidanceList
    humidity: GuidanceList
    pressure: GuidanceList
    wind_speed: GuidanceList
    wind_direction: GuidanceList

    @model_validator(mode="after")
    def _check_lists(self) -> Self:
        if any(map(ge, self.valid_times, self.valid_times[1:])):
            raise PydanticCustomError("valid_times", "valid times do not increase")
        if any(time.timestamp() % 3600 for time in self.valid_times):
            raise PydanticCustomError("no_full_hour", "a valid time is not a full hour")
        lists = [getattr(self, name) for name in GUIDANCE_VARIABLES]
        if any(len(values) != len(self.valid_times) for values in lists):
            raise PydanticCustomError("ragged", "a list has another length than valid_times")
        if all(value is None for values in lists for value in values):
            raise PydanticCustomError("no_value", "no value at all")
        return self


class Guidance(Record):
    """A run of a weather model for the place of a station, on `weather-guidance`, keyed by the station.

    It is identified by (station_id, model, run). Each run is published once, or again after a crash.
    """

    station_id: StationId
    model: ModelId = Field(description="Open-Meteo's id of the model; `best_match` combines several.")
    run: Time = Field(description="Time of the run, as `run_time` says.")
    run_time: RunTime
    fetched_at: Time = Field(
        description="When the run was received. A forecast issued earlier did not know it, whatever `run` is."
    )
    latitude: Annotated[float, Field(ge=-90, le=90)] = Field(description="Of the request, degrees north.")
    longitude: Annotated[float, Field(ge=-180, le=180)] = Field(description="Of the request, degrees east.")
    elevation: Number | None = Field(
        description="Of the request, metres above sea level, for which temperature and pressure are computed; null: "
        "the elevation of the source's terrain model."
    )
    simulated: bool = Field(
        description="True: made by the replay server from later observations, not by a weather model."
    )
    observed_only_by_model: bool = Field(
        description="True: the observations of the station are output of Open-Meteo's models too. They cannot verify "
        "guidance."
    )
    values: GuidanceValues

    @model_validator(mode="after")
    def _check_run(self) -> Self:
        if self.run > self.fetched_at:
            raise PydanticCustomError("run", "the run is later than its reception")
        return self
