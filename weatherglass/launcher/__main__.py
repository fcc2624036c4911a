"""`python -m weatherglass.launcher up | down`, which `make up` and `make down` call."""

from __future__ import annotations

import argparse
import sys

from weatherglass.settings import load_settings
from weatherglass.settings_errors import SettingsError
from weatherglass.stations import StationsError, known_stations

INVALID_SETTINGS = 2
"""Also for an invalid station table."""


def main(arguments: list[str] | None = None) -> int:
    """Run one command and return its exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m weatherglass.launcher", description="Starts and stops Weatherglass on this machine."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("up", help="start everything and stay in the foreground; stop with Ctrl-C")
    commands.add_parser("down", help="stop everything")
    command = parser.parse_args(arguments).command
    try:
        settings = load_settings()
        if command == "up":
            known_stations(settings)
    except SettingsError as error:
        print(f"Invalid settings, nothing was started:\n{error}", file=sys.stderr)
        return INVALID_SETTINGS
    except StationsError as error:
        print(f"{error}\nNothing was started.", file=sys.stderr)
        return INVALID_SETTINGS
    # Imported here, so that invalid settings and stations are reported immediately.
    if command == "down":
        from weatherglass.launcher.down import down

        return down(settings)
    from weatherglass.launcher.status import show
    from weatherglass.launcher.up import up

    return up(settings, show)


if __name__ == "__main__":
    sys.exit(main())
