"""Training on a real local Ray, from prepared history to champions that load and forecast."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ray_jobs import train
from tests.synthetic_history import history
from weatherglass.history import HourGrid, Manifest, wind_direction, write_manifest, write_stations
from weatherglass.models.anomaly import AnomalyDetector
from weatherglass.models.boosted import BoostedForecaster
from weatherglass.models.fitting import Size
from weatherglass.models.registry import ANOMALY_DETECTOR, FORECASTER, Registry
from weatherglass.records import Method
from weatherglass.settings import Settings, Source

NOW = datetime(2026, 1, 5, tzinfo=UTC)
TINY = Size(cases=1500, trees=15, leaves=15, learning_rate=0.2, spread_trees=3, calibration_cases=1000)


def prepare(grid: HourGrid, folder: Path) -> None:
    """Lay a grid down as prepared history."""
    count, hours, _ = grid.values.shape
    t, h, p, u, v = grid.values.reshape(-1, 5).T.astype(float)
    table = pd.DataFrame(
        {
            "station_id": np.repeat([station.station_id for station in grid.stations], hours),
            "hour": pd.to_datetime(np.tile(grid.hours, count)).tz_localize("UTC"),
            "temperature": t,
            "humidity": h,
            "pressure": p,
            "wind_speed": np.hypot(u, v),
            "wind_direction": wind_direction(u, v),
            "source": "made-up",
        }
    )
    (folder / "observations" / "year=2014").mkdir(parents=True)
    table.to_parquet(folder / "observations" / "year=2014" / "part.parquet")
    write_stations(folder, grid.stations)
    first, last = str(grid.hours[0]), str(grid.hours[-1])
    write_manifest(folder, Manifest("made-up", "fingerprint", first, last, len(table), count))


@pytest.fixture(scope="module")
def local_ray() -> Iterator[None]:
    import ray

    with tempfile.TemporaryDirectory(prefix="wg", ignore_cleanup_errors=True) as folder:
        ray.init(
            num_cpus=2,
            include_dashboard=False,
            _temp_dir=folder,
            object_store_memory=100_000_000,
            log_to_driver=False,
        )
        yield
        ray.shutdown()


@pytest.fixture
def replayed(settings: Settings) -> Settings:
    return settings.model_copy(update={"source": Source.OPEN_METEO})


@pytest.mark.integration
def test_from_history_to_champions(local_ray: None, replayed: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(train.SIZES, "first", TINY)
    monkeypatch.setitem(train.TEST_CASES, "first", 300)
    grid = history(days=120)
    prepare(grid, replayed.history_dir)
    said: list[str] = []
    versions = train.run(replayed, "first", "a test", NOW, said.append)
    registry = Registry(replayed)
    forecaster, detector = registry.champion(FORECASTER), registry.champion(ANOMALY_DETECTOR)
    assert forecaster is not None
    assert detector is not None
    assert {FORECASTER: forecaster.version, ANOMALY_DETECTOR: detector.version} == versions
    assert forecaster.tags["data_fingerprint"] == "fingerprint"
    made = BoostedForecaster.load(forecaster.folder).forecast(grid, [0, 1, 2], [2000] * 3)
    assert set(made.methods) == {Method.MODEL}
    assert AnomalyDetector.load(detector.folder).oddness is not None
    assert any("leads 9-16 h" in line and "damped anomaly" in line for line in said)
    assert any("there was no champion" in line for line in said)
    # The same data and seed make the same model: it is registered, but no better than the champion.
    again = train.run(replayed, "first", "a test", NOW, said.append)
    assert again[FORECASTER] != versions[FORECASTER]
    kept = registry.champion(FORECASTER)
    assert kept is not None
    assert kept.version == versions[FORECASTER]
    assert any("not better than champion" in line for line in said)
    assert [p.who for p in registry.promotions() if p.kind == FORECASTER] == ["a test"]


def test_without_history_the_words_say_what_to_run(replayed: Settings) -> None:
    with pytest.raises(train.TrainingError, match="prepare_history"):
        train.run(replayed, "first", "a test", NOW, print)


def test_a_short_history_is_refused_in_words(replayed: Settings) -> None:
    prepare(history(days=20), replayed.history_dir)
    with pytest.raises(train.TrainingError, match="20 days"):
        train.run(replayed, "first", "a test", NOW, print)


def test_a_ray_that_does_not_answer_is_said_at_once(replayed: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    with pytest.raises(train.TrainingError, match=str(replayed.ray_port)):
        train.connect(replayed)
