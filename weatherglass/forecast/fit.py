"""Fitting of the boosted forecaster: one tree model for each variable and group of leads, independent of the others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from weatherglass.forecast import base_models, conformal_quantiles, damped_anomaly
from weatherglass.forecast.base_models import BaseModels
from weatherglass.forecast.boosted_trees import HISTORY_CLASSES, BoostedForecaster, TreeModel
from weatherglass.forecast.damped_anomaly import DampedAnomaly
from weatherglass.forecast.features import FEATURE_NAMES, PAST_HOURS, ModelInputs, case_features, model_inputs
from weatherglass.forecast.forecaster import LEVELS
from weatherglass.forecast.lightgbm_import import lightgbm
from weatherglass.forecast.presets import ModelSize
from weatherglass.forecast.season_widening import widening_factors
from weatherglass.forecast.splits import Split, base_hours, is_long, mask_hours
from weatherglass.history.grid import HourGrid
from weatherglass.records import VARIABLES

FULL_HISTORY_SHARE = 0.6
"""Share of training cases that keep all their past; the others keep 1 to 32 hours (history dropout)."""
NEIGHBOURS_SHARE = 0.9
REGRESSION_SHARE = 0.92
"""Shares of training cases that keep their neighbours and their linear forecast; a new station has neither."""
STATION_PRIOR_CASES = 200
"""Held-out cases of a station at which its own spread and that of all stations have equal weight."""
SHRINKAGE = np.linspace(0.0, 1.0, 11)
MIN_EXTREME_CASES = 30
"""Held-out cases with an extreme anomaly that are needed for a persistence weight of their own."""
HALF_LIFE_HOURS = 0.5 * 365.25 * 24
"""Half-life of the weight of held-out errors: stations change, so recent errors predict future ones best."""
SEASON_COLUMNS = [FEATURE_NAMES.index(name) for name in ("season_cos", "season_sin")]
SEASONAL_COLUMNS = [*SEASON_COLUMNS, *(FEATURE_NAMES.index(name) for name in ("normal", "value_temperature"))]
MIN_CASES = 500
BIN_SAMPLE = 20_000
"""Cases from which LightGBM computes its 63 bins; it needs 12 bytes for each of their values meanwhile."""
CHUNK = 4_000
"""Cases whose features are computed at a time, to limit memory."""


class InsufficientTrainingData(ValueError):
    """The history holds too few values of a variable; the message names it."""


@dataclass(frozen=True)
class TrainingSample:
    """n pairs of a case and a lead with their outcome.

    Attributes:
        matrix: (n, len(FEATURE_NAMES)).
        leads: (n,) hours.
        residual: (n,) truth minus climatology, damped anomaly and linear forecast.
        linear: (n,) linear forecast relative to the damped anomaly, 0 if there is none.
        persistence_residual: (n,) the residual for which the forecast equals persistence.
        stations: (n,) rows of the climatology.
        base: (n,) base hours as indices of the grid.
        extreme: (n,) whether the newest anomaly is extreme, see `SpatialRegression.is_extreme`.
    """

    matrix: npt.NDArray[np.float32]
    leads: npt.NDArray[np.int64]
    residual: npt.NDArray[np.float32]
    linear: npt.NDArray[np.float32]
    persistence_residual: npt.NDArray[np.float32]
    stations: npt.NDArray[np.int64]
    base: npt.NDArray[np.int64]
    extreme: npt.NDArray[np.bool_]


@dataclass(frozen=True)
class FittedTrees:
    """A tree model with its mean absolute error and the damped anomaly's on the calibration hours."""

    model: TreeModel
    mae: float
    damped_mae: float


def fit_tree_model(
    grid: HourGrid,
    split: Split,
    base: BaseModels,
    variable: int,
    leads: tuple[int, ...],
    size: ModelSize,
    seed: int,
    threads: int = 1,
) -> FittedTrees:
    """Fit trees for the residual of the base models, trees for its spread, and conformal quantiles.

    The spread is a regression on the absolute residuals of the training cases, which are too small. The calibration
    corrects the factor: split-conformal prediction with normalized scores (Lei et al. 2018, Distribution-Free
    Predictive Inference for Regression, JASA 113) on hours that no tree was fitted on, for each lead and each class
    of history length.

    Raises:
        InsufficientTrainingData: there are too few values of the variable.
    """
    rng = np.random.default_rng([seed, variable, leads[0]])
    inputs = model_inputs(grid, base.climatology, regression=base.regression)
    sample = _training_sample(inputs, base, variable, leads, size, rng)
    matrix = sample.matrix
    if not is_long(int((split.train | split.calibrate).sum())):
        # In a short record the season identifies the date, and the trees would overfit to it. A missing column cannot
        # be split on. The trees for the spread may use the temperature, whose effect does not depend on the season.
        matrix[:, SEASON_COLUMNS] = np.nan
        matrix = matrix.copy()
        matrix[:, SEASONAL_COLUMNS] = np.nan
    model = _uncalibrated(variable, leads, *_fit_trees(sample, matrix, size, seed, threads), base)
    return FittedTrees(model, *_calibrate(model, inputs, split, base, size, rng))


