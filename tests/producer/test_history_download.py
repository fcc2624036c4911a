"""Download of history from the archive: resumable, and each file complete."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from producer.history_download import MAX_AGE, fetch_archive
from producer.open_meteo import OpenMeteo
from producer.open_meteo_schema import OpenMeteoError
from tests.producer.conftest import FakeOpenMeteo, error_response, location, ok_response
from weatherglass.history.prepared import HISTORY_COLUMNS
from weatherglass.stations import Station

Stations = tuple[Station, ...]


def history(**changed: Any) -> tuple[int, str]:
    content = location(past_quarter_hours=3)
    content["hourly"] = content.pop("minutely_15")
    del content["current"]
    return ok_response({**content, **changed})


def test_an_interrupted_download_resumes_with_the_next_station(
    client: OpenMeteo, fake_open_meteo: FakeOpenMeteo, stations: Stations, tmp_path: Path
) -> None:
    now = datetime.now(UTC)
    fake_open_meteo.responses = [history(), error_response(400, "no more today")]
    with pytest.raises(OpenMeteoError, match="no more today"):
        fetch_archive(client, stations, tmp_path, now, print, pause_seconds=0)
    assert [file.name for file in tmp_path.iterdir()] == ["denver.parquet"]

    fake_open_meteo.responses = [history()]
    fake_open_meteo.queries.clear()
    fetch_archive(client, stations, tmp_path, now, print, pause_seconds=0)
    assert {file.stem for file in tmp_path.iterdir()} == {station.station_id for station in stations}
    assert [float(query["latitude"]) for query in fake_open_meteo.queries] == [s.latitude for s in stations[1:]]
    table = pd.read_parquet(tmp_path / "miami.parquet")
    assert tuple(table.columns) == HISTORY_COLUMNS
    assert set(table["station_id"]) == {"miami"}


def test_an_old_archive_is_fetched_anew(
    client: OpenMeteo, fake_open_meteo: FakeOpenMeteo, stations: Stations, tmp_path: Path
) -> None:
    fake_open_meteo.responses = [history()]
    now = datetime.now(UTC)
    fetch_archive(client, stations[:1], tmp_path, now, print, pause_seconds=0)
    fetch_archive(client, stations[:1], tmp_path, now + MAX_AGE + timedelta(hours=1), print, pause_seconds=0)
    before, after = (query["end_date"] for query in fake_open_meteo.queries)
    assert before < after < now.date().isoformat()
