"""The mapping file: what the user states about the files and the MQTT messages of own stations.

It is a TOML file. `[files.NAME]` describes the files in the subfolder NAME of the watched folder, and `[mqtt.NAME]` the
messages on some topics.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from datetime import tzinfo
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from weatherglass.formatting import first_line
from weatherglass.history.sources.series_times import NAMES as TIME_NAMES
from weatherglass.history.sources.series_times import TimeFormat, parse_zone
from weatherglass.history.sources.units import UNITS, find_unit
from weatherglass.settings import Settings

COLUMNS = ("station_id", *TIME_NAMES, *UNITS)
"""The names that a mapping gives to columns."""


class MappingError(Exception):
    """The mapping file cannot be used; the message names the file, each entry and what is allowed."""


def _zone(text: str) -> str:
    parse_zone(text)
    return text


def check_unit(variable: str, unit: str) -> None:
    """Check that a mapping names a known variable and unit.

    Raises:
        ValueError: the message says what is allowed.
    """
    if variable not in UNITS:
        raise ValueError(f"{variable!r} is not a variable; allowed: {', '.join(UNITS)}")
    if find_unit(variable, unit) is None:
        known = ", ".join(unit.name for unit in UNITS[variable])
        raise ValueError(f"{unit!r} is not a unit of {variable}; allowed: {known}")


ZoneName = Annotated[str, AfterValidator(_zone)]


class _Entry(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class FileMapping(_Entry):
    """`[files.NAME]`: what the files of a subfolder leave open.

    Attributes:
        station: id of the station of all readings.
        time_zone: of times without one.
        columns: name of a record's field, of a time or of the dew point -> name of the column in the header.
        units: variable -> unit of a column whose header states none.
    """

    station: str | None = None
    time_zone: ZoneName | None = None
    time_format: TimeFormat | None = None
    columns: Mapping[str, str] = Field(default_factory=dict)
    units: Mapping[str, str] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _check(self) -> FileMapping:
        if unknown := [name for name in self.columns if name not in COLUMNS]:
            raise ValueError(f"columns: {unknown[0]!r} is not known; allowed: {', '.join(COLUMNS)}")
        if len(set(self.columns.values())) < len(self.columns):
            raise ValueError("columns: two of them have the same name in the header")
        for variable, unit in self.units.items():
            check_unit(variable, unit)
        return self

    @property
    def zone(self) -> tzinfo | None:
        return parse_zone(self.time_zone) if self.time_zone else None


TOPIC_FILTER = r"^(?:[^+#\x00/]*/|\+/)*(?:[^+#\x00/]+|\+|#)$"
"""Levels separated by `/`; `+` stands for one level and `#`, as the last one, for all further levels."""


class MqttValue(_Entry):
    """A value in a message: the path to it, names separated by dots, and its unit."""

    field: str
    unit: str


class MqttMapping(_Entry):
    """`[mqtt.NAME]`: how the JSON objects on a topic become records.

    Without `values`, the messages are records already, in the published schema.

    Attributes:
        topic: a topic filter, with wildcards.
        station: id of the station; or
        station_level: the level of the topic that is the id, the first is 1; or
        station_field: path to the id in the message.
        time: path to the time of measurement.
        time_format: `iso` for ISO 8601, or seconds or milliseconds since 1970.
        time_zone: of times in ISO 8601 without one.
        time_of_arrival: the messages have no time; they are received with quality of service 0, so that none has waited
            at the broker, and retained ones are rejected.
        values: field of a record -> where its value is.
    """

    topic: Annotated[str, Field(pattern=TOPIC_FILTER)]
    station: str | None = None
    station_level: int | None = None
    station_field: str | None = None
    time: str | None = None
    time_format: Literal["iso", "epoch-s", "epoch-ms"] = "iso"
    time_zone: ZoneName | None = None
    time_of_arrival: bool = False
    values: Mapping[str, MqttValue] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _check(self) -> MqttMapping:
        if not self.values:
            if extra := self.model_fields_set - {"topic", "values"}:
                raise ValueError(f"{', '.join(sorted(extra))}: only with values")
            return self
        stations = [self.station, self.station_level, self.station_field]
        if sum(station is not None for station in stations) != 1:
            raise ValueError("exactly one of station, station_level and station_field is needed")
        if self.station_level is not None and not 1 <= self.station_level <= len(self.topic.split("/")):
            raise ValueError(f"station_level: the topic has the levels 1 to {len(self.topic.split('/'))}")
        if (self.time is None) is not self.time_of_arrival:
            raise ValueError("either time or time_of_arrival = true is needed")
        for variable, value in self.values.items():
            if variable == "dew_point":
                raise ValueError("a record has no dew point; give the humidity")
            check_unit(variable, value.unit)
        return self

    @property
    def zone(self) -> tzinfo | None:
        return parse_zone(self.time_zone) if self.time_zone else None

    @property
    def qos(self) -> int:
        """Quality of service of the subscription: 0 at most once, 1 at least once."""
        return 0 if self.time_of_arrival else 1


class Mappings(_Entry):
    """The mapping file."""

    files: Mapping[str, FileMapping] = Field(default_factory=dict)
    mqtt: Mapping[str, MqttMapping] = Field(default_factory=dict)


def read_mappings(settings: Settings) -> Mappings:
    """Read the mapping file; without one, there are no mappings.

    Raises:
        MappingError: it cannot be used.
    """
    file = settings.mappings
    try:
        content = tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return Mappings()
    except (OSError, ValueError) as error:  # TOML and UTF-8 errors are ValueErrors
        raise MappingError(f"Invalid mapping file {file}: {first_line(error)}") from None
    try:
        return Mappings.model_validate(content)
    except ValidationError as error:
        raise MappingError(_message(file, error.errors(include_url=False))) from None


def _message(file: Path, problems: list[Any]) -> str:
    lines = [f"Invalid mapping file {file}:"]
    for problem in problems:
        place = ".".join(map(str, problem["loc"]))
        lines.append(f"  {place}: {problem['msg'].removeprefix('Value error, ')}")
    return "\n".join(lines)
