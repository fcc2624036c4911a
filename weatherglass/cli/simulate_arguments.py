"""The options of `weatherglass simulate`."""

from __future__ import annotations

import argparse

from weatherglass.settings import Settings

OPTIONS = {
    "stations": ("simulate_stations", int),
    "rate": ("simulate_rate", float),
    "speed": ("simulate_speed", float),
    "hours": ("simulate_start_hours", float),
    "faults": ("simulate_faults", float),
    "seed": ("simulate_seed", int),
}
"""Options of the command, their settings and types."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command; their defaults are the settings."""
    for name, (setting, kind) in OPTIONS.items():
        parser.add_argument(f"--{name}", type=kind, help=Settings.model_fields[setting].description)
    parser.add_argument("--minutes", type=float, help="end after so many minutes; otherwise, end with Ctrl-C")
