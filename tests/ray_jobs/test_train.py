"""Training on a real local Ray, from prepared history to champions that load and forecast."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ray_jobs import train
from ray_jobs.training.folder import code_version
from tests.ray_heads import init_ray
from tests.synthetic_history import history
from weatherglass.anomaly.detector import AnomalyDetector
from weatherglass.forecast.boosted_trees import BoostedForecaster
from weatherglass.forecast.presets import ModelSize
from weatherglass.history.grid import HourGrid
from weatherglass.history.prepared import Manifest, write_manifest, write_stations
from weatherglass.meteorology import wind_direction
from weatherglass.records import LEADS, VARIABLES, Method
from weatherglass.registry.catalog import registered_models
from weatherglass.registry.registry import ANOMALY_DETECTOR, FORECASTER, ModelVersion, Registry
from weatherglass.settings import Settings, Source
from weatherglass.store.promotions import Action

NOW = datetime(2026, 1, 5, tzinfo=UTC)
TINY = ModelSize(cases=1500, trees=15, leaves=15, learning_rate=0.2, spread_trees=3, calibration_cases=1000)


def prepare(grid: HourGrid, folder: Path) -> None:
    """Lay a grid down as prepared history."""
    count, hours, _ = grid.values.shape
    t, h, p, u, v, told = grid.values.reshape(-1, 6).T.astype(float)
    table = pd.DataFrame(
        {
            "station_id": np.repeat([station.station_id for station in grid.stations], hours),
            "hour": pd.to_datetime(np.tile(grid.hours, count)).tz_localize("UTC"),
            "temperature": t,
            "humidity": h,
            "pressure": p,
            "wind_speed": np.where(np.isnan(told), np.hypot(u, v), told),
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
        init_ray(Path(folder))
        yield
        ray.shutdown()


@pytest.fixture
def replayed(settings: Settings) -> Settings:
    return settings.model_copy(update={"source": Source.OPEN_METEO})


@pytest.fixture
def tiny(replayed: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A history is prepared, and a first model is tiny."""
    monkeypatch.setitem(train.SIZES, "first", TINY)
    monkeypatch.setitem(train.TEST_CASES, "first", 300)
    monkeypatch.setitem(train.STEP_LIMIT, "first", 150.0)
    prepare(history(days=120), replayed.history_dir)
    return replayed


class Killed(BaseException):
    """The training's process is no more: nobody catches this."""


