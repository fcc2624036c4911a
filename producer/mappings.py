"""The mapping file: what the user states about the files of own stations.

It is a TOML file. `[files.NAME]` describes the files in the subfolder NAME of the watched folder.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from datetime import tzinfo
from pathlib import Path
from typing import Annotated, Any

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
        raise ValueError(f"{variable!r} is no variable; allowed: {', '.join(UNITS)}")
    if find_unit(variable, unit) is None:
        known = ", ".join(unit.name for unit in UNITS[variable])
        raise ValueError(f"{unit!r} is no unit of {variable}; allowed: {known}")


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


class Mappings(_Entry):
    """The mapping file."""

    files: Mapping[str, FileMapping] = Field(default_factory=dict)


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
