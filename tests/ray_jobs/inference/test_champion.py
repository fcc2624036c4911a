"""Models that change under the service: the real registry, and a small forecaster really fitted."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from ray_jobs.inference.actor import catalogue
from ray_jobs.inference.champion import NO_MODEL, Champions, fault
from tests.conftest import make_settings
from tests.ray_jobs.conftest import Feed, predictions, serving, until
from tests.ray_jobs.windows import START, leading, windows_of
from tests.synthetic_history import history
from weatherglass.history import write_stations
from weatherglass.models import climatology, damped, design, neighbours
from weatherglass.models.boosted import BoostedForecaster
from weatherglass.models.fallback import PersistenceForecaster
from weatherglass.models.forecast import LEVELS
from weatherglass.models.registry import FORECASTER, Registry
from weatherglass.records import LEADS, Method
from weatherglass.settings import Settings

GRID = history(days=60)
MINUTE = timedelta(minutes=1)


@pytest.fixture(scope="module")
def forecaster() -> BoostedForecaster:
    """A forecaster with no trees yet: the damped anomaly, fitted."""
    usual = climatology.fit(GRID)
    seen = design.view(GRID, usual)
    damping = damped.fit(seen.anomalies)
    errors = damped.error_quantiles(seen.anomalies, seen.rows, damping, LEVELS)
    return BoostedForecaster(usual, damping, errors, ())


def crown(settings: Settings, forecaster: BoostedForecaster, folder: Path) -> str:
    forecaster.save(folder)
    registry = Registry(settings)
    version = registry.register(FORECASTER, folder, {}, {}, {})
    registry.promote(FORECASTER, version, "the test", "to see it serve", {})
    return version


def mad(forecaster: BoostedForecaster) -> BoostedForecaster:
    """Its files are sound, and it forecasts heat that no thermometer has seen."""
    usual = forecaster.climatology
    return replace(forecaster, climatology=replace(usual, coefficients=usual.coefficients + 500.0))


def test_a_sound_forecast_has_no_fault_and_a_broken_one_is_named() -> None:
    forecast = PersistenceForecaster().forecast(GRID, [0, 1], [500, 600])
    assert fault(forecast) is None
    holed = forecast.values.copy()
    holed[1, 3, 2] = np.nan
    hot = forecast.values.copy()
    hot[0, :, 0] = 90.0
    wide = {level: np.full_like(hot, 1e4) for level in LEVELS}
    crossed = {**forecast.lower, 0.9: forecast.values + 1}
    assert "not finite" in (fault(replace(forecast, values=holed)) or "")
    assert "temperature" in (fault(replace(forecast, values=hot, upper=wide)) or "")
    assert "interval at 90%" in (fault(replace(forecast, lower=crossed)) or "")
    assert "shape" in (fault(replace(forecast, values=forecast.values[:, : len(LEADS) - 1])) or "")


def test_a_champion_is_taken_and_broken_ones_are_refused_once(
    forecaster: BoostedForecaster, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    settings = make_settings(tmp_path / "state")
    champions = Champions(Registry(settings))
    champions.refresh(GRID)
    assert champions.current.forecaster_version == NO_MODEL
    good = crown(settings, forecaster, tmp_path / "good")
    champions.refresh(GRID)
    assert champions.current.forecaster_version == good
    served = champions.current.forecaster

    bad = crown(settings, mad(forecaster), tmp_path / "mad")
    champions.refresh(GRID)
    damaged = crown(settings, forecaster, tmp_path / "damaged")
    folder = Registry(settings).champion(FORECASTER)
    assert folder is not None
    with (folder.folder / "arrays.npz").open("ab") as file:
        file.write(b"x")
    champions.refresh(GRID)
    champions.refresh(GRID)
    assert champions.current.forecaster is served
    refusals = [record.message for record in caplog.records if "refused" in record.message]
    assert len(refusals) == 2
    assert f"version {bad} is refused" in refusals[0]
    assert f"version {damaged} is refused" in refusals[1]


def test_a_registry_that_cannot_be_asked_changes_nothing(forecaster: BoostedForecaster, tmp_path: Path) -> None:
    settings = make_settings(tmp_path / "state")
    version = crown(settings, forecaster, tmp_path / "good")
    champions = Champions(Registry(settings))
    champions.refresh(GRID)
    (settings.state_dir / "mlflow.db").write_bytes(b"no database any more" * 100)
    champions.refresh(GRID)
    assert champions.current.forecaster_version == version
    assert Champions(Registry(settings)).current.forecaster_version == NO_MODEL


@pytest.mark.integration
def test_models_are_swapped_under_load_and_each_answer_says_who_made_it(
    serving_settings: Settings, feed: Feed, forecaster: BoostedForecaster, tmp_path: Path
) -> None:
    settings = serving_settings
    settings.history_dir.mkdir(parents=True)
    write_stations(settings.history_dir, GRID.stations)
    assert catalogue(settings)("s1") == GRID.stations[1]
    names = [station.station_id for station in GRID.stations] + ["nowhere-known"]
    first = crown(settings, forecaster, tmp_path / "first")
    with serving(settings) as (_, champions):
        for name in names:
            feed.send(windows_of(name, {START + timedelta(hours=h): 5.0 for h in range(-48, 1)}))
        stop = threading.Event()
        sent: list[int] = []

        def load() -> None:
            minute = 1
            while not stop.is_set():
                feed.send([leading(name, START + minute * MINUTE) for name in names])
                sent.append(minute)
                minute += 1
                stop.wait(0.05)

        def versions() -> set[str]:
            return {p.predictions.model_version for p in predictions(settings.bootstrap_servers)}

        loading = threading.Thread(target=load)
        loading.start()
        try:
            until(lambda: first in versions(), "the first serves")
            second = crown(settings, forecaster, tmp_path / "second")
            champions.refresh(GRID)
            until(lambda: second in versions(), "the second serves")
            crown(settings, mad(forecaster), tmp_path / "mad")
            champions.refresh(GRID)
            seen = len(predictions(settings.bootstrap_servers))
            until(lambda: len(predictions(settings.bootstrap_servers)) > seen + 8, "the second serves on")
        finally:
            stop.set()
            loading.join()
        newest = START + sent[-1] * MINUTE
        until(
            lambda: (
                {(n, newest) for n in names}
                <= {(p.station_id, p.timestamp) for p in predictions(settings.bootstrap_servers)}
            ),
            "all answered",
        )
    made = predictions(settings.bootstrap_servers)
    assert len({(p.station_id, p.timestamp) for p in made}) == len(made), "an answer came twice"
    assert {p.predictions.model_version for p in made} == {first, second}
    for name in names:
        order = [p.predictions.model_version for p in made if p.station_id == name]
        assert order == sorted(order, key=[first, second].index), "versions change once, and not back"
    methods = {p.station_id: p.predictions.method for p in made}
    assert methods.pop("nowhere-known") is Method.PERSISTENCE
    assert set(methods.values()) == {Method.MODEL}


def test_a_station_of_unknown_place_does_not_touch_the_others() -> None:
    """The stream may bring any station; the catalogue then knows no coordinates for it."""
    unknown = catalogue(make_settings(Path("nowhere")))("nowhere-known")
    weights = neighbours.kernels((*GRID.stations, unknown))
    np.testing.assert_array_equal(weights[:, :-1, :-1], neighbours.kernels(GRID.stations))
    assert not weights[:, -1].any()
    assert not weights[:, :, -1].any()
