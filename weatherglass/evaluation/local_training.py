"""Training in one process, without Ray: the steps of `ray_jobs.training` one after another."""

from __future__ import annotations

from collections.abc import Callable

from weatherglass.forecast import base_models, fit
from weatherglass.forecast.boosted_trees import BoostedForecaster
from weatherglass.forecast.presets import LEAD_GROUPS, ModelSize
from weatherglass.forecast.splits import split
from weatherglass.history.grid import HourGrid
from weatherglass.records import UNITS, VARIABLES

SEED = 20130101


def train(history: HourGrid, size: ModelSize, threads: int, log: Callable[[str], object]) -> BoostedForecaster:
    """Train a forecaster on the whole history; choices and intervals come from left-out blocks of it.

    Raises:
        HistoryTooShort, InsufficientTrainingData: names what the history lacks.
    """
    hours = history.values.shape[1]
    masks = split(history, test_share=0.0)
    base = base_models.fit(history, masks.train)
    log(f"Fitted the base models of {len(history.stations)} stations on {hours / 24:.0f} days")
    tree_models = []
    for variable, name in enumerate(VARIABLES):
        for leads in LEAD_GROUPS:
            fitted = fit.fit_tree_model(history, masks, base, variable, leads, size, SEED, threads)
            tree_models.append(fitted.model)
            label, unit = name.replace("_", " "), UNITS[name]
            log(
                f"Fitted {label}, leads {leads[0]}-{leads[-1]} h: MAE {fitted.mae:.2f} {unit} on left-out blocks, "
                f"damped anomaly {fitted.damped_mae:.2f} {unit}"
            )
    return fit.assemble(history, masks, base, tree_models)
