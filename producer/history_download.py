"""Downloads for `prepare_history`: a year of hourly history from Open-Meteo's archive, station by station, or the zip
from Kaggle."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from pathlib import Path

from producer.api_response import ApiConnectionError, ApiError
from producer.kaggle_download import Account, download
from producer.open_meteo import OpenMeteo, create_client
from weatherglass.files import replacing
from weatherglass.history.source_choice import AUTO, SourceChoice, automatic_source
from weatherglass.record_headers import Origin
from weatherglass.settings import Settings
from weatherglass.stations import Station, observed_by

DAYS = 365
"""Length of the history. With 20 stations it takes about 520 of 10,000 calls per day (two weeks count as one call)."""

ARCHIVE_DELAY = timedelta(days=6)
"""The archive (ERA5) ends about five days ago. Source: open-meteo.com/en/docs/historical-weather-api."""

MAX_AGE = timedelta(days=1)
"""Age up to which a file is not downloaded again, so that an interrupted download resumes where it stopped."""

PAUSE_SECONDS = 3.0
"""Pause between two stations: twenty stations a minute are 520 calls, below the limit of 600."""


def fetch_history(
    settings: Settings,
    choice: SourceChoice,
    now: datetime,
    log: Callable[[str], object],
    account: Account | None = None,
) -> str:
    """Resolve a choice of the source of history and download its data, if they are not on this machine.

    Args:
        choice: `AUTO` is Kaggle if a zip is configured or an account exists, otherwise the source of the observations.
        now: UTC.
        log: is called with each line for the task log.
        account: Kaggle account for the download if no zip is configured.

    Returns:
        The source, never `AUTO`.

    Raises:
        ApiError: as for `fetch_archive`.
        KaggleError, SourceError: as for `kaggle_download.download`.
    """
    source = choice.source
    if source == AUTO:
        source = "kaggle" if account else automatic_source(settings, settings.source)
    log(f"Source of history: {choice.file or source}" + (" (automatic)" if choice.source == AUTO else ""))
    if source == "kaggle" and settings.kaggle_zip is None and account:
        download(account, settings, log)
    if source == "open-meteo":
        with create_client(settings) as client:
            fetch_archive(client, observed_by(settings, Origin.OPEN_METEO), settings.archive_dir, now, log)
    return source


def fetch_archive(
    client: OpenMeteo,
    stations: Sequence[Station],
    folder: Path,
    now: datetime,
    log: Callable[[str], object],
    pause_seconds: float = PAUSE_SECONDS,
) -> None:
    """Write `<folder>/<station_id>.parquet` for each station: columns `HISTORY_COLUMNS`, UTC.

    A station whose data cannot be used is skipped with a warning; a file of an earlier download is kept.

    Raises:
        ApiConnectionError: the archive is not available, or a rate limit is exceeded. Complete files are kept,
            and the next call resumes after them.
        ApiError: the data of no station can be used.
    """
    folder.mkdir(parents=True, exist_ok=True)
    last = (now - ARCHIVE_DELAY).date()
    first = last - timedelta(days=DAYS - 1)
    missing = [station for station in stations if not _is_fresh(_file(folder, station), now)]
    log(f"Archive of {len(stations)} stations, {first} to {last}: {len(missing)} to download")
    failures: list[ApiError] = []
    for number, station in enumerate(missing, 1):
        if number > 1:
            time.sleep(pause_seconds)
        try:
            table, refusals = client.archive([station], first, last)
        except ApiConnectionError:
            raise
        except ApiError as error:
            log(f"WARNING: {number} of {len(missing)}: no history of {station.name}: {error}")
            failures.append(error)
            continue
        file = _file(folder, station)
        with replacing(file) as temporary:
            table.to_parquet(temporary, index=False)
        for refusal in refusals:
            log(f"WARNING: {station.name}: refused {refusal}")
        log(f"{number} of {len(missing)}: {station.name}, {len(table):,} hours")
    if failures and len(failures) == len(stations):
        raise failures[0]


def _file(folder: Path, station: Station) -> Path:
    return folder / f"{station.station_id}.parquet"


def _is_fresh(file: Path, now: datetime) -> bool:
    return file.exists() and now.timestamp() - file.stat().st_mtime < MAX_AGE.total_seconds()
