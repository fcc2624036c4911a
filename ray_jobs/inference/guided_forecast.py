"""Forecasts of a batch combined with guidance. What fails stays the forecast of the station alone."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from ray_jobs.inference.canary_check import find_defect
from ray_jobs.inference.model_manager import NO_MODEL, ActiveGuidance
from weatherglass.forecast.forecaster import Forecast
from weatherglass.guidance.combination import GuidanceUse
from weatherglass.history.grid import HourGrid
from weatherglass.records import UsedGuidance, UsedRun

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class VersionedForecast:
    """A forecast for all predictions of a batch, in their order, and the model version that made it."""

    forecast: Forecast
    version: str
    guidance: tuple[UsedGuidance | None, ...] = ()
    """What each prediction used; empty: none."""


def add_guidance(
    forecasts: Sequence[VersionedForecast], active: ActiveGuidance, grid: HourGrid
) -> tuple[list[VersionedForecast], list[str]]:
    """The forecasts with guidance where there is any, and the reasons of those for which that failed.

    Those that failed, and persistence, are returned as they are.
    """
    served, failures = [], []
    for own in forecasts:
        try:
            served.append(own if own.version == NO_MODEL else _combined(own, active, grid))
        except Exception as error:
            log.exception("guidance version %s failed with forecaster version %s", active.version, own.version)
            served.append(own)
            failures.append(repr(error))
    return served, failures


def _combined(own: VersionedForecast, active: ActiveGuidance, grid: HourGrid) -> VersionedForecast:
    combined = active.combination.combine(own.forecast, grid, active.runs)
    if defect := find_defect(combined.forecast):
        raise ValueError(f"its forecast has {defect.detail}")
    return VersionedForecast(combined.forecast, own.version, tuple(_used(use, active) for use in combined.used))


def _used(use: GuidanceUse | None, active: ActiveGuidance) -> UsedGuidance | None:
    if use is None:
        return None
    return UsedGuidance(
        model_version=active.version,
        runs=[UsedRun(model=model, run=run.run) for model, run in sorted(use.runs.items())],
        variables=list(use.variables),
        simulated=active.combination.simulated,
    )
