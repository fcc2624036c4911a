"""`weatherglass tokens`: create, list and revoke the tokens with which own stations publish observations."""

from __future__ import annotations

import argparse
import getpass
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime

from weatherglass.files import DamagedFileError
from weatherglass.settings import Settings
from weatherglass.station_table import STATION_ID
from weatherglass.station_tokens import EVERY, StationToken, StationTokens, TokenError
from weatherglass.stations import known_stations, own_stations

REFUSED = 1


def run(settings: Settings, options: argparse.Namespace) -> int:
    """Run one action; returns the exit status 0, or 1 if it was refused.

    Raises:
        StationsError: the station table cannot be used.
    """
    tokens = StationTokens(settings)
    actions: dict[str, Callable[[], int]] = {
        "list": lambda: list_tokens(tokens, options.json),
        "add": lambda: add(settings, tokens, options.name, options.stations, options.read_token),
        "remove": lambda: remove(tokens, options.name),
    }
    try:
        return actions[options.action or "list"]()
    except (DamagedFileError, TokenError) as error:
        return _refuse(str(error))


def list_tokens(tokens: StationTokens, as_json: bool) -> int:
    """Print names, stations and times of creation, one token per line or as a JSON array of objects."""
    known = tokens.all()
    if as_json:
        print(json.dumps([_public(token) for token in known], indent=1))
        return 0
    for token in known:
        print(f"{token.name}  {token.created_at}  {' '.join(token.stations)}")
    if not known:
        print("No tokens; create one: weatherglass tokens add NAME STATION")
    return 0


def add(settings: Settings, tokens: StationTokens, name: str, stations: Sequence[str], read_token: bool) -> int:
    """Create a token for own stations and print it, unless it is read from the input."""
    for station in stations:
        if problem := _problem(settings, station):
            return _refuse(problem)
    text = tokens.add(name, stations, datetime.now(UTC), _read_token() if read_token else None)
    print(f"Created token {name} for {' '.join(stations)}.")
    if not read_token:
        print(f"\n    {text}\n\nIt is shown only now: only its hash is stored.")
    return 0


def remove(tokens: StationTokens, name: str) -> int:
    """Revoke a token; a running pipeline refuses it from then on."""
    if not tokens.remove(name):
        return _refuse(f"there is no token {name}; see: weatherglass tokens list")
    print(f"Removed token {name}.")
    return 0


def _problem(settings: Settings, station: str) -> str | None:
    """Why a token cannot be for a station, or for the stations with a prefix."""
    if station.endswith(EVERY):
        is_prefix = STATION_ID.fullmatch(f"{station.removesuffix(EVERY)}x")
        return None if is_prefix else f"{station!r}; allowed: the beginning of station ids and {EVERY}, such as net-*"
    if station in own_stations(settings):
        return None
    if station in known_stations(settings):
        return f"Weatherglass itself requests the observations of {station}; add a station of another id"
    return f"{station} is not in the station table; add it: weatherglass stations add"


def _read_token() -> str:
    """A line of the input; it is not displayed while it is typed."""
    if sys.stdin.isatty():
        return getpass.getpass("Token: ").strip()
    return sys.stdin.readline().strip()


def _public(token: StationToken) -> dict[str, object]:
    return {name: value for name, value in asdict(token).items() if name != "sha256"}


def _refuse(message: str) -> int:
    print(message, file=sys.stderr)
    return REFUSED
