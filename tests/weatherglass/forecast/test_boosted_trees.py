from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from weatherglass.forecast import boosted_trees
from weatherglass.forecast.boosted_trees import BoostedForecaster
from weatherglass.forecast.forecaster import LEVELS, Forecast
from weatherglass.forecast.splits import base_hours
from weatherglass.history.grid import GRID_VARIABLES, HourGrid
from weatherglass.qc.observation_checks import LIMITS
from weatherglass.records import LEADS, VARIABLES, Method
from weatherglass.registry import artifact
from weatherglass.verification.held_out_scores import evaluate

Model = SimpleNamespace


def sound(forecast: Forecast, count: int) -> None:
    """What every forecast must satisfy, whatever the past looks like."""
    shape = (count, len(LEADS), len(VARIABLES))
    assert forecast.values.shape == shape
    assert np.isfinite(forecast.values).all()
    for level in LEVELS:
        assert np.isfinite(forecast.lower[level]).all()
        assert np.isfinite(forecast.upper[level]).all()
        assert (forecast.lower[level] <= forecast.values).all()
        assert (forecast.values <= forecast.upper[level]).all()
    assert (forecast.lower[0.9] <= forecast.lower[0.8] + 1e-9).all()
    assert (forecast.upper[0.9] >= forecast.upper[0.8] - 1e-9).all()
    everything = np.stack([forecast.values, *forecast.lower.values(), *forecast.upper.values()])
    for axis, name in enumerate(VARIABLES):
        assert (everything[..., axis] >= LIMITS[name].low).all()
        assert (everything[..., axis] <= LIMITS[name].high).all()


def holed(grid: HourGrid, values: np.ndarray) -> HourGrid:
    return HourGrid(grid.stations, grid.start, values)


def test_what_comes_after_the_base_hour_changes_nothing(model: Model) -> None:
    base = int(base_hours(model.parts.test)[40])
    later = model.grid.values.copy()
    later[:, base + 1 :] += 50
    rows, at = [0, 1, 2], [base] * 3
    before = model.forecaster.forecast(model.grid, rows, at)
    after = model.forecaster.forecast(holed(model.grid, later), rows, at)
    np.testing.assert_array_equal(before.values, after.values)
    np.testing.assert_array_equal(before.upper[0.9], after.upper[0.9])


def test_what_lies_before_the_base_hour_does_change_the_forecast(model: Model) -> None:
    base = int(base_hours(model.parts.test)[40])
    earlier = model.grid.values.copy()
    earlier[:, base] += 3
    before = model.forecaster.forecast(model.grid, [0], [base])
    assert not np.array_equal(before.values, model.forecaster.forecast(holed(model.grid, earlier), [0], [base]).values)


def test_a_long_grid_and_a_short_buffer_give_the_same_forecast(model: Model) -> None:
    base = int(base_hours(model.parts.test)[40])
    first = base - 72
    buffer = HourGrid(model.grid.stations, model.grid.start + first, model.grid.values[:, first : base + 1])
    whole = model.forecaster.forecast(model.grid, [2, 0], [base, base])
    short = model.forecaster.forecast(buffer, [2, 0], [72, 72])
    np.testing.assert_array_equal(whole.values, short.values)
    np.testing.assert_array_equal(whole.base_hours, short.base_hours)


@pytest.mark.parametrize("hours", [1, 2, 6, 24])
def test_little_past_still_gives_sound_forecasts_by_the_model(model: Model, hours: int) -> None:
    base = int(base_hours(model.parts.test)[0])
    values = model.grid.values.copy()
    values[:, : base - hours + 1] = np.nan
    forecast = model.forecaster.forecast(holed(model.grid, values), [0, 1, 2], [base] * 3)
    sound(forecast, 3)
    assert set(forecast.methods) == {Method.MODEL}
    assert forecast.history_hours.tolist() == [hours] * 3


