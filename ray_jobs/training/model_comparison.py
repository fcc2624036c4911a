"""Comparison of the new forecaster with the baselines and a classical model on the same held-out cases.

The classical model is a harmonic regression with ARMA errors, fitted to half a year of some stations. Because that
takes minutes, the comparison runs after the new models are registered.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ray_jobs.training.context import StepTask, load_context
from ray_jobs.training.plan import REGISTERED
from weatherglass.evaluation import arma, held_out
from weatherglass.forecast.boosted_trees import BoostedForecaster
from weatherglass.history.grid import HourGrid
from weatherglass.records import UNITS, VARIABLES
from weatherglass.registry.registry import FORECASTER, TESTED, Registry
from weatherglass.verification import scores
from weatherglass.verification.scores import SKILL_LEADS

TAG = "candidates"
"""Tag of a version in the registry: the table in Markdown."""


def compare_candidates(task: StepTask) -> tuple[list[str], str]:
    """Compare, and save the table as a tag of the new version in the registry; the table, and lines."""
    grid, context = load_context(task.folder)
    tested = BoostedForecaster.load(task.folder.path / "record" / TESTED)
    rows = table(errors(grid, context.split.test, tested, task.plan.test_cases))
    version = task.folder.load(REGISTERED, dict[str, str])[FORECASTER]
    Registry(task.settings).set_tags(FORECASTER, version, {TAG: "\n".join(rows)})
    leads = f"{SKILL_LEADS[0]}-{SKILL_LEADS[-1]} h"
    return rows, "\n".join([f"candidates on the same held-out cases, mean absolute error at {leads}", *rows])


def errors(
    grid: HourGrid, hours: npt.NDArray[np.bool_], forecaster: BoostedForecaster, max_cases: int
) -> dict[str, npt.NDArray[np.float64]]:
    """Candidate -> mean absolute error (variables,) over `SKILL_LEADS` within `hours`; NaN where it has no forecast.

    On about `max_cases` cases at most, of `arma.STATIONS` stations at most. The classical model is fitted to the hours
    before.
    """
    rows, base = held_out.choose_cases(grid, hours, max_cases)
    all_stations = np.unique(rows)
    stations = all_stations[:: max(1, len(all_stations) // arma.STATIONS)][: arma.STATIONS]
    chosen = np.isin(rows, stations)
    climatology, damping = forecaster.climatology, forecaster.damping
    scored = held_out.forecast(grid, rows[chosen], base[chosen], forecaster, climatology, damping)
    before = np.arange(len(hours)) < np.flatnonzero(hours)[0]
    scored.forecasts[arma.NAME] = arma.forecast(grid, before, climatology, scored, stations.tolist())
    comparable = scored.comparable(arma.NAME)
    return {
        name: scores.lead_mean(scores.mean(scores.absolute_error(forecast, scored.observed), comparable))
        for name, forecast in scored.forecasts.items()
    }


def table(errors: dict[str, npt.NDArray[np.float64]]) -> list[str]:
    """Rows of a Markdown table, with the lowest error of each variable in bold."""
    best = np.nanmin(list(errors.values()), axis=0)
    heads = [f"{name.replace('_', ' ')}, {UNITS[name]}" for name in VARIABLES]
    lines = [["candidate", *heads], ["---", *["---:"] * len(VARIABLES)]]
    for candidate, error in errors.items():
        cells = [f"**{x:.3f}**" if x == low else f"{x:.3f}" for x, low in zip(error, best, strict=True)]
        lines.append([candidate.replace("_", " "), *cells])
    return ["| " + " | ".join(line) + " |" for line in lines]
