"""Arguments that state what a file of readings leaves open. Adding them imports nothing, so `--help` is fast."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from weatherglass.history.sources.series_file import Statements

TIME_FORMATS = (
    "yyyy-mm-dd",
    "yyyymmddhhmm",
    "dd/mm/yyyy",
    "mm/dd/yyyy",
    "epoch-s",
    "epoch-ms",
    "dd/mm/yy",
    "mm/dd/yy",
    "excel-1900",
    "excel-1904",
)
"""The values of `series_times.TimeFormat`, repeated for the same reason."""


def add_statement_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that `parse_statements` reads."""
    parser.add_argument(
        "--unit",
        action="append",
        default=[],
        metavar="VARIABLE=UNIT",
        help="unit of a column whose header states none, such as temperature=F",
    )
    parser.add_argument(
        "--time-zone", metavar="ZONE", help="zone of times without one: UTC, +01:00 or a name such as Europe/Paris"
    )
    parser.add_argument("--time-format", choices=TIME_FORMATS, help="format of the times if the file leaves it open")


def parse_statements(units: Sequence[str], time_zone: str | None, time_format: str | None) -> Statements:
    """Return what the arguments state about a file.

    Args:
        units: each `variable=unit`.
        time_format: one of `TIME_FORMATS`.

    Raises:
        ValueError: a variable, a unit or the time zone is unknown.
    """
    from weatherglass.history.sources.series_file import Statements
    from weatherglass.history.sources.series_times import TimeFormat, parse_zone
    from weatherglass.history.sources.units import UNITS, find_unit

    known_units = {}
    for text in units:
        variable, _, unit = text.partition("=")
        if variable not in UNITS:
            raise ValueError(f"{text}: no variable {variable!r}; expected one of {', '.join(UNITS)}")
        if find_unit(variable, unit) is None:
            known = ", ".join(unit.name for unit in UNITS[variable])
            raise ValueError(f"{text}: no unit {unit!r} of {variable}; expected one of {known}")
        known_units[variable] = unit
    zone = parse_zone(time_zone) if time_zone else None
    return Statements(known_units, zone, TimeFormat(time_format) if time_format else None)
