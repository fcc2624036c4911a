"""The command `weatherglass`: status, check, evaluate, models, simulate, stations, tokens."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from weatherglass.cli.evaluate_arguments import add_arguments as evaluation_arguments
from weatherglass.cli.simulate_arguments import add_arguments as simulation_arguments
from weatherglass.history.sources.statement_arguments import add_statement_arguments, parse_statements
from weatherglass.settings import MLFLOW_PAGES_PORT, Settings, load_settings
from weatherglass.settings_errors import SettingsError
from weatherglass.stations import StationsError

INVALID_SETTINGS = 2
"""Also for an invalid station table."""
MODEL_KINDS = ("forecaster", "anomaly-detector", "guidance")
"""The kinds in the registry, repeated here because importing the registry would make `--help` slow."""


def main(arguments: list[str] | None = None) -> int:
    """Run one command and return its exit status."""
    try:
        status = _run(arguments)
        sys.stdout.flush()
        return status
    except StationsError as error:
        print(error, file=sys.stderr)
        return INVALID_SETTINGS
    except BrokenPipeError:  # as in `weatherglass status | head -1`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _run(arguments: list[str] | None) -> int:
    options = _parser().parse_args(arguments)
    if options.command == "evaluate" and options.guidance:
        from weatherglass.cli.evaluate_guidance import evaluate_guidance

        return evaluate_guidance(options)
    if options.command == "evaluate":
        from weatherglass.cli.evaluate import evaluate

        return evaluate(options)
    try:
        settings = load_settings()
    except SettingsError as error:
        print(f"Invalid settings:\n{error}", file=sys.stderr)
        return INVALID_SETTINGS
    commands: dict[str, Callable[[Settings, argparse.Namespace], int]] = {
        "check": _check,
        "models": _models,
        "simulate": _simulate,
        "stations": _stations,
        "status": _status,
        "tokens": _tokens,
    }
    return commands[options.command](settings, options)


# Each command imports its module when it runs, so that `--help` and invalid settings are reported immediately.


def _check(settings: Settings, options: argparse.Namespace) -> int:
    from weatherglass.cli.check_series import REFUSED, check

    try:
        stated = parse_statements(options.unit, options.time_zone, options.time_format)
    except ValueError as error:
        print(error, file=sys.stderr)
        return REFUSED
    return check(options.series, stated, settings.false_alarms_per_week, options.json, options.all)


def _models(settings: Settings, options: argparse.Namespace) -> int:
    if options.action == "import-shipped":
        from weatherglass.cli.import_shipped import import_shipped

        return import_shipped(settings, datetime.now(UTC))
    from weatherglass.cli.models import run

    return run(settings, options)


def _simulate(settings: Settings, options: argparse.Namespace) -> int:
    from weatherglass.cli.simulate import simulate

    return simulate(settings, options)


def _stations(settings: Settings, options: argparse.Namespace) -> int:
    from weatherglass.cli.stations import run

    return run(settings, options)


def _status(settings: Settings, _options: argparse.Namespace) -> int:
    from weatherglass.launcher.status import show

    return show(settings)


def _tokens(settings: Settings, options: argparse.Namespace) -> int:
    from weatherglass.cli.tokens import run

    return run(settings, options)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="weatherglass", description="Command line of Weatherglass.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser(
        "status", help="show components, consumer lag, models and the latest forecast; exit status 0 if all are ok"
    )
    checking = commands.add_parser("check", help="find faulty readings of a station in a file")
    checking.add_argument(
        "--series",
        type=Path,
        required=True,
        nargs="+",
        metavar="FILE",
        help="CSV or Parquet file of one station; several are checked one after another",
    )
    add_statement_arguments(checking)
    checking.add_argument("--json", action="store_true", help="print the complete result as JSON")
    checking.add_argument("--all", action="store_true", help="list every event, not only the most severe of each check")
    evaluation_arguments(commands.add_parser("evaluate", help="train on a history and score forecasts of later hours"))
    _add_models(commands.add_parser("models", help="list, promote, roll back, export, import and browse models"))
    simulation_arguments(commands.add_parser("simulate", help="publish observations of simulated stations"))
    _add_stations(commands.add_parser("stations", help="list, check and change the station table"))
    _add_tokens(commands.add_parser("tokens", help="create, list and revoke tokens of own stations"))
    return parser


def _add_stations(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print the list as JSON")
    actions = parser.add_subparsers(dest="action", metavar="{list,check,add,move,remove}")
    listing = actions.add_parser("list", help="list the known stations (the default)")
    listing.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help="print the list as JSON")
    checking = actions.add_parser("check", help="report every problem of a station table")
    checking.add_argument("file", type=Path, nargs="?", metavar="FILE", help="default: the table in use")
    adding = actions.add_parser("add", help="add a station to the table; a running pipeline uses it from then on")
    adding.add_argument("station_id", metavar="ID", help="lower-case letters, digits and dashes, such as my-garden")
    for name, required, description in (
        ("name", True, "name on the pages"),
        ("latitude", True, "degrees north"),
        ("longitude", True, "degrees east"),
        ("elevation", False, "metres above sea level; without it, the forecast lacks pressure at sea level"),
        ("country", False, "country on the pages"),
    ):
        adding.add_argument(f"--{name}", required=required, default="", help=description)
    adding.add_argument("--time-zone", dest="timezone", default="UTC", metavar="ZONE", help="such as Europe/Paris")
    moving = actions.add_parser("move", help="give a station another place; earlier observations are not used there")
    moving.add_argument("station_id", metavar="ID")
    moving.add_argument("--latitude", required=True, help="degrees north")
    moving.add_argument("--longitude", required=True, help="degrees east")
    moving.add_argument("--elevation", default="", help="metres above sea level of the new place; default: unknown")
    moving.add_argument("--since", default="", metavar="TIME", help="such as 2026-05-31T14:00:00Z; default: now")
    removing = actions.add_parser("remove", help="remove a station from the table; its observations are kept")
    removing.add_argument("station_id", metavar="ID")


def _add_tokens(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print the list as JSON")
    actions = parser.add_subparsers(dest="action", metavar="{list,add,remove}")
    listing = actions.add_parser("list", help="list the tokens, without their text (the default)")
    listing.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help="print the list as JSON")
    adding = actions.add_parser("add", help="create a token and print it once")
    adding.add_argument("name", metavar="NAME", help="name of the token, such as my-garden")
    adding.add_argument("stations", nargs="+", metavar="STATION", help="id, or the beginning of ids with *: 'net-*'")
    adding.add_argument(
        "--read-token", action="store_true", help="read the token from the input, such as the PASSKEY of a station"
    )
    removing = actions.add_parser("remove", help="revoke a token")
    removing.add_argument("name", metavar="NAME")


def _add_models(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True)
    actions.add_parser("list", help="list versions, quarantine and the promotion log")
    for name, description in (
        ("promote", "make a version the champion, or retry one that is in quarantine"),
        ("challenge", "make a version the challenger, to compare it with the champion"),
        ("withdraw", "remove the challenger"),
        ("rollback", "make the previous champion the champion again"),
    ):
        changing = actions.add_parser(name, help=description)
        if name in ("promote", "challenge"):
            changing.add_argument("version")
        changing.add_argument("--kind", choices=MODEL_KINDS, default=MODEL_KINDS[0])
        changing.add_argument("--reason", required=True, help="text for the promotion log")
    exporting = actions.add_parser("export", help="write a model, its card and checksums to one file")
    exporting.add_argument("kind", choices=MODEL_KINDS)
    exporting.add_argument("file", type=Path)
    exporting.add_argument("--version", default="champion", help="version number (default: the champion)")
    exporting.add_argument(
        "--private-key", type=Path, metavar="KEY", help="Ed25519 key (PEM) that signs the file; writes FILE.sig"
    )
    importing = actions.add_parser("import", help="verify an exported model and register it")
    importing.add_argument("file", type=Path)
    importing.add_argument("--promote", action="store_true", help="make it the champion even if there is one")
    importing.add_argument("--sha256", metavar="HEX", help="SHA-256 of the file, as its producer published it")
    importing.add_argument(
        "--public-key", type=Path, metavar="KEY", help="Ed25519 key (PEM) of the producer; requires FILE.sig"
    )
    showing = actions.add_parser("ui", help="show runs and versions in MLflow's own pages, on this machine only")
    showing.add_argument("--port", type=int, default=MLFLOW_PAGES_PORT, help="default: %(default)s")
    actions.add_parser("import-shipped", help="register the shipped models, which are for the bundled observations")


if __name__ == "__main__":
    sys.exit(main())
