"""Arguments that state what a file of readings leaves open, in a module of their own: `--help` imports nothing."""

from __future__ import annotations

import argparse

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
    """Add the arguments that `check_series.statements` reads."""
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
