"""The step that trains the combination of guidance with the forecasts of stations, from what the store has of both.

The station's own forecasts are made again by a registered forecaster for hours that it was not trained on, and
recalibrated from day to day as in service.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np

from ray_jobs.training import model_card
from ray_jobs.training.context import StepTask, model_folders
from weatherglass.forecast.boosted_trees import BoostedForecaster
from weatherglass.forecast.error_window import WINDOW_DAYS
from weatherglass.forecast.features import PAST_HOURS
from weatherglass.guidance import combination_fit
from weatherglass.guidance.combination_fit import FittedCombination, PastForecasts, TooLittleGuidance
from weatherglass.guidance.known_runs import KnownRuns
from weatherglass.guidance.recent_errors import observed_past
from weatherglass.history.grid import HourGrid
from weatherglass.history.prepared import station_lookup
from weatherglass.record_headers import MODEL_ORIGINS
from weatherglass.records import UNITS, VARIABLES
from weatherglass.registry import artifact
from weatherglass.registry.artifact import ModelFileError
from weatherglass.registry.catalog import registered_models
from weatherglass.registry.registry import FORECASTER, GUIDANCE, ModelVersion, Registry
from weatherglass.registry.trainings import last_fitted_hour
from weatherglass.settings import Settings
from weatherglass.store import guidance, observations
from weatherglass.verification import hindcast, observed_hours
from weatherglass.verification.score_rows import errors

log = logging.getLogger(__name__)

MAX_CASES = 8_000
"""Forecasts that are used at most, which limits the memory; more add little, because errors of a day are alike."""
SEED = 20261130


@dataclass(frozen=True)
class GuidanceTraining:
    """The result of the step. `fitted`: None if there is nothing to train on, or too little, as `reason` says."""

    fitted: FittedCombination | None
    reason: str


def train(task: StepTask) -> tuple[GuidanceTraining, str]:
    """Train on the guidance of the last weeks and write the model's folder.

    A failure costs only this model: the forecaster and the detector do not depend on it.
    """
    folder = model_folders(task.folder)[GUIDANCE]
    try:
        return _train(task, folder)
    except TooLittleGuidance as error:
        reason = str(error)
    except Exception as error:
        log.exception("the training of guidance failed")
        reason = f"the training failed: {type(error).__name__}: {error}"
        shutil.rmtree(folder, ignore_errors=True)
    return GuidanceTraining(None, reason), f"no guidance is learned: {reason}"


def _train(task: StepTask, folder: Path) -> tuple[GuidanceTraining, str]:
    """Train, and write the model's folder.

    Raises:
        TooLittleGuidance: see `_fit`.
    """
    fitted = _fit(task.settings, task.plan.started_at)
    lines = _summary(fitted)
    fitted.model.save(folder)
    artifact.add_text(folder, model_card.FILE, model_card.render(GUIDANCE, task.plan, (), {}, fitted.metrics(), lines))
    return GuidanceTraining(fitted, "the newest, trained on the newest guidance"), "\n".join(["guidance", *lines])


def _fit(settings: Settings, now: datetime) -> FittedCombination:
    """Fit on what is stored.

    Raises:
        TooLittleGuidance: there is no or too little guidance, or no forecaster to combine it with.
    """
    registry = Registry(settings)
    last = np.datetime64((now - observed_hours.OVERLAP).astimezone(UTC).replace(tzinfo=None), "h")
    first = last - np.timedelta64(24 * WINDOW_DAYS, "h")
    with registry.store().connect() as connection:
        stored = guidance.stored_since(connection, now - timedelta(days=WINDOW_DAYS))
    if not stored:
        raise TooLittleGuidance("none is stored")
    simulated = stored[-1].guidance.simulated
    records = [one.guidance for one in stored if one.guidance.simulated == simulated and one.guidance.fetched_at <= now]
    runs = KnownRuns().with_records(records, int(first.astype(np.int64)))
    if not runs.timelines:
        raise TooLittleGuidance("all stations are observed only by weather models")
    known_from = np.datetime64(min(timeline.start for timeline in runs.timelines.values()), "h")
    model, trained_until = _forecaster(settings, registry, known_from)
    first = np.max(np.array([known_from, first, trained_until + np.timedelta64(1, "h")]))
    station_of = station_lookup(settings)
    with registry.store().connect() as connection:
        stations = [station_of(station_id) for station_id in sorted(observations.latest_all(connection))]
        begin = first - np.timedelta64(PAST_HOURS, "h")
        if not stations or last - first < np.timedelta64(24 * combination_fit.MIN_DAYS, "h"):
            raise TooLittleGuidance(
                f"it begins at {known_from}, and the forecaster was trained on hours up to {trained_until}; "
                f"{combination_fit.MIN_DAYS} days after both are needed"
            )
        observed = observed_hours.load_trusted_hours(connection, begin, last, stations, MODEL_ORIGINS)
    return fit_on(model, observed, runs, simulated)


def fit_on(model: BoostedForecaster, observed: HourGrid, runs: KnownRuns, simulated: bool) -> FittedCombination:
    """Fit on the forecasts of a model over a grid of observations that it was not trained on.

    Raises:
        TooLittleGuidance: see `combination_fit.fit`.
    """
    if not hindcast.has_base_hours(observed):
        raise TooLittleGuidance("there are no observations")
    issued = hindcast.recalibrated(hindcast.forecasts(model, "", observed), observed)
    with_guidance = {station_id for station_id, _ in runs.timelines}
    cases = np.flatnonzero([station_id in with_guidance for station_id in issued.station_ids])
    if len(cases) > MAX_CASES:
        cases = np.sort(np.random.default_rng(SEED).choice(cases, MAX_CASES, replace=False))
    issued = issued.select(cases)
    row_of = {station.station_id: row for row, station in enumerate(observed.stations)}
    rows = [row_of[station_id] for station_id in issued.station_ids]
    known = runs.known([observed.stations[row] for row in rows], issued.base, simulated)
    if known is None:
        raise TooLittleGuidance("no station with guidance has observations")
    past = observed_past(observed, np.array(rows), observed.positions(issued.base))
    valid = issued.values - errors(issued, observed)
    forecasts = PastForecasts(issued.base, issued.values, issued.lower, issued.upper, valid, past)
    return combination_fit.fit(forecasts, known, simulated)


def _forecaster(
    settings: Settings, registry: Registry, known_from: np.datetime64
) -> tuple[BoostedForecaster, np.datetime64]:
    """The newest forecaster that was not fitted on hours with guidance, or else the one whose hours end first.

    Not one in quarantine. The hours are those of all its parts: a refit is fitted on newer ones than its trees.

    Raises:
        TooLittleGuidance: there is no forecaster whose training data are known.
    """
    quarantined = registry.quarantined(FORECASTER)
    candidates = [
        (hour, version)
        for model in registered_models(settings)
        if model.kind == FORECASTER
        and model.version not in quarantined
        and (hour := last_fitted_hour(model.tags)) is not None
        and (version := registry.version(FORECASTER, model.version)) is not None
    ]
    before = [one for one in candidates if one[0] < known_from]
    after = sorted((one for one in candidates if one[0] >= known_from), key=lambda one: one[0])
    for hour, version in [*before, *after]:
        model = _load(version)
        if model is not None:
            return model, hour
    raise TooLittleGuidance("no forecaster is registered to combine it with")


def _load(version: ModelVersion) -> BoostedForecaster | None:
    """A forecaster; None if its files are damaged."""
    try:
        return BoostedForecaster.load(version.folder)
    except ModelFileError:
        return None


def _summary(fitted: FittedCombination) -> Sequence[str]:
    """A line for each variable with scores on held-out days."""
    kind = "simulated guidance" if fitted.model.simulated else "guidance"
    lines = [f"{fitted.cases} forecasts on {fitted.days} days with {kind}, scored on held-out days"]
    metrics = fitted.metrics()
    for name in VARIABLES:
        if f"mae_served.{name}" in metrics:
            served, raw, own = (metrics[f"mae_{made}.{name}"] for made in ("served", "guidance", "station"))
            lines.append(
                f"{name.replace('_', ' ')}: MAE {served:.2f} {UNITS[name]}, guidance {raw:.2f} {UNITS[name]}, "
                f"without guidance {own:.2f} {UNITS[name]}"
            )
    return lines