def recalibrate(
    grid: HourGrid, split: Split, base: BaseModels, model: TreeModel, size: ModelSize, seed: int
) -> FittedTrees:
    """Return the same trees calibrated on other hours and base models, also for other stations.

    Args:
        split: the trees were not trained on its `calibrate` hours.

    Raises:
        InsufficientTrainingData: there are too few values of the variable.
    """
    rng = np.random.default_rng([seed, model.variable, model.leads[0]])
    inputs = model_inputs(grid, base.climatology, regression=base.regression)
    other = _uncalibrated(model.variable, model.leads, model.residual, model.spread, model.min_spread, base)
    return FittedTrees(other, *_calibrate(other, inputs, split, base, size, rng))


def _uncalibrated(
    variable: int,
    leads: tuple[int, ...],
    residual: lightgbm.Booster,
    spread: lightgbm.Booster,
    min_spread: float,
    base: BaseModels,
) -> TreeModel:
    return TreeModel(
        variable,
        leads,
        residual,
        spread,
        min_spread,
        quantiles=np.zeros((len(HISTORY_CLASSES), len(leads), len(LEVELS))),
        shrinkage=np.ones(len(leads)),
        station_spread=np.ones(len(base.climatology.station_ids)),
        persistence_weight=np.zeros((2, len(leads))),
    )


