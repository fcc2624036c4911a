from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.weatherglass.conftest import Model
from weatherglass.forecast.boosted_trees import HISTORY_CLASSES, KIND, BoostedForecaster, TreeModel
from weatherglass.forecast.features import case_features, model_inputs
from weatherglass.forecast.forecaster import LEVELS, Forecast
from weatherglass.forecast.presets import LEAD_GROUPS
from weatherglass.forecast.splits import base_hours
from weatherglass.history.grid import GRID_VARIABLES, HourGrid
from weatherglass.qc.limits import RANGE_LIMITS
from weatherglass.records import LEADS, VARIABLES, Method
from weatherglass.registry import artifact
from weatherglass.registry.arrays import load_arrays, save_arrays
from weatherglass.verification.held_out_scores import evaluate


def assert_valid(forecast: Forecast, count: int) -> None:
    """Assert what every forecast must satisfy, whatever the past is."""
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
    all_values = np.stack([forecast.values, *forecast.lower.values(), *forecast.upper.values()])
    for axis, name in enumerate(VARIABLES):
        assert (all_values[..., axis] >= RANGE_LIMITS[name].low).all()
        assert (all_values[..., axis] <= RANGE_LIMITS[name].high).all()


def with_values(grid: HourGrid, values: np.ndarray) -> HourGrid:
    return HourGrid(grid.stations, grid.start, values)


def test_values_after_the_base_hour_have_no_influence(model: Model) -> None:
    base = int(base_hours(model.split.test)[40])
    later = model.grid.values.copy()
    later[:, base + 1 :] += 50
    rows, at = [0, 1, 2], [base] * 3
    before = model.forecaster.forecast(model.grid, rows, at)
    after = model.forecaster.forecast(with_values(model.grid, later), rows, at)
    np.testing.assert_array_equal(before.values, after.values)
    np.testing.assert_array_equal(before.upper[0.9], after.upper[0.9])


def test_the_value_of_the_base_hour_has_influence(model: Model) -> None:
    base = int(base_hours(model.split.test)[40])
    earlier = model.grid.values.copy()
    earlier[:, base] += 3
    before = model.forecaster.forecast(model.grid, [0], [base])
    after = model.forecaster.forecast(with_values(model.grid, earlier), [0], [base])
    assert not np.array_equal(before.values, after.values)


def test_a_long_grid_and_a_short_buffer_give_the_same_forecast(model: Model) -> None:
    base = int(base_hours(model.split.test)[40])
    first = base - 72
    buffer = HourGrid(model.grid.stations, model.grid.start + first, model.grid.values[:, first : base + 1])
    whole = model.forecaster.forecast(model.grid, [2, 0], [base, base])
    short = model.forecaster.forecast(buffer, [2, 0], [72, 72])
    np.testing.assert_array_equal(whole.values, short.values)
    np.testing.assert_array_equal(whole.base_hours, short.base_hours)


@pytest.mark.parametrize("hours", [1, 2, 6, 24])
def test_a_short_past_gives_valid_forecasts_by_the_model(model: Model, hours: int) -> None:
    base = int(base_hours(model.split.test)[0])
    values = model.grid.values.copy()
    values[:, : base - hours + 1] = np.nan
    forecast = model.forecaster.forecast(with_values(model.grid, values), [0, 1, 2], [base] * 3)
    assert_valid(forecast, 3)
    assert set(forecast.methods) == {Method.MODEL}
    assert forecast.history_hours.tolist() == [hours] * 3


def test_random_gaps_give_valid_forecasts(model: Model) -> None:
    rng = np.random.default_rng(3)
    base = rng.choice(base_hours(model.split.test), 60)
    for share in (0.1, 0.5, 0.95):
        values = model.grid.values.copy()
        values[rng.random(values.shape) < share] = np.nan
        assert_valid(model.forecaster.forecast(with_values(model.grid, values), [0, 1, 2] * 20, base.tolist()), 60)


