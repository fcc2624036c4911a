"""Download of history from the archive: resumable, and each file complete."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from producer import history_download
from producer.api_response import ApiConnectionError, ApiRequestError
from producer.history_download import MAX_AGE, fetch_archive
from producer.open_meteo import OpenMeteo
from tests.producer.conftest import VALUES, FakeApi, error_response, location, ok_response
from weatherglass.history.prepared import HISTORY_COLUMNS
from weatherglass.stations import Station

Stations = tuple[Station, ...]
LAST_HOUR = (datetime.now(UTC) - timedelta(days=10)).strftime("%Y-%m-%dT%H:00")


def history(**changed: Any) -> tuple[int, str]:
    content = location(past_hours=3, time=LAST_HOUR)
    del content["current"]
    return ok_response({**content, **changed})


def test_an_interrupted_download_resumes_with_the_next_station(
    client: OpenMeteo, fake_api: FakeApi, stations: Stations, tmp_path: Path
) -> None:
    now = datetime.now(UTC)
    fake_api.responses = [history(), error_response(429, "Daily API request limit exceeded.")]
    with pytest.raises(ApiConnectionError, match="Daily"):
        fetch_archive(client, stations, tmp_path, now, print, pause_seconds=0)
    assert [file.name for file in tmp_path.iterdir()] == ["denver.parquet"]

    fake_api.responses = [history()]
    fake_api.queries.clear()
    fetch_archive(client, stations, tmp_path, now, print, pause_seconds=0)
    assert {file.stem for file in tmp_path.iterdir()} == {station.station_id for station in stations}
    assert [float(query["latitude"]) for query in fake_api.queries] == [s.latitude for s in stations[1:]]
    table = pd.read_parquet(tmp_path / "miami.parquet")
    assert tuple(table.columns) == HISTORY_COLUMNS
    assert set(table["station_id"]) == {"miami"}


def test_an_old_archive_is_fetched_again(
    client: OpenMeteo, fake_api: FakeApi, stations: Stations, tmp_path: Path
) -> None:
    fake_api.responses = [history()]
    now = datetime.now(UTC)
    fetch_archive(client, stations[:1], tmp_path, now, print, pause_seconds=0)
    fetch_archive(client, stations[:1], tmp_path, now + MAX_AGE + timedelta(hours=1), print, pause_seconds=0)
    before, after = (query["end_date"] for query in fake_api.queries)
    assert before < after < now.date().isoformat()


@pytest.mark.parametrize(
    "failure",
    [
        error_response(400, "No data is available for this location"),
        ok_response({"error": True, "reason": "Something went wrong."}),
        history(utc_offset_seconds=28800),
    ],
    ids=["rejected", "error with status 200", "contradicting time zone"],
)
def test_a_station_without_usable_history_is_skipped_with_a_warning_and_keeps_its_earlier_file(
    client: OpenMeteo, fake_api: FakeApi, stations: Stations, tmp_path: Path, failure: tuple[int, str]
) -> None:
    now = datetime.now(UTC)
    fake_api.responses = [history()]
    fetch_archive(client, stations, tmp_path, now, print, pause_seconds=0)
    earlier = (tmp_path / "boston.parquet").read_bytes()
    fake_api.queries.clear()
    fake_api.responses = [history(), failure, history()]
    lines: list[str] = []
    fetch_archive(client, stations, tmp_path, now + MAX_AGE + timedelta(hours=1), lines.append, pause_seconds=0)
    assert (tmp_path / "boston.parquet").read_bytes() == earlier
    (warning,) = (line for line in lines if line.startswith("WARNING"))
    assert warning.startswith("WARNING: 2 of 3: ")
    assert "Boston" in warning
    assert len(fake_api.queries) == 3


def test_without_usable_history_of_any_station_the_download_fails(
    client: OpenMeteo, fake_api: FakeApi, stations: Stations, tmp_path: Path
) -> None:
    fake_api.responses = [error_response(400, "Invalid date")]
    with pytest.raises(ApiRequestError, match="Invalid date"):
        fetch_archive(client, stations, tmp_path, datetime.now(UTC), print, pause_seconds=0)
    assert list(tmp_path.iterdir()) == []


def test_a_refused_variable_is_logged_and_the_others_are_kept(
    client: OpenMeteo, fake_api: FakeApi, stations: Stations, tmp_path: Path
) -> None:
    content = location(past_hours=3, time=LAST_HOUR)
    content["hourly_units"]["wind_speed_10m"] = "km/h"
    fake_api.responses = [ok_response(content)]
    lines: list[str] = []
    fetch_archive(client, stations[:1], tmp_path, datetime.now(UTC), lines.append, pause_seconds=0)
    table = pd.read_parquet(tmp_path / "denver.parquet")
    assert table["wind_speed"].isna().all()
    assert (table["temperature"] == VALUES["temperature_2m"]).all()
    (warning,) = (line for line in lines if line.startswith("WARNING"))
    assert "hourly.wind_speed_10m" in warning


def test_a_year_is_requested_that_ends_six_days_ago_with_a_pause_between_stations(
    client: OpenMeteo,
    fake_api: FakeApi,
    stations: Stations,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(history_download.time, "sleep", pauses.append)
    fake_api.responses = [history()]
    now = datetime.now(UTC)
    fetch_archive(client, stations, tmp_path, now, print, pause_seconds=7)
    assert pauses == [7] * (len(stations) - 1)
    [(start, end)] = {(query["start_date"], query["end_date"]) for query in fake_api.queries}
    last = now.date() - timedelta(days=6)
    assert (start, end) == ((last - timedelta(days=364)).isoformat(), last.isoformat())
    table = tmp_path / f"{stations[0].station_id}.parquet"
    for age, fresh in ((MAX_AGE - timedelta(seconds=1), True), (MAX_AGE, False)):
        os.utime(table, times=2 * (now.timestamp() - age.total_seconds(),))
        assert history_download._is_fresh(table, now) == fresh
