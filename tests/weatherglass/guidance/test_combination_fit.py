from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest

from ray_jobs.training.guidance import fit_on
from tests.ray_jobs.small_models import without_trees
from tests.synthetic_history import history
from tests.weatherglass.guidance.records import runs_of
from weatherglass.forecast.boosted_trees import BoostedForecaster
from weatherglass.forecast.forecaster import LEVELS
from weatherglass.guidance.combination import GuidanceCombination
from weatherglass.guidance.combination_fit import MIN_DAYS, FittedCombination, TooLittleGuidance
from weatherglass.guidance.known_runs import KnownRuns
from weatherglass.history.grid import HourGrid
from weatherglass.records import LEADS, VARIABLES
from weatherglass.registry.arrays import save_arrays
from weatherglass.registry.artifact import MANIFEST, ModelFileError
from weatherglass.verification.hindcast import forecasts, recalibrated
from weatherglass.verification.score_rows import errors

pytestmark = pytest.mark.integration

STATIONS = 4
TRAINED_DAYS, LATER_DAYS = 35, 25


@cache
def model() -> BoostedForecaster:
    return without_trees()


@cache
def weather() -> HourGrid:
    return history(count=STATIONS, days=TRAINED_DAYS + LATER_DAYS, seed=21)


def fitted(**options: object) -> FittedCombination:
    grid = weather().part(0, 24 * TRAINED_DAYS)
    return fit_on(model(), grid, KnownRuns().with_records(runs_of(grid, range(STATIONS), **options), 0), False)


def later_errors(combination: GuidanceCombination, **options: object) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Mean absolute errors (leads, variables) on the later days by forecast, and the coverage (variables, levels)."""
    grid = weather()
    runs = KnownRuns().with_records(runs_of(grid, range(STATIONS), **options), 0)
    issued = recalibrated(forecasts(model(), "", grid), grid)
    late = (issued.base >= grid.hours[24 * TRAINED_DAYS]) & (issued.base < grid.hours[-48])
    issued = issued.select(np.flatnonzero(late))
    rows = np.array([int(name[1:]) for name in issued.station_ids])
    forecast = model().forecast(grid, rows.tolist(), grid.positions(issued.base).tolist())
    forecast = type(forecast)(
        **{**vars(forecast), "values": issued.values, "lower": issued.lower, "upper": issued.upper}
    )
    combined = combination.combine(forecast, grid, runs).forecast
    truth = issued.values - errors(issued, grid)
    known = runs.known([grid.stations[row] for row in rows], issued.base, False)
    assert known is not None
    made = {"combined": combined.values, "guidance": known.ahead[:, 0], "station": issued.values}
    inside = [
        ((combined.lower[level] <= truth) & (truth <= combined.upper[level])).mean(axis=(0, 1)) for level in LEVELS
    ]
    return {name: np.abs(values - truth).mean(axis=0) for name, values in made.items()}, np.stack(inside, axis=1)


def test_the_combined_forecast_is_better_than_the_guidance_and_the_station_on_later_days() -> None:
    result = fitted()
    mae, coverage = later_errors(result.model)
    best = np.minimum(mae["guidance"], mae["station"])
    # At no lead clearly worse than the better of both, and better on average of each variable.
    assert (mae["combined"] <= 1.05 * best).all()
    assert (
        mae["combined"].mean(axis=0) < 0.95 * np.minimum(*(mae[n].mean(axis=0) for n in ("guidance", "station")))
    ).all()
    assert (np.abs(coverage - np.array(LEVELS)) < 0.12).all()
    for v, name in enumerate(VARIABLES):
        scored = result.metrics()[f"mae_served.{name}"]
        assert scored == pytest.approx(mae["combined"][:, v].mean(), rel=0.5)


def test_guidance_without_skill_makes_no_forecast_worse() -> None:
    def noise(values: np.ndarray) -> np.ndarray:
        rng = np.random.default_rng(int(np.nansum(values)) % 2**31)
        usual = np.array([5.0, 60.0, 1005.0, 4.0])
        return usual + rng.normal(size=values.shape) * np.array([20.0, 15.0, 15.0, 1.5])

    mae, _ = later_errors(fitted(change=noise).model, change=noise)
    assert (mae["combined"] <= 1.03 * mae["station"]).all()
    assert (mae["combined"] == mae["station"]).mean() > 0.5


def test_each_variable_is_chosen_by_itself() -> None:
    """The guidance of the pressure is that of another place."""

    def high(values: np.ndarray) -> np.ndarray:
        rng = np.random.default_rng(int(np.nansum(values)) % 2**31)
        return values + np.array([0, 0, 1, 0]) * rng.normal(size=(len(values), 1)) * 40

    used = (fitted(change=high).model.coefficients != 0).any(axis=2).mean(axis=0)
    assert used[VARIABLES.index("temperature")] > 0.9
    assert used[VARIABLES.index("pressure")] < 0.5


def test_too_few_days_are_refused() -> None:
    grid = weather().part(0, 24 * (MIN_DAYS - 1))
    runs = KnownRuns().with_records(runs_of(grid, range(STATIONS)), 0)
    with pytest.raises(TooLittleGuidance):
        fit_on(model(), grid, runs, False)
    with pytest.raises(TooLittleGuidance):
        fit_on(model(), weather(), KnownRuns(), False)
    missing = weather().with_values(np.full_like(weather().values, np.nan))
    with pytest.raises(TooLittleGuidance):
        fit_on(model(), missing, runs, False)


def a_combination(simulated: bool = False) -> GuidanceCombination:
    size = len(LEADS), len(VARIABLES)
    rng = np.random.default_rng(3)
    return GuidanceCombination(rng.normal(size=(*size, 5)), np.ones((*size, 2)), np.arange(1.0, 5.0), simulated)


@pytest.mark.parametrize("simulated", [True, False])
def test_a_saved_model_is_the_same(tmp_path: Path, simulated: bool) -> None:
    saved = a_combination(simulated)
    saved.save(tmp_path / "model")
    loaded = GuidanceCombination.load(tmp_path / "model")
    for name, value in vars(saved).items():
        np.testing.assert_array_equal(getattr(loaded, name), value)


@pytest.mark.parametrize("fault", ["changed", "not finite", "shape", "missing"])
def test_a_damaged_model_is_refused(tmp_path: Path, fault: str) -> None:
    model, folder = a_combination(), tmp_path / "model"
    if fault == "not finite":
        model.factors[3, 1, 0] = np.nan
    if fault == "shape":
        model = GuidanceCombination(model.coefficients[..., :3], model.factors, model.usual_error, False)
    model.save(folder)
    if fault == "changed":
        save_arrays(folder / "arrays.npz", {"coefficients": model.coefficients})
    if fault == "missing":
        (folder / MANIFEST).unlink()
    with pytest.raises(ModelFileError):
        GuidanceCombination.load(folder)