@pytest.mark.parametrize("end", ["low", "high"])
@pytest.mark.parametrize("axis", range(len(VARIABLES)), ids=VARIABLES)
def test_the_forecast_of_a_sensor_at_its_range_limit_stays_within_the_limits(model: Model, axis: int, end: str) -> None:
    """A forecast outside the limits would fail the whole batch of stations."""
    bases = base_hours(model.split.test)[::200].tolist()
    values = model.grid.values.copy()
    column = axis if axis < 3 else GRID_VARIABLES.index("wind_speed")
    for base in bases:
        values[:, base - 5 : base + 1, column] = getattr(RANGE_LIMITS[VARIABLES[axis]], end)
    if VARIABLES[axis] == "temperature":
        values[..., 1] = np.nan  # otherwise the humidity would contradict the dew point
    for grid in (with_values(model.grid, values), with_unseen_station(with_values(model.grid, values))):
        assert_valid(model.forecaster.forecast(grid, [1] * len(bases), bases), len(bases))


def test_an_old_value_gives_the_damped_anomaly_and_a_very_old_one_the_climatology(model: Model) -> None:
    base = int(base_hours(model.split.test)[0])
    for silent in (6, 40):
        values = model.grid.values.copy()
        values[:, base - silent + 1 : base + 1] = np.nan
        forecast = model.forecaster.forecast(with_values(model.grid, values), [1], [base])
        assert_valid(forecast, 1)
        assert forecast.methods == (Method.DAMPED_ANOMALY,)
    normal = model.forecaster.climatology.at_pairs(np.array([1]), model.grid.start + np.array([base + 24]))[0]
    assert forecast.values[0, 23, 0] == pytest.approx(normal[0], abs=1e-3)


def with_unseen_station(grid: HourGrid, **changes: object) -> HourGrid:
    """Return the grid with its middle station under an id that the model does not know."""
    stations = list(grid.stations)
    stations[1] = replace(stations[1], station_id="unseen", **changes)
    return HourGrid(tuple(stations), grid.start, grid.values)


def test_the_forecast_of_an_unseen_station_is_better_than_persistence(model: Model) -> None:
    unseen = with_unseen_station(model.grid)
    base = base_hours(model.split.test)[::5]
    forecast = model.forecaster.forecast(unseen, [1] * len(base), base.tolist())
    assert_valid(forecast, len(base))
    assert set(forecast.methods) == {Method.MODEL}
    truth = model.grid.values[1, base[:, None] + np.array(LEADS), 0]
    error = np.abs(forecast.values[..., 0] - truth).mean(axis=0)
    persistence = np.abs(model.grid.values[1, base, 0][:, None] - truth).mean(axis=0)
    assert error[5:20].mean() < persistence[5:20].mean()


def test_values_after_the_base_hour_have_no_influence_on_an_unseen_station(model: Model) -> None:
    base = int(base_hours(model.split.test)[40])
    unseen = with_unseen_station(model.grid)
    later = model.grid.values.copy()
    later[:, base + 1 :] += 50
    one = model.forecaster.forecast(unseen, [1], [base])
    two = model.forecaster.forecast(HourGrid(unseen.stations, unseen.start, later), [1], [base])
    np.testing.assert_array_equal(one.values, two.values)


@pytest.mark.parametrize("place", [{"latitude": -30.0}, {"latitude": float("nan"), "longitude": float("nan")}])
def test_an_unseen_station_that_is_far_away_or_without_coordinates_gets_persistence(
    model: Model, place: dict[str, float]
) -> None:
    forecast = model.forecaster.forecast(with_unseen_station(model.grid, **place), [1, 0], [1000, 1000])
    assert_valid(forecast, 2)
    assert forecast.methods == (Method.PERSISTENCE, Method.MODEL)
    assert forecast.values[0, :, 0] == pytest.approx(float(model.grid.values[1, 1000, 0]))


class ConstantBooster:
    """A stand-in for a LightGBM model that predicts the same value for every row."""

    def __init__(self, value: float):
        self.value = value

    def predict(self, matrix: np.ndarray, num_threads: int) -> np.ndarray:
        return np.full(len(matrix), self.value)


