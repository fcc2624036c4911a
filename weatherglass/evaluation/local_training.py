"""Training in this process, without Ray: the same steps, one after the other."""

from __future__ import annotations

from collections.abc import Callable

from weatherglass.forecast import base_models, fit
from weatherglass.forecast.boosted_trees import LEAD_GROUPS, BoostedForecaster
from weatherglass.forecast.splits import split
from weatherglass.history.grid import HourGrid
from weatherglass.records import UNITS, VARIABLES

SEED = 20130101


def train(history: HourGrid, size: fit.Size, threads: int, say: Callable[[str], object]) -> BoostedForecaster:
    """A forecaster that has learnt from the whole history, its choices and intervals made on blocks of it.

    Raises:
        HistoryTooShort, fitting.NothingToLearn: saying what the history lacks.
    """
    hours = history.values.shape[1]
    parts = split(hours, test_share=0.0)
    base = base_models.fit(history, parts.train)
    say(f"climatology, damped anomaly and network of {len(history.stations)} stations from {hours / 24:.0f} days")
    fitted = []
    for variable, name in enumerate(VARIABLES):
        for leads in LEAD_GROUPS:
            one = fit.fit_tree_model(history, parts, base, variable, leads, size, SEED, threads)
            fitted.append(one.part)
            say(
                f"{name.replace('_', ' ')}, leads {leads[0]}-{leads[-1]} h: MAE {one.mae:.2f} {UNITS[name]} on blocks "
                f"left out, damped anomaly {one.damped_mae:.2f} {UNITS[name]}"
            )
    return fit.assemble(history, parts, base, fitted)
