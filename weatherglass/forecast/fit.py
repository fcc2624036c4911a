"""Fitting the parts of a boosted forecaster: a part is a variable and a group of leads, independent of the others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from weatherglass.forecast import base_models, conformal, damped_anomaly, features
from weatherglass.forecast.base_models import BaseModels
from weatherglass.forecast.boosted_trees import HISTORY_CLASSES, BoostedForecaster, TreeModel
from weatherglass.forecast.damped_anomaly import DampedAnomaly
from weatherglass.forecast.forecaster import LEVELS
from weatherglass.forecast.lightgbm_import import lightgbm
from weatherglass.forecast.presets import FIRST, FULL, SIZES, ModelSize
from weatherglass.forecast.season_widening import widening_factors
from weatherglass.forecast.splits import Split, base_hours, is_long, mask_hours
from weatherglass.history.grid import HourGrid
from weatherglass.records import VARIABLES

__all__ = ["FIRST", "FULL", "SIZES", "FittedModel", "InsufficientTrainingData", "Size", "assemble", "fit_part"]

FULL_HISTORY_SHARE = 0.6
"""Share of training cases that keep all their past; the others keep 1 to 48 hours (history dropout)."""
NEIGHBOURS_SHARE = 0.9
REGRESSION_SHARE = 0.92
"""Shares of training cases that keep their neighbours and their linear forecast; a new station has the trees alone."""
STATION_PRIOR_CASES = 200
"""Held-out cases of a station that weigh as much as those of all others, for the width of its intervals."""
SHRINKAGE = np.linspace(0.0, 1.0, 11)
MIN_EXTREME_CASES = 30
"""Held-out cases beyond the weather from which a share of persistence of their own is chosen."""
HALF_LIFE_HOURS = 0.5 * 365.25 * 24
"""Of the weight of held-out errors: networks of stations change, and the newest errors tell most of the next ones."""
SEASON_COLUMNS = [features.FEATURE_NAMES.index(name) for name in ("season_cos", "season_sin")]
SEASONAL_COLUMNS = [*SEASON_COLUMNS, *(features.FEATURE_NAMES.index(name) for name in ("normal", "present_temperature"))]
MIN_CASES = 500
BIN_SAMPLE = 20_000
"""Cases that LightGBM cuts its 63 bins from; it holds each of their numbers in 12 bytes meanwhile."""
CHUNK = 4_000
"""Cases whose features are made at a time; bounds the memory."""


class InsufficientTrainingData(ValueError):
    """The history holds too few values of a variable."""


@dataclass(frozen=True)
class TrainingSample:
    """Pairs of a case and a lead, with what came true."""

    rows: npt.NDArray[np.float32]
    leads: npt.NDArray[np.int64]
    residual: npt.NDArray[np.float32]
    """Truth minus climatology, damped anomaly and linear forecast."""
    linear: npt.NDArray[np.float32]
    """The linear forecast beyond the damped anomaly, 0 where there is none."""
    still: npt.NDArray[np.float32]
    """The residual that would make it persistence."""
    stations: npt.NDArray[np.int64]
    """Rows of the climatology."""
    base: npt.NDArray[np.int64]
    """Base hours, as in the grid."""
    beyond: npt.NDArray[np.bool_]
    """Whether the present anomaly is `Network.beyond` the weather."""


@dataclass(frozen=True)
class FittedTrees:
    """A part, and its mean absolute error beside the damped anomaly's on the hours of calibration."""

    part: TreeModel
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
    """Fit one part: trees for the residual over the damped anomaly, trees for its spread, conformal quantiles.

    The spread is a regression on the absolute residuals of training. These are too small, by a factor that
    the calibration then corrects: split-conformal prediction with normalised scores (Lei et al. 2018, Distribution-Free
    Predictive Inference for Regression, JASA 113), on hours that no tree has seen, for each lead and each class of how
    much past a station has.

    Raises:
        NothingToLearn: too few values of the variable.
    """
    rng = np.random.default_rng([seed, variable, leads[0]])
    seen = features.model_inputs(grid, base.climatology, network=base.network)
    train = _training_sample(seen, base, variable, leads, size, rng)
    rows = train.rows
    if not is_long(int((split.train | split.calibrate).sum())):
        # The season tells the date, and trees that know the date learn a short record by heart. No tree can ask for
        # what is always missing. How far errors spread may depend on how warm it is, as it does in any season.
        rows[:, SEASON_COLUMNS] = np.nan
        rows = rows.copy()
        rows[:, SEASONAL_COLUMNS] = np.nan
    mean, spread, floor = _fit_trees(train, rows, size, seed, threads)
    part = TreeModel(
        variable,
        leads,
        mean,
        spread,
        floor,
        quantiles=np.zeros((len(HISTORY_CLASSES), len(leads), len(LEVELS))),
        trust=np.ones(len(leads)),
        station_spread=np.ones(len(base.climatology.station_ids)),
        hold=np.zeros((2, len(leads))),
    )
    mae, damped_mae = _calibrate(part, seen, split, base, size, rng)
    return FittedTrees(part, mae, damped_mae)