def _fit_trees(
    sample: TrainingSample, matrix: npt.NDArray[np.float32], size: ModelSize, seed: int, threads: int
) -> tuple[lightgbm.Booster, lightgbm.Booster, float]:
    """Fit trees for the residual on `matrix`, trees for its spread on the sample's matrix, and the least spread."""
    common = {
        "num_leaves": size.leaves,
        "learning_rate": size.learning_rate,
        "min_data_in_leaf": max(20, min(200, len(sample.leads) // 200)),
        "feature_fraction": 0.25,
        "bagging_fraction": 0.7,
        "bagging_freq": 1,
        "lambda_l2": 5.0,
        "max_bin": 63,
        "bin_construct_sample_cnt": BIN_SAMPLE,
        "num_threads": threads,
        "deterministic": True,
        "force_col_wise": True,
        "seed": seed,
        "verbosity": -1,
    }
    data = lightgbm.Dataset(matrix, sample.residual, feature_name=list(FEATURE_NAMES), free_raw_data=False)
    residual = lightgbm.train({**common, "objective": "regression_l1"}, data, num_boost_round=size.trees)
    error = np.abs(sample.residual - residual.predict(matrix, num_threads=threads))
    spread_data = lightgbm.Dataset(sample.matrix, error, feature_name=list(FEATURE_NAMES), free_raw_data=False)
    spread = lightgbm.train(
        {**common, "objective": "regression", "num_leaves": 15, "learning_rate": 0.1},
        spread_data,
        num_boost_round=size.spread_trees,
    )
    return residual, spread, max(float(np.quantile(error, 0.1)), 1e-3)


def _calibrate(
    model: TreeModel, inputs: ModelInputs, split: Split, base: BaseModels, size: ModelSize, rng: np.random.Generator
) -> tuple[float, float]:
    """Set the model's tuned arrays on the calibration hours; return its error and the damped anomaly's.

    Cases with their full past come first, as of a station in operation; the other classes use the same shrinkage and
    persistence weight.
    """
    leads = model.leads
    for k, hours in reversed(list(enumerate(HISTORY_CLASSES))):
        own_hours = np.full(size.calibration_cases, hours)
        held_out = sample_cases(inputs, split.calibrate, base.damping, model.variable, leads, own_hours, rng)
        value, scale = model.predict(held_out.matrix)
        if hours == HISTORY_CLASSES[-1]:
            model.shrinkage[:] = best_shrinkage(held_out.residual, value, held_out.leads, leads)
            value *= model.shrinkage[held_out.leads - leads[0]]
            model.persistence_weight[:] = _choose_persistence_weight(held_out, value, leads)
            value = _blend_persistence(model, held_out, value)
            error = np.abs(held_out.residual - value)
            model.station_spread[:] = station_spread(error / scale, held_out.stations, len(model.station_spread))
            mae, damped_mae = error.mean(), np.abs(held_out.residual + held_out.linear).mean()
        else:
            value = _blend_persistence(model, held_out, value * model.shrinkage[held_out.leads - leads[0]])
        score = np.abs(held_out.residual - value) / (scale * model.station_spread[held_out.stations])
        # Positions of the grid, not hours: otherwise a gap of years would leave no weight to what came before it.
        weight = 0.5 ** ((held_out.base.max(initial=0) - held_out.base) / HALF_LIFE_HOURS)
        for i, lead in enumerate(leads):
            selected = held_out.leads == lead
            if not selected.any():
                raise InsufficientTrainingData(
                    f"no {VARIABLES[model.variable]} {lead} h after a base hour of the calibration hours; "
                    "prepare a longer history"
                )
            model.quantiles[k, i] = conformal_quantiles.quantiles(score[selected], weight[selected])
    return float(mae), float(damped_mae)


def assemble(grid: HourGrid, split: Split, base: BaseModels, tree_models: Sequence[TreeModel]) -> BoostedForecaster:
    """Return a forecaster whose base models are fitted on all hours except the test hours.

    The errors of the damped anomaly are measured on the calibration hours before the base models are fitted on them.
    The intervals of a short record are widened for the seasons that it does not cover.
    """
    held_out = model_inputs(mask_hours(grid, split.calibrate), base.climatology)
    errors = damped_anomaly.error_quantiles(held_out.anomalies, held_out.climatology_rows, base.damping, LEVELS)
    if not is_long(int((~split.test).sum())):
        factors = widening_factors(grid, ~split.test, base)
        tree_models = [
            replace(
                model, quantiles=model.quantiles * factors[np.array(model.leads) - 1, model.variable][None, :, None]
            )
            for model in tree_models
        ]
    forecaster = BoostedForecaster(
        grid.stations, base.climatology, base.damping, base.regression, errors, tuple(tree_models)
    )
    return refit(forecaster, base, grid, ~split.test)


def refit(
    forecaster: BoostedForecaster, base: BaseModels, grid: HourGrid, hours: npt.NDArray[np.bool_]
) -> BoostedForecaster:
    """Return the same trees and intervals with climatology, damped anomaly and regression fitted on other hours.

    Before a model is registered, it is refitted on all hours, including those of calibration and test.
    """
    refitted = base_models.refit(base, grid, hours)
    return replace(
        forecaster, climatology=refitted.climatology, damping=refitted.damping, regression=refitted.regression
    )


def _training_sample(
    inputs: ModelInputs,
    base: BaseModels,
    variable: int,
    leads: tuple[int, ...],
    size: ModelSize,
    rng: np.random.Generator,
) -> TrainingSample:
    """Sample cases of each fold with the linear forecast of the regression that was fitted without the fold."""
    samples = []
    total = sum(mask.sum() for mask, _ in base.folds)
    for mask, regression in base.folds:
        count = int(size.cases * mask.sum() / total)
        own_hours = rng.choice([1, 2, 4, 8, 16, 32], count)
        own_hours = np.where(rng.random(count) < FULL_HISTORY_SHARE, PAST_HOURS + 1, own_hours)
        with_neighbours = rng.random(count) < NEIGHBOURS_SHARE
        with_regression = rng.random(count) < REGRESSION_SHARE
        fold_inputs = replace(inputs, regression=regression)
        samples.append(
            sample_cases(
                fold_inputs, mask, base.damping, variable, leads, own_hours, rng, with_neighbours, with_regression
            )
        )
    return TrainingSample(*(np.concatenate([vars(sample)[name] for sample in samples]) for name in vars(samples[0])))


def best_shrinkage(
    residual: npt.NDArray, value: npt.NDArray, case_leads: npt.NDArray[np.int64], leads: tuple[int, ...]
) -> npt.NDArray[np.float64]:
    """Return for each lead the factor from `SHRINKAGE` with the least mean absolute error; the smallest of equals.

    Args:
        residual: (n,) truth.
        value: (n,) forecast residual, which is multiplied by the factor.
        case_leads: (n,) lead of each case.
    """
    errors = np.abs(residual - SHRINKAGE[:, None] * value)
    return np.array([SHRINKAGE[errors[:, case_leads == lead].mean(axis=1).argmin()] for lead in leads])


def _choose_persistence_weight(
    held_out: TrainingSample, value: npt.NDArray, leads: tuple[int, ...]
) -> npt.NDArray[np.float64]:
    """Return `TreeModel.persistence_weight`; extreme cases are few, so they share one weight for all leads."""
    residual, to_persistence = held_out.residual - value, held_out.persistence_residual - value
    extreme = held_out.extreme
    usual = best_shrinkage(residual[~extreme], to_persistence[~extreme], held_out.leads[~extreme], leads)
    if extreme.sum() < MIN_EXTREME_CASES:
        return np.stack([usual, usual])
    errors = np.abs(residual[extreme] - SHRINKAGE[:, None] * to_persistence[extreme])
    return np.stack([usual, np.full(len(leads), SHRINKAGE[errors.mean(axis=1).argmin()])])


def _blend_persistence(model: TreeModel, held_out: TrainingSample, value: npt.NDArray) -> npt.NDArray:
    """Return the forecast residual blended with persistence as in `BoostedForecaster.forecast`."""
    weight = model.persistence_weight[held_out.extreme.astype(np.int64), held_out.leads - model.leads[0]]
    return np.asarray((1 - weight) * value + weight * held_out.persistence_residual)


def station_spread(scores: npt.NDArray, stations: npt.NDArray[np.int64], count: int) -> npt.NDArray[np.float64]:
    """Return the ratio (count,) of each station's errors to those of all stations, drawn towards 1 if it has few.

    Args:
        scores: (n,) absolute errors in units of the spread.
        stations: (n,) row of each case's station, less than `count`.
    """
    middle = (LEVELS[0] + LEVELS[-1]) / 2
    overall = np.quantile(scores, middle)
    spread = np.ones(count)
    for station in np.unique(stations):
        own = scores[stations == station]
        weight = len(own) / (len(own) + STATION_PRIOR_CASES)
        spread[station] = (max(np.quantile(own, middle), 1e-6) / overall) ** weight
    return spread


def sample_cases(
    inputs: ModelInputs,
    hours: npt.NDArray[np.bool_],
    damping: DampedAnomaly,
    variable: int,
    leads: tuple[int, ...],
    own_hours: npt.NDArray[np.int64],
    rng: np.random.Generator,
    with_neighbours: npt.NDArray[np.bool_] | None = None,
    with_regression: npt.NDArray[np.bool_] | None = None,
) -> TrainingSample:
    """Sample at most `len(own_hours)` cases within the hours, each with one random lead of the group.

    Raises:
        InsufficientTrainingData: there are fewer than `MIN_CASES` cases.
    """
    candidates = base_hours(hours)
    known = np.isfinite(inputs.anomalies[:, candidates, variable])
    stations, positions = np.nonzero(known)
    if len(positions) < MIN_CASES:
        raise InsufficientTrainingData(
            f"the history has {len(positions)} usable hours of {VARIABLES[variable]}; {MIN_CASES} are required"
        )
    chosen = np.sort(rng.choice(len(positions), min(len(positions), len(own_hours)), replace=False))
    chosen = chosen[np.argsort(positions[chosen], kind="stable")]
    rows, base = stations[chosen], candidates[positions[chosen]]
    lead = rng.choice(np.array(leads), len(chosen))
    truth = inputs.values[rows, base + lead, variable]
    keep = np.isfinite(truth)
    rows, base, lead, truth = rows[keep], base[keep], lead[keep], truth[keep]
    limits = [
        None if given is None else given[: len(chosen)][keep] for given in (own_hours, with_neighbours, with_regression)
    ]
    matrix = np.empty((len(rows), len(FEATURE_NAMES)), dtype=np.float32)
    residual, linear, persistence_residual, newest = (np.empty(len(rows), dtype=np.float32) for _ in range(4))
    for begin in range(0, len(rows), CHUNK):
        chunk = slice(begin, begin + CHUNK)
        own, neighbours, regression = (None if given is None else given[chunk] for given in limits)
        features = case_features(inputs, damping, rows[chunk], base[chunk], own, neighbours, regression, [variable])
        selected = np.arange(len(features.age)), lead[chunk] - 1, variable
        matrix[chunk] = features.matrix(variable, selected[0], lead[chunk])
        linear[chunk] = np.nan_to_num(features.linear[selected])
        without_trees = features.normal[selected] + features.damped[selected] + linear[chunk]
        residual[chunk] = truth[chunk] - without_trees
        newest[chunk] = features.newest_anomaly[:, variable]
        persistence = features.base_normal[:, variable] + features.newest_anomaly[:, variable]
        persistence_residual[chunk] = persistence - without_trees
    climatology_rows = inputs.climatology_rows[rows]
    extreme = (
        inputs.regression.is_extreme(climatology_rows, newest, variable)
        if inputs.regression
        else np.zeros(len(rows), bool)
    )
    return TrainingSample(matrix, lead, residual, linear, persistence_residual, climatology_rows, base, extreme)
