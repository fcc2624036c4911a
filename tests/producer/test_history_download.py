"""Fetching history from the archive: resumable, whole or not at all."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from producer.history_download import FRESH, fetch_archive
from producer.open_meteo import OpenMeteo
from producer.open_meteo_schema import OpenMeteoError
from tests.producer.conftest import Play, error, good, location
from weatherglass.history.prepared import HISTORY_COLUMNS
from weatherglass.stations import Station

Stations = tuple[Station, ...]


def history(**changed: Any) -> tuple[int, str]:
    answer = location(past_quarters=3)
    answer["hourly"] = answer.pop("minutely_15")
    del answer["current"]
    return good({**answer, **changed})


def test_a_fetch_that_was_cut_off_goes_on_where_it_stopped(
    client: OpenMeteo, play: Play, stations: Stations, tmp_path: Path
) -> None:
    now = datetime.now(UTC)
    play.answers = [history(), error(400, "no more today")]
    with pytest.raises(OpenMeteoError, match="no more today"):
        fetch_archive(client, stations, tmp_path, now, print, pause_seconds=0)
    assert [file.name for file in tmp_path.iterdir()] == ["denver.parquet"]

    play.answers = [history()]
    play.asked.clear()
    fetch_archive(client, stations, tmp_path, now, print, pause_seconds=0)
    assert {file.stem for file in tmp_path.iterdir()} == {station.station_id for station in stations}
    assert [float(query["latitude"]) for query in play.asked] == [s.latitude for s in stations[1:]]
    table = pd.read_parquet(tmp_path / "miami.parquet")
    assert tuple(table.columns) == HISTORY_COLUMNS
    assert set(table["station_id"]) == {"miami"}


def test_an_old_archive_is_fetched_anew(client: OpenMeteo, play: Play, stations: Stations, tmp_path: Path) -> None:
    play.answers = [history()]
    now = datetime.now(UTC)
    fetch_archive(client, stations[:1], tmp_path, now, print, pause_seconds=0)
    fetch_archive(client, stations[:1], tmp_path, now + FRESH + timedelta(hours=1), print, pause_seconds=0)
    before, after = (query["end_date"] for query in play.asked)
    assert before < after < now.date().isoformat()
