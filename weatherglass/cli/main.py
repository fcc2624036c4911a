"""The command `weatherglass`: status, check, evaluate, models."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from weatherglass.cli.evaluate_arguments import add_arguments as evaluation_arguments
from weatherglass.settings import SettingsError, load_settings

UNUSABLE_SETTINGS = 2
MODEL_KINDS = ("forecaster", "anomaly-detector")
"""As the registry has them, which takes too long to import for a `--help`."""


def main(arguments: list[str] | None = None) -> int:
    """Run one command; its exit status."""
    try:
        status = _run(arguments)
        sys.stdout.flush()
        return status
    except BrokenPipeError:  # the reader has seen enough: `weatherglass status | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _run(arguments: list[str] | None) -> int:
    parser = argparse.ArgumentParser(prog="weatherglass", description="Weatherglass on this machine.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("status", help="what runs, what lags, how old the newest is; 0 only if all is green")
    checking = commands.add_parser("check", help="find the faults of one station's readings in a file")
    checking.add_argument("--series", type=Path, required=True, metavar="FILE", help="CSV or Parquet")
    checking.add_argument("--json", action="store_true", help="print everything as JSON")
    checking.add_argument("--all", action="store_true", help="list every event, not only the worst of each check")
    evaluation_arguments(commands.add_parser("evaluate", help="learn from a history, forecast what came after it"))
    _add_models(commands.add_parser("models", help="who serves, who challenges; carry a model to another machine"))
    options = parser.parse_args(arguments)
    command = options.command
    if command == "evaluate":
        from weatherglass.cli.evaluate import evaluate

        return evaluate(options)
    try:
        settings = load_settings()
    except SettingsError as error:
        print(f"Weatherglass is not started, a setting is wrong:\n{error}", file=sys.stderr)
        return UNUSABLE_SETTINGS
    # Imported only now: a wrong setting is said at once.
    if command == "check":
        from weatherglass.cli.check_series import check

        return check(options.series, settings.false_alarms_per_week, options.json, options.all)
    if command == "models":
        from weatherglass.cli.models import run

        return run(settings, options)
    from weatherglass.launcher.status import show

    return show(settings)


def _add_models(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True)
    actions.add_parser("list", help="versions, quarantine, and the log of promotions")
    for name, words in (
        ("promote", "make a version champion, or have one in quarantine tried again"),
        ("challenge", "compare a version with the champion"),
        ("withdraw", "have no challenger"),
        ("rollback", "make the previous champion serve again"),
    ):
        changing = actions.add_parser(name, help=words)
        if name in ("promote", "challenge"):
            changing.add_argument("version")
        changing.add_argument("--kind", choices=MODEL_KINDS, default=MODEL_KINDS[0])
        changing.add_argument("--reason", required=True, help="kept in the log for good")
    exporting = actions.add_parser("export", help="write a model with its card and checksums into one file")
    exporting.add_argument("kind", choices=MODEL_KINDS)
    exporting.add_argument("file", type=Path)
    exporting.add_argument("--version", default="champion", help="its number; the champion where none is given")
    importing = actions.add_parser("import", help="register an exported model, after checking all of it")
    importing.add_argument("file", type=Path)
    importing.add_argument("--promote", action="store_true", help="make it serve, though there is a champion")


if __name__ == "__main__":
    sys.exit(main())