@pytest.mark.parametrize("station", [1, 2])
def test_a_forecast_is_the_sum_of_its_components_and_the_interval_the_scaled_spread(model: Model, station: int) -> None:
    """Temperature of a station with 72 h of past, which is the class of 24 h; the residual is 2 and the spread 0.5."""
    leads, base = LEAD_GROUPS[1], int(base_hours(model.split.test)[40])
    rng = np.random.default_rng(1)
    quantiles = np.sort(rng.uniform(1, 4, (len(HISTORY_CLASSES), len(leads), len(LEVELS))), axis=2)
    shrinkage, weight = rng.uniform(size=len(leads)), rng.uniform(size=(2, len(leads)))
    station_spread = np.array([0.8, 1.5, 2.5])
    trees = TreeModel(
        0, leads, ConstantBooster(2.0), ConstantBooster(0.1), 0.5, quantiles, shrinkage, station_spread, weight
    )
    forecaster = replace(model.forecaster, tree_models=(trees,))
    forecast = forecaster.forecast(model.grid, [station], [base])
    hours = model.grid.start + base + np.array([0, *leads])
    normal = forecaster.climatology.at(np.array([station]), hours)[0, :, 0].astype(float)
    value = float(model.grid.values[station, base, 0])
    inputs = model_inputs(model.grid, forecaster.climatology, regression=forecaster.regression)
    linear = case_features(inputs, forecaster.damping, np.array([station]), np.array([base])).linear
    for i, lead in enumerate(leads):
        damped = forecaster.damping.rho[station, lead, 0] * (value - normal[0])
        without_persistence = normal[i + 1] + damped + linear[0, lead - 1, 0] + 2 * shrinkage[i]
        expected = (1 - weight[0, i]) * without_persistence + weight[0, i] * value
        assert forecast.values[0, lead - 1, 0] == pytest.approx(expected, abs=1e-3)
        for k, level in enumerate(LEVELS):
            half = 0.5 * station_spread[station] * quantiles[2, i, k]
            assert forecast.upper[level][0, lead - 1, 0] - expected == pytest.approx(half, abs=1e-3)
            assert expected - forecast.lower[level][0, lead - 1, 0] == pytest.approx(half, abs=1e-3)
    unseen = forecaster.forecast(with_unseen_station(model.grid), [1], [base])
    half = unseen.upper[0.9][0, 5, 0] - unseen.values[0, 5, 0]
    assert half == pytest.approx(0.5 * 1.25 * quantiles[2, 2, 1], abs=1e-3)


def test_the_interval_of_a_short_past_has_the_quantiles_of_its_history_class(model: Model) -> None:
    leads, base = LEAD_GROUPS[0], int(base_hours(model.split.test)[40])
    quantiles = np.arange(1.0, 5.0)[:, None, None] * np.ones((1, len(leads), len(LEVELS)))
    neutral, none = np.ones(len(leads)), np.zeros((2, len(leads)))
    trees = TreeModel(0, leads, ConstantBooster(0.0), ConstantBooster(1.0), 0.5, quantiles, neutral, np.ones(3), none)
    forecaster = replace(model.forecaster, tree_models=(trees,))
    for hours, expected in [(1, 1), (5, 1), (6, 2), (23, 2), (24, 3), (72, 3)]:
        values = model.grid.values.copy()
        values[1, : base - hours + 1] = np.nan
        forecast = forecaster.forecast(with_values(model.grid, values), [1], [base])
        assert forecast.upper[0.8][0, 0, 0] - forecast.values[0, 0, 0] == pytest.approx(expected)


def test_the_interval_of_the_damped_anomaly_is_that_of_its_age_plus_lead(model: Model) -> None:
    base = int(base_hours(model.split.test)[40])
    for silent in (6, 40):
        values = model.grid.values.copy()
        values[1, base - silent + 1 : base + 1] = np.nan
        forecast = model.forecaster.forecast(with_values(model.grid, values), [1], [base])
        half = forecast.upper[0.8][0, :, 0] - forecast.values[0, :, 0]
        lag = np.minimum(np.array(LEADS) + min(silent, 12), 36)
        np.testing.assert_allclose(half, model.forecaster.damped_error[lag, 0, 0])