def _fit_trees(
    train: TrainingSample, rows: npt.NDArray[np.float32], size: ModelSize, seed: int, threads: int
) -> tuple[lightgbm.Booster, lightgbm.Booster, float]:
    """Trees for the residual, which see `rows`, trees for its spread, which see all, and the least spread."""
    common = {
        "num_leaves": size.leaves,
        "learning_rate": size.learning_rate,
        "min_data_in_leaf": max(20, min(200, len(train.leads) // 200)),
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
    data = lightgbm.Dataset(rows, train.residual, feature_name=list(features.FEATURE_NAMES), free_raw_data=False)
    mean = lightgbm.train({**common, "objective": "regression_l1"}, data, num_boost_round=size.trees)
    error = np.abs(train.residual - mean.predict(rows, num_threads=threads))
    spread_data = lightgbm.Dataset(train.rows, error, feature_name=list(features.FEATURE_NAMES), free_raw_data=False)
    spread = lightgbm.train(
        {**common, "objective": "regression", "num_leaves": 15, "learning_rate": 0.1},
        spread_data,
        num_boost_round=size.spread_trees,
    )
    return mean, spread, max(float(np.quantile(error, 0.1)), 1e-3)


def _calibrate(
    part: TreeModel, seen: features.ModelInputs, split: Split, base: BaseModels, size: ModelSize, rng: np.random.Generator
) -> tuple[float, float]:
    """Fill in a part's trust, hold, spread by station and quantiles; its error and the damped anomaly's.

    All on the hours of calibration. A whole past comes first, as a station in service has: the others use its trust.
    """
    leads = part.leads
    for k, hours in reversed(list(enumerate(HISTORY_CLASSES))):
        count = size.calibration_cases
        held_out = sample_cases(seen, split.calibrate, base.damping, part.variable, leads, np.full(count, hours), rng)
        value, scale = part.predict(held_out.rows)
        if hours == HISTORY_CLASSES[-1]:
            part.trust[:] = best_shrinkage(held_out.residual, value, held_out.leads, leads)
            value *= part.trust[held_out.leads - leads[0]]
            part.hold[:] = _choose_persistence_weight(held_out, value, leads)
            value = _blend_persistence(part, held_out, value)
            error = np.abs(held_out.residual - value)
            part.station_spread[:] = station_spread(error / scale, held_out.stations, len(part.station_spread))
            mae, damped_mae = error.mean(), np.abs(held_out.residual + held_out.linear).mean()
        else:
            value = _blend_persistence(part, held_out, value * part.trust[held_out.leads - leads[0]])
        score = np.abs(held_out.residual - value) / (scale * part.station_spread[held_out.stations])
        weight = 0.5 ** ((held_out.base.max(initial=0) - held_out.base) / HALF_LIFE_HOURS)
        for i, lead in enumerate(leads):
            mine = held_out.leads == lead
            if not mine.any():
                raise InsufficientTrainingData(
                    "a lead has no truth among the hours of calibration; prepare a longer history"
                )
            part.quantiles[k, i] = conformal.quantiles(score[mine], weight[mine])
    return float(mae), float(damped_mae)


def assemble(grid: HourGrid, split: Split, base: BaseModels, parts: Sequence[TreeModel]) -> BoostedForecaster:
    """A forecaster from its parts, on a ground that has learnt from all hours but those of the test.

    The damped anomaly's own errors are measured on the hours of calibration, before these are learnt from. The
    intervals of a short record are widened for the season it has not seen.
    """
    held_out = features.model_inputs(mask_hours(grid, split.calibrate), base.climatology)
    errors = damped_anomaly.error_quantiles(held_out.anomalies, held_out.rows, base.damping, LEVELS)
    if not is_long(int((~split.test).sum())):
        wider = widening_factors(grid, ~split.test, base)
        parts = [
            replace(part, quantiles=part.quantiles * wider[np.array(part.leads) - 1, part.variable][None, :, None])
            for part in parts
        ]
    made = BoostedForecaster(grid.stations, base.climatology, base.damping, base.network, errors, tuple(parts))
    return refit(made, base, grid, ~split.test)


def refit(
    forecaster: BoostedForecaster, base: BaseModels, grid: HourGrid, hours: npt.NDArray[np.bool_]
) -> BoostedForecaster:
    """The same trees and intervals on a climatology, damped anomaly and network of more hours.

    `hours` are all that are known, those that calibrated and tested among them: what serves must not be older than
    what was tested.
    """
    fresh = base_models.refit(base, grid, hours)
    return replace(forecaster, climatology=fresh.climatology, damping=fresh.damping, network=fresh.network)


def _training_sample(
    seen: features.ModelInputs, base: BaseModels, variable: int, leads: tuple[int, ...], size: ModelSize, rng: np.random.Generator
) -> TrainingSample:
    """Cases of each fold with the linear forecast of the network that has not seen the fold, as in service."""
    samples = []
    total = sum(mask.sum() for mask, _ in base.left_out)
    for mask, network in base.left_out:
        count = int(size.cases * mask.sum() / total)
        own = rng.choice([1, 2, 4, 8, 16, 32], count)
        own = np.where(rng.random(count) < FULL_HISTORY_SHARE, features.PAST_HOURS + 1, own)
        near, member = rng.random(count) < NEIGHBOURS_SHARE, rng.random(count) < REGRESSION_SHARE
        unseen = replace(seen, network=network)
        samples.append(sample_cases(unseen, mask, base.damping, variable, leads, own, rng, near, member))
    return TrainingSample(*(np.concatenate([vars(sample)[name] for sample in samples]) for name in vars(samples[0])))


def best_shrinkage(
    residual: npt.NDArray, value: npt.NDArray, lead_of: npt.NDArray[np.int64], leads: tuple[int, ...]
) -> npt.NDArray[np.float64]:
    """The factor of `SHRINKAGE` for each lead by which a correction errs least; the smallest of equals."""
    errors = np.abs(residual - SHRINKAGE[:, None] * value)
    return np.array([SHRINKAGE[errors[:, lead_of == lead].mean(axis=1).argmin()] for lead in leads])


def _choose_persistence_weight(held_out: TrainingSample, value: npt.NDArray, leads: tuple[int, ...]) -> npt.NDArray[np.float64]:
    """`TreeModel.hold`; cases beyond the weather are few, so their share is one for all leads of the group."""
    left, still = held_out.residual - value, held_out.still - value
    far = held_out.beyond
    usual = best_shrinkage(left[~far], still[~far], held_out.leads[~far], leads)
    if far.sum() < MIN_EXTREME_CASES:
        return np.stack([usual, usual])
    one = SHRINKAGE[np.abs(left[far] - SHRINKAGE[:, None] * still[far]).mean(axis=1).argmin()]
    return np.stack([usual, np.full(len(leads), one)])


def _blend_persistence(part: TreeModel, held_out: TrainingSample, value: npt.NDArray) -> npt.NDArray:
    """The correction drawn towards persistence, as `boosted` does it."""
    hold = part.hold[held_out.beyond.astype(np.int64), held_out.leads - part.leads[0]]
    return np.asarray((1 - hold) * value + hold * held_out.still)


def station_spread(scores: npt.NDArray, stations: npt.NDArray[np.int64], count: int) -> npt.NDArray[np.float64]:
    """How much wider each station's errors lie than all stations', drawn towards 1 where it has few."""
    middle = (LEVELS[0] + LEVELS[-1]) / 2
    usual = np.quantile(scores, middle)
    made = np.ones(count)
    for station in np.unique(stations):
        own = scores[stations == station]
        weight = len(own) / (len(own) + STATION_PRIOR_CASES)
        made[station] = (max(np.quantile(own, middle), 1e-6) / usual) ** weight
    return made


def sample_cases(
    seen: features.ModelInputs,
    hours: npt.NDArray[np.bool_],
    damping: DampedAnomaly,
    variable: int,
    leads: tuple[int, ...],
    own_hours: npt.NDArray[np.int64],
    rng: np.random.Generator,
    with_neighbours: npt.NDArray[np.bool_] | None = None,
    with_network: npt.NDArray[np.bool_] | None = None,
) -> TrainingSample:
    """At most `len(own_hours)` random cases within the hours, each with one random lead of the group."""
    candidates = base_hours(hours)
    present = np.isfinite(seen.anomalies[:, candidates, variable])
    stations, at = np.nonzero(present)
    if len(at) < MIN_CASES:
        raise InsufficientTrainingData(
            f"the history holds {len(at)} hours of {VARIABLES[variable]} that can be used; {MIN_CASES} are needed"
        )
    chosen = np.sort(rng.choice(len(at), min(len(at), len(own_hours)), replace=False))
    chosen = chosen[np.argsort(at[chosen], kind="stable")]
    rows, base = stations[chosen], candidates[at[chosen]]
    lead = rng.choice(np.array(leads), len(chosen))
    truth = seen.present[rows, base + lead, variable]
    keep = np.isfinite(truth)
    rows, base, lead, truth = rows[keep], base[keep], lead[keep], truth[keep]
    limits = [
        None if given is None else given[: len(chosen)][keep] for given in (own_hours, with_neighbours, with_network)
    ]
    matrix = np.empty((len(rows), len(features.FEATURE_NAMES)), dtype=np.float32)
    residual, linear, still, now = (np.empty(len(rows), dtype=np.float32) for _ in range(4))
    for begin in range(0, len(rows), CHUNK):
        part = slice(begin, begin + CHUNK)
        own, near, member = (None if given is None else given[part] for given in limits)
        made = features.case_features(seen, damping, rows[part], base[part], own, near, member, [variable])
        which = np.arange(len(made.age)), lead[part] - 1, variable
        matrix[part] = made.matrix(variable, which[0], lead[part])
        linear[part] = np.nan_to_num(made.linear[which])
        without_trees = made.normal[which] + made.damped[which] + linear[part]
        residual[part] = truth[part] - without_trees
        now[part] = made.present[:, variable]
        still[part] = made.normal_now[:, variable] + made.present[:, variable] - without_trees
    of = seen.rows[rows]
    beyond = seen.network.beyond(of, now, variable) if seen.network else np.zeros(len(rows), bool)
    return TrainingSample(matrix, lead, residual, linear, still, of, base, beyond)
