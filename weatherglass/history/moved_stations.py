"""Which hours of stations that were moved are from their present place."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd

from weatherglass.history.hours import first_hour_since
from weatherglass.records import iso
from weatherglass.stations import Station


def at_present_places(table: pd.DataFrame, stations: Iterable[Station]) -> tuple[pd.DataFrame, list[str]]:
    """Return the rows without the hours of stations at earlier places, and for each station, what is left out.

    Args:
        table: with `station_id` and `hour`, UTC, also without a time zone, as in a prepared history.
    """
    left_out = []
    for station in stations:
        if station.since is None:
            continue
        own = table["station_id"] == station.station_id
        earlier = own & (pd.to_datetime(table["hour"], utc=True) < first_hour_since(station.since))
        if count := int(earlier.sum()):
            table = table[~earlier]
            left_out.append(
                f"{count:,} hours of {station.station_id}: before it was moved to its present place, "
                f"{iso(station.since)}"
            )
    return table, left_out