def test_random_holes_never_break_a_forecast(model: Model) -> None:
    rng = np.random.default_rng(3)
    some = rng.choice(base_hours(model.parts.test), 60)
    for share in (0.1, 0.5, 0.95):
        values = model.grid.values.copy()
        values[rng.random(values.shape) < share] = np.nan
        sound(model.forecaster.forecast(holed(model.grid, values), [0, 1, 2] * 20, some.tolist()), 60)


@pytest.mark.parametrize("end", ["low", "high"])
@pytest.mark.parametrize("axis", range(len(VARIABLES)), ids=VARIABLES)
def test_a_sensor_at_the_end_of_its_range_is_not_forecast_beyond_it(model: Model, axis: int, end: str) -> None:
    """A batch holds many stations, and one with such a forecast would fail it for all of them."""
    some = base_hours(model.parts.test)[::200]
    values = model.grid.values.copy()
    column = axis if axis < 3 else GRID_VARIABLES.index("wind_speed")
    for base in some:
        values[:, base - 5 : base + 1, column] = getattr(LIMITS[VARIABLES[axis]], end)
    if VARIABLES[axis] == "temperature":
        values[..., 1] = np.nan  # else the dew point would be at odds with it, and the humidity left out
    for grid in (holed(model.grid, values), renamed(holed(model.grid, values))):
        sound(model.forecaster.forecast(grid, [1] * len(some), some.tolist()), len(some))


def test_a_past_that_is_too_old_falls_back_to_the_damped_anomaly_and_then_to_the_climatology(model: Model) -> None:
    base = int(base_hours(model.parts.test)[0])
    for silent in (6, 40):
        values = model.grid.values.copy()
        values[:, base - silent + 1 : base + 1] = np.nan
        forecast = model.forecaster.forecast(holed(model.grid, values), [1], [base])
        sound(forecast, 1)
        assert forecast.methods == (Method.DAMPED_ANOMALY,)
    usual = model.forecaster.climatology.at_pairs(np.array([1]), model.grid.start + np.array([base + 24]))[0]
    assert forecast.values[0, 23, 0] == pytest.approx(usual[0], abs=1e-3)


def renamed(grid: HourGrid, **changes: object) -> HourGrid:
    """The grid with its middle station under another name."""
    stations = list(grid.stations)
    stations[1] = replace(stations[1], station_id="stranger", **changes)
    return HourGrid(tuple(stations), grid.start, grid.values)


def test_a_station_nobody_knows_borrows_its_climate_and_beats_persistence(model: Model) -> None:
    stranger = renamed(model.grid)
    base = base_hours(model.parts.test)[::5]
    forecast = model.forecaster.forecast(stranger, [1] * len(base), base.tolist())
    sound(forecast, len(base))
    assert set(forecast.methods) == {Method.MODEL}
    truth = model.grid.values[1, base[:, None] + np.array(LEADS), 0]
    error = np.abs(forecast.values[..., 0] - truth).mean(axis=0)
    persistence = np.abs(model.grid.values[1, base, 0][:, None] - truth).mean(axis=0)
    assert error[5:20].mean() < persistence[5:20].mean()


def test_a_station_nobody_knows_sees_no_future(model: Model) -> None:
    base = int(base_hours(model.parts.test)[40])
    stranger = renamed(model.grid)
    later = model.grid.values.copy()
    later[:, base + 1 :] += 50
    one = model.forecaster.forecast(stranger, [1], [base])
    two = model.forecaster.forecast(HourGrid(stranger.stations, stranger.start, later), [1], [base])
    np.testing.assert_array_equal(one.values, two.values)


@pytest.mark.parametrize("place", [{"latitude": -30.0}, {"latitude": float("nan"), "longitude": float("nan")}])
def test_a_station_far_from_all_known_or_of_unknown_place_is_answered_by_persistence(
    model: Model, place: dict[str, float]
) -> None:
    forecast = model.forecaster.forecast(renamed(model.grid, **place), [1, 0], [1000, 1000])
    sound(forecast, 2)
    assert forecast.methods == (Method.PERSISTENCE, Method.MODEL)
    assert forecast.values[0, :, 0] == pytest.approx(float(model.grid.values[1, 1000, 0]))