@pytest.mark.integration
@pytest.mark.timeout(1800)  # three trainings, any step of which may hang to its limit and be begun anew
def test_from_history_to_champions(local_ray: None, tiny: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed near its end, taken up again, and once more from the start: the same model, registered with its record."""
    said: list[str] = []

    def say_until_killed(line: str) -> None:
        print(line)
        said.append(line)
        if line.startswith("13 of 17 parts"):
            raise Killed

    with pytest.raises(Killed):
        train.run(tiny, "first", "a test", NOW, say_until_killed)
    (folder,) = (path for path in (tiny.state_dir / "training").iterdir() if path.is_dir())
    finished = {file.name: file.stat().st_mtime_ns for file in folder.glob("*.pickle")}
    assert len(finished) >= 13
    assert registered_models(tiny) == [], "a training that fails changes nothing"
    assert Registry(tiny).promotions() == []

    said.clear()
    with monkeypatch.context() as patch:
        patch.setattr(train, "COMPARED", ("first",))
        versions = train.run(tiny, "first", "a test", NOW + timedelta(hours=1), say_seeing(said, folder, finished))
    assert any(line.startswith("| harmonic arma |") for line in said)
    assert any("found finished" in line and "temperature-01-03" in line for line in said)
    assert sum("leads" in line and "damped anomaly" in line for line in said) <= 4, "only what was missing was fitted"
    assert not folder.exists(), "nothing is left of a training that is done"

    registry = Registry(tiny)
    forecaster, detector = registry.champion(FORECASTER), registry.champion(ANOMALY_DETECTOR)
    assert forecaster is not None
    assert detector is not None
    assert {FORECASTER: forecaster.version, ANOMALY_DETECTOR: detector.version} == versions
    made = BoostedForecaster.load(forecaster.folder).forecast(history(days=120), [0, 1, 2], [2000] * 3)
    assert set(made.methods) == {Method.MODEL}
    assert AnomalyDetector.load(detector.folder).learnt is not None
    assert any("there was no champion" in line for line in said)
    check_record(tiny, forecaster)

    # The same data and seed make the same model: it is registered, but no better than the champion.
    again = train.run(tiny, "first", "a test", NOW, said.append)
    other = registry.version(FORECASTER, again[FORECASTER])
    assert other is not None
    assert other.version != forecaster.version
    for file in [*forecaster.folder.glob("*.txt"), forecaster.folder / "arrays.npz"]:
        assert (other.folder / file.name).read_bytes() == file.read_bytes(), file.name
    kept = registry.champion(FORECASTER)
    assert kept is not None
    assert kept.version == forecaster.version
    assert any("not better beyond chance than champion" in line for line in said)
    assert [p.who for p in registry.promotions() if p.kind == FORECASTER and p.action == Action.PROMOTE] == ["a test"]
    challenger = registry.challenger(FORECASTER)
    assert challenger is not None
    assert challenger.version == other.version


def say_seeing(said: list[str], folder: Path, finished: dict[str, int]) -> Callable[[str], None]:
    """Notes lines, and that what was finished is not written anew as long as the training runs."""

    def say(line: str) -> None:
        print(line)
        said.append(line)
        for name, at in finished.items():
            assert (folder / name).stat().st_mtime_ns == at, name

    return say


def check_record(settings: Settings, forecaster: ModelVersion) -> None:
    """What the registry keeps of a run: parameters, data, code, metrics by lead and variable, plots, card."""
    (known,) = (one for one in registered_models(settings) if (one.kind, one.version) == (FORECASTER, forecaster.version))
    assert known.tags["data_fingerprint"] == "fingerprint"
    assert "| seasonal naive |" in known.tags["candidates"]
    assert known.tags["code_version"] == code_version()
    assert known.params["trees"] == str(TINY.trees)
    assert {
        f"mae.{who}.{variable}.lead{lead:02d}"
        for who in ("model", "persistence")
        for variable in VARIABLES
        for lead in LEADS
    } <= set(known.metrics)
    kept = {path.name for path in (settings.artifacts_dir / "runs").rglob("*") if path.is_file()}
    assert {"model.json", "card.md", "error-by-lead.png", "coverage-by-lead.png", "environment.txt"} <= kept
    card = (forecaster.folder / "card.md").read_text()
    assert "fingerprint" in card
    assert "Not for warnings" in card


def test_without_history_the_words_say_what_to_run(replayed: Settings) -> None:
    with pytest.raises(train.TrainingError, match="prepare_history"):
        train.run(replayed, "first", "a test", NOW, print)


@pytest.mark.integration
def test_a_short_history_is_refused_in_words(local_ray: None, replayed: Settings) -> None:
    prepare(history(days=20), replayed.history_dir)
    with pytest.raises(train.TrainingError, match="20 days"):
        train.run(replayed, "first", "a test", NOW, print)


@pytest.mark.integration
def test_a_step_that_hangs_is_ended_and_begun_anew(
    local_ray: None, replayed: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its reading of the stations blocks, until what it reads is whole again; the log tells where it stood."""
    monkeypatch.setitem(train.STEP_LIMIT, "first", 40.0)
    monkeypatch.setattr(train, "PULSE", 1.0)
    prepare(history(days=20), replayed.history_dir)
    stations = replayed.history_dir / "stations.json"
    whole = stations.rename(stations.with_suffix(".whole"))
    os.mkfifo(stations)
    said: list[str] = []

    def say(line: str) -> None:
        said.append(line)
        if "hung" in line and whole.exists():
            whole.replace(stations)

    with pytest.raises(train.TrainingError, match="20 days"):
        train.run(replayed, "first", "a test", NOW, say)
    hung = [line for line in said if "the step ground hung" in line]
    assert hung
    assert "read_stations" in hung[0]
    assert any(line.startswith("waiting for ground (") for line in said), "meanwhile it tells what it waits for"


def test_a_ray_that_does_not_answer_is_said_at_once(replayed: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    with pytest.raises(train.TrainingError, match=str(replayed.ray_port)):
        train.connect(replayed)