def test_no_rows_give_an_empty_forecast(model: Model) -> None:
    assert model.forecaster.forecast(model.grid, [], []).values.shape == (0, len(LEADS), len(VARIABLES))


def test_on_test_hours_the_error_is_below_that_of_persistence_and_damped_anomaly(model: Model) -> None:
    f = model.forecaster
    scores = evaluate(model.grid, model.split.test, f, f.climatology, f.damping, 1500)
    assert scores.cases > 500
    temperature = scores.mae["model"][:, 0]
    assert (temperature < scores.mae["persistence"][:, 0])[5:].all()
    # The weather reaches the downwind stations some hours later, which the damped anomaly cannot predict.
    assert temperature[3:12].mean() < 0.9 * scores.mae["damped_anomaly"][3:12, 0].mean()


def test_a_saved_and_loaded_model_gives_the_same_forecasts(model: Model, tmp_path: Path) -> None:
    model.forecaster.save(tmp_path / "m")
    loaded = BoostedForecaster.load(tmp_path / "m")
    base = base_hours(model.split.test)[:20].tolist()
    one, two = (f.forecast(model.grid, [1] * 20, base) for f in (model.forecaster, loaded))
    np.testing.assert_array_equal(one.values, two.values)
    for level in LEVELS:
        np.testing.assert_array_equal(one.lower[level], two.lower[level])
        np.testing.assert_array_equal(one.upper[level], two.upper[level])


@pytest.mark.parametrize("name", ["arrays.npz", "temperature-01-03.residual.txt", "pressure-17-24.spread.txt"])
def test_a_changed_or_missing_file_is_an_error_that_names_it(model: Model, tmp_path: Path, name: str) -> None:
    model.forecaster.save(tmp_path / "m")
    path = tmp_path / "m" / name
    path.write_bytes(path.read_bytes() + b"\n")
    with pytest.raises(artifact.ModelFileError, match=name):
        BoostedForecaster.load(tmp_path / "m")
    path.unlink()
    with pytest.raises(artifact.ModelFileError, match=name):
        BoostedForecaster.load(tmp_path / "m")


def test_a_pickle_in_the_arrays_is_never_executed(model: Model, tmp_path: Path) -> None:
    folder, marker = tmp_path / "m", tmp_path / "executed"

    class Payload:
        def __reduce__(self) -> tuple[object, tuple[object, ...]]:
            return (Path.touch, (marker,))

    model.forecaster.save(folder)
    arrays = load_arrays(folder / "arrays.npz")
    arrays["rho"] = np.array([Payload()], dtype=object)
    save_arrays(folder / "arrays.npz", arrays)

    about = json.loads((folder / "model.json").read_text())["about"]
    artifact.write_manifest(folder, "forecaster", about)
    with pytest.raises(artifact.ModelFileError, match="arrays"):
        BoostedForecaster.load(folder)
    assert not marker.exists()


def test_an_empty_folder_is_an_error_that_names_the_manifest(tmp_path: Path) -> None:
    with pytest.raises(artifact.ModelFileError, match=r"model\.json"):
        BoostedForecaster.load(tmp_path)