def test_no_rows_no_forecasts(model: Model) -> None:
    assert model.forecaster.forecast(model.grid, [], []).values.shape == (0, len(LEADS), len(VARIABLES))


def test_it_beats_persistence_and_the_damped_anomaly_on_hours_it_has_not_seen(model: Model) -> None:
    f = model.forecaster
    scores = evaluate(model.grid, model.parts.test, f, f.climatology, f.damping, 1500)
    assert scores.cases > 500
    temperature = scores.mae["model"][:, 0]
    assert (temperature < scores.mae["persistence"][:, 0])[5:].all()
    # Stations downwind see the weather come: within its crossing the damped anomaly cannot keep up.
    assert temperature[3:12].mean() < 0.9 * scores.mae["damped_anomaly"][3:12, 0].mean()


def test_saved_and_loaded_it_answers_the_same(model: Model, tmp_path: Path) -> None:
    model.forecaster.save(tmp_path / "m")
    again = BoostedForecaster.load(tmp_path / "m")
    base = base_hours(model.parts.test)[:20].tolist()
    one, two = (f.forecast(model.grid, [1] * 20, base) for f in (model.forecaster, again))
    np.testing.assert_array_equal(one.values, two.values)
    for level in LEVELS:
        np.testing.assert_array_equal(one.lower[level], two.lower[level])
        np.testing.assert_array_equal(one.upper[level], two.upper[level])


@pytest.mark.parametrize("name", ["arrays.npz", "temperature-01-03.mean.txt", "pressure-17-24.spread.txt"])
def test_a_changed_or_missing_file_is_refused_by_name(model: Model, tmp_path: Path, name: str) -> None:
    model.forecaster.save(tmp_path / "m")
    path = tmp_path / "m" / name
    path.write_bytes(path.read_bytes() + b"\n")
    with pytest.raises(artifact.ModelFileError, match=name):
        BoostedForecaster.load(tmp_path / "m")
    path.unlink()
    with pytest.raises(artifact.ModelFileError, match=name):
        BoostedForecaster.load(tmp_path / "m")


def test_a_pickle_in_the_arrays_is_never_executed(model: Model, tmp_path: Path) -> None:
    folder, witness = tmp_path / "m", tmp_path / "executed"

    class Bomb:
        def __reduce__(self) -> tuple[object, tuple[object, ...]]:
            return (Path.touch, (witness,))

    model.forecaster.save(folder)
    arrays = artifact.load_arrays(folder / "arrays.npz")
    arrays["rho"] = np.array([Bomb()], dtype=object)
    artifact.save_arrays(folder / "arrays.npz", arrays)

    about = json.loads((folder / "model.json").read_text())["about"]
    artifact.write_manifest(folder, "forecaster", about)
    with pytest.raises(artifact.ModelFileError, match="arrays"):
        BoostedForecaster.load(folder)
    assert not witness.exists()


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(artifact.ModelFileError, match=r"model\.json is missing"):
        BoostedForecaster.load(tmp_path)


def test_a_model_of_an_earlier_version_is_refused_with_what_to_do(model: Model, tmp_path: Path) -> None:
    model.forecaster.save(tmp_path)
    about = artifact.verify(tmp_path, boosted_trees.KIND)
    arrays = artifact.load_arrays(tmp_path / "arrays.npz")
    artifact.save_arrays(tmp_path / "arrays.npz", {k: v for k, v in arrays.items() if k != "network.recall"})
    artifact.write_manifest(
        tmp_path, boosted_trees.KIND, {k: about[k] for k in ("features", "levels", "stations", "parts")}
    )
    with pytest.raises(artifact.ModelFileError, match="train a new model"):
        BoostedForecaster.load(tmp_path)
