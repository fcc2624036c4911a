"""All candidates on the hours that tested the new forecaster, on the same cases: is it worth its trees?

The baselines, the classical rival (harmonic regression with ARMA errors, some stations, its own half year) and the
boosted forecaster. It is done after the new models are registered, so that nobody waits for the rival.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ray_jobs.training.context import load_context
from ray_jobs.training.folder import Plan, TrainingFolder
from ray_jobs.training.promotion import TESTED
from weatherglass.evaluation import arma, held_out, metrics
from weatherglass.forecast.boosted_trees import BoostedForecaster
from weatherglass.history.grid import HourGrid
from weatherglass.records import UNITS, VARIABLES
from weatherglass.registry.registry import FORECASTER, Registry
from weatherglass.settings import Settings
from weatherglass.verification.held_out_scores import SKILL_LEADS

TAG = "candidates"
"""Of a version in the registry: the table, as Markdown."""


def note(settings: Settings, folder: TrainingFolder, plan: Plan) -> str:
    """Compare, write the table to the new version in the registry, and give it as lines."""
    grid, basis = load_context(folder)
    tested = BoostedForecaster.load(folder.path / "record" / TESTED)
    rows = table(errors(grid, basis.parts.test, tested, plan.test_cases))
    version = folder.load("registered")[FORECASTER]
    Registry(settings).note(FORECASTER, version, {TAG: "\n".join(rows)})
    folder.save(TAG, rows)
    return "\n".join([f"all candidates on the same held-out hours, mean absolute error at {_LEADS} h", *rows])


def errors(
    grid: HourGrid, hours: npt.NDArray[np.bool_], forecaster: BoostedForecaster, most: int
) -> dict[str, npt.NDArray[np.float64]]:
    """Mean absolute error (variables,) over `SKILL_LEADS` of each candidate within the hours, NaN where it has none.

    On at most about `most` cases of at most `arma.STATIONS` stations. The classical rival learns from the hours before.
    """
    rows, base = held_out.choose_cases(grid, hours, most)
    known = np.unique(rows)
    stations = known[:: max(1, len(known) // arma.STATIONS)][: arma.STATIONS]
    mine = np.isin(rows, stations)
    usual, damping = forecaster.climatology, forecaster.damping
    made = held_out.forecast(grid, rows[mine], base[mine], forecaster, usual, damping)
    before = np.arange(len(hours)) < np.flatnonzero(hours)[0]
    made.answers[arma.NAME] = arma.forecast(grid, before, usual, made, stations.tolist())
    both = made.comparable(arma.NAME)
    at = np.array(SKILL_LEADS) - 1
    return {
        who: metrics.mean(np.abs(answer - made.truth), both)[at].mean(axis=0) for who, answer in made.answers.items()
    }


def table(errors: dict[str, npt.NDArray[np.float64]]) -> list[str]:
    """Lines of a Markdown table, the best of each variable in bold."""
    best = np.nanmin(list(errors.values()), axis=0)
    heads = [f"{name.replace('_', ' ')}, {UNITS[name]}" for name in VARIABLES]
    lines = [["candidate", *heads], ["---", *["---:"] * len(VARIABLES)]]
    for who, error in errors.items():
        cells = [f"**{x:.3f}**" if x == low else f"{x:.3f}" for x, low in zip(error, best, strict=True)]
        lines.append([who.replace("_", " "), *cells])
    return ["| " + " | ".join(line) + " |" for line in lines]


_LEADS = f"{SKILL_LEADS[0]}-{SKILL_LEADS[-1]}"