def test_a_model_of_another_format_is_an_error_that_names_both_formats(model: Model, tmp_path: Path) -> None:
    model.forecaster.save(tmp_path)
    manifest = json.loads((tmp_path / artifact.MANIFEST).read_text())
    manifest["format"] = artifact.FORMAT - 1
    (tmp_path / artifact.MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(artifact.ModelFileError, match=rf"{artifact.FORMAT - 1}\b.*\b{artifact.FORMAT}\b"):
        BoostedForecaster.load(tmp_path)


@pytest.mark.parametrize("entry", ["features", "levels"])
def test_a_model_with_other_features_or_levels_is_an_error(model: Model, tmp_path: Path, entry: str) -> None:
    model.forecaster.save(tmp_path)
    about = artifact.verify(tmp_path, KIND)
    artifact.write_manifest(tmp_path, KIND, {**about, entry: about[entry][::-1]})
    with pytest.raises(artifact.ModelFileError, match=tmp_path.name):
        BoostedForecaster.load(tmp_path)


def with_changed_array(
    folder: Path, name: str, change: Callable[[np.ndarray], np.ndarray] | None, about: dict[str, object]
) -> None:
    """Change or remove an array of a saved model; the manifest matches afterwards."""
    arrays = load_arrays(folder / "arrays.npz")
    if change is None:
        del arrays[name]
    else:
        arrays[name] = change(arrays[name])
    save_arrays(folder / "arrays.npz", arrays)
    artifact.write_manifest(folder, KIND, about)


def test_every_array_must_have_its_type_and_shape(model: Model, tmp_path: Path) -> None:
    replace(model.forecaster, tree_models=model.forecaster.tree_models[:1]).save(tmp_path)
    original, about = load_arrays(tmp_path / "arrays.npz"), artifact.verify(tmp_path, KIND)
    changes: tuple[Callable[[np.ndarray], np.ndarray] | None, ...] = (
        None,
        lambda array: array.astype(np.complex128),
        lambda array: np.concatenate([array, array]),
        lambda array: array[..., None],
        lambda array: np.concatenate([array, array], axis=-1),
    )
    for name in original:
        for change in changes:
            with_changed_array(tmp_path, name, change, about)
            with pytest.raises(artifact.ModelFileError) as raised:
                BoostedForecaster.load(tmp_path)
            assert raised.value.path == tmp_path / "arrays.npz"
            save_arrays(tmp_path / "arrays.npz", original)
    artifact.write_manifest(tmp_path, KIND, about)
    BoostedForecaster.load(tmp_path)


@pytest.mark.parametrize("row", [-1, 3])
def test_a_neighbour_outside_the_stations_is_an_error(model: Model, tmp_path: Path, row: int) -> None:
    model.forecaster.save(tmp_path)
    about = artifact.verify(tmp_path, KIND)
    with_changed_array(tmp_path, "regression.neighbours", lambda array: np.full_like(array, row), about)
    with pytest.raises(artifact.ModelFileError):
        BoostedForecaster.load(tmp_path)


INVALID_METADATA: dict[str, Callable[[dict[str, Any]], object]] = {
    "no stations": lambda about: about.update(stations=[]),
    "a station without elevation": lambda about: about["stations"][0].pop(),
    "an unknown variable": lambda about: about["tree_models"][0].update(variable=len(VARIABLES)),
    "a negative variable": lambda about: about["tree_models"][0].update(variable=-1),
    "a lead of 0": lambda about: about["tree_models"][0].update(leads=[0, 1]),
    "a lead above the last": lambda about: about["tree_models"][0].update(leads=[24, 25]),
    "leads with a gap": lambda about: about["tree_models"][0].update(leads=[1, 3]),
    "no leads": lambda about: about["tree_models"][0].update(leads=[]),
    "a spread of 0": lambda about: about["tree_models"][0].update(min_spread=0.0),
    "an infinite spread": lambda about: about["tree_models"][0].update(min_spread=float("inf")),
}


@pytest.mark.parametrize("change", INVALID_METADATA.values(), ids=INVALID_METADATA)
def test_invalid_metadata_is_an_error(model: Model, tmp_path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    model.forecaster.save(tmp_path)
    about = artifact.verify(tmp_path, KIND)
    change(about)
    artifact.write_manifest(tmp_path, KIND, about)
    with pytest.raises(artifact.ModelFileError):
        BoostedForecaster.load(tmp_path)


def test_the_trees_of_the_spread_are_not_accepted_as_those_of_the_residual(model: Model, tmp_path: Path) -> None:
    model.forecaster.save(tmp_path)
    about = artifact.verify(tmp_path, KIND)
    (tmp_path / "temperature-01-03.spread.txt").replace(tmp_path / "temperature-01-03.residual.txt")
    artifact.write_manifest(tmp_path, KIND, about)
    with pytest.raises(artifact.ModelFileError) as raised:
        BoostedForecaster.load(tmp_path)
    assert raised.value.path == tmp_path / "temperature-01-03.residual.txt"
