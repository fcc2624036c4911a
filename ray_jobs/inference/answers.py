"""From leading records to predictions: the forecast, the verdict on the reading, and how sure both are."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
import numpy.typing as npt

from ray_jobs.inference.champion import NO_MODEL, Models, fault
from ray_jobs.inference.hours import HourBuffer, hour64
from ray_jobs.inference.leading import is_leading
from weatherglass.history import HourGrid
from weatherglass.models.anomaly import AnomalyDetector, Case, Expected, Reading, expected_at
from weatherglass.models.fallback import PersistenceForecaster
from weatherglass.models.forecast import Forecast
from weatherglass.records import (
    LEADS,
    VARIABLES,
    AggregatedFeatures,
    Anomaly,
    Bounds,
    Confidence,
    Prediction,
    Predictions,
    WindowFeatures,
)

log = logging.getLogger(__name__)

LEVEL = 0.9
"""The level of the intervals that predictions carry."""
RECENT = timedelta(hours=6)
"""How far back the readings go that the present one is compared with."""
STALE_HOURS = 2
"""Where the newest hour is further back than this, the present reading stands in for the hour it is in."""
EXPECTED_HOURS = 12
"""A forecast older than this is no expectation of the present reading."""
DECIMALS = 2


@dataclass(frozen=True)
class Place:
    """Where a reading stands in the grid: its row, the hour it is in, and the base hour of its forecast."""

    window: WindowFeatures
    row: int
    column: int
    base: int | None


class Answers:
    """Makes predictions; keeps the readings of the last hours and the last forecasts, to judge readings by."""

    def __init__(self, hours: HourBuffer):
        self._hours = hours
        self._recent: dict[str, dict[datetime, Reading]] = defaultdict(dict)
        self._issued: dict[str, dict[np.datetime64, tuple[Forecast, int]]] = defaultdict(dict)

    def note(self, windows: Iterable[WindowFeatures]) -> None:
        """Remember the readings of a batch. Repeats do no harm."""
        for window in windows:
            if is_leading(window):
                recent = self._recent[window.station_id]
                recent[window.aggregated_features.last_observation] = Reading.of(window)
                oldest = max(recent) - RECENT
                for time in [time for time in recent if time < oldest]:
                    del recent[time]

    def answer(self, windows: Sequence[WindowFeatures], models: Models) -> list[Prediction]:
        """A prediction for each leading record, forecasts and verdicts each in one call.

        A reading that is older than the whole grid, five days behind the newest hour of any station, is history and
        not answered.
        """
        for window in windows:
            self._place(window)  # makes room for all, after which columns stay where they are
        places = [place for window in windows if (place := self._place(window)) is not None]
        grid = self._hours.grid()
        if not places or grid is None:
            return []
        bases = []
        for place in places:
            base = place.base
            if base is None or place.column - base > STALE_HOURS:
                base = place.column
                grid.values[place.row, base] = _reading(place.window.aggregated_features)
            bases.append(base)
        earlier = [self._earlier_base(place, grid) for place in places]
        extra = [(place.row, base) for place, base in zip(places, earlier, strict=True) if base is not None]
        forecast, version = _forecast(
            models, grid, [p.row for p in places] + [row for row, _ in extra], bases + [base for _, base in extra]
        )
        for i in range(len(places), len(places) + len(extra)):
            self._keep(forecast, i)
        anomalies = self._judge(places, grid, models)
        for i in range(len(places)):
            self._keep(forecast, i)
        return [
            _prediction(place.window.aggregated_features.last_observation, forecast, i, version, anomaly)
            for i, (place, anomaly) in enumerate(zip(places, anomalies, strict=True))
        ]

    def _place(self, window: WindowFeatures) -> Place | None:
        at = self._hours.place(window.station_id, hour64(window.aggregated_features.last_observation))
        return at and Place(window, *at, self._hours.base(*at))

    def _earlier_base(self, place: Place, grid: HourGrid) -> int | None:
        """The base hour whose forecast says what to expect now, if that forecast has yet to be made."""
        base = self._hours.base(place.row, place.column - 1)
        if base is None or place.column - base > EXPECTED_HOURS:
            return None
        return None if grid.hours[base] in self._issued[place.window.station_id] else base

    def _keep(self, forecast: Forecast, i: int) -> None:
        issued = self._issued[forecast.station_ids[i]]
        issued[forecast.base_hours[i]] = forecast, i
        for base in [base for base in issued if max(issued) - base > np.timedelta64(EXPECTED_HOURS, "h")]:
            del issued[base]

    def _expected(self, place: Place, grid: HourGrid) -> Expected | None:
        """From the newest forecast that did not know the present hour."""
        issued = self._issued[place.window.station_id]
        before = [base for base in issued if base < grid.hours[place.column]]
        if not before:
            return None
        return expected_at(*issued[max(before)], place.window.aggregated_features.last_observation)

    def _judge(self, places: Sequence[Place], grid: HourGrid, models: Models) -> list[Anomaly]:
        cases = [
            Case(place.window, self._before(place.window), place.row, self._expected(place, grid)) for place in places
        ]
        try:
            return models.detector.check_many(cases, grid, models.detector_version)
        except Exception:
            log.exception("anomaly detector version %s failed, the rules alone judge", models.detector_version)
            return AnomalyDetector.rules_only().check_many(cases, grid, None)

    def _before(self, window: WindowFeatures) -> list[Reading]:
        now = window.aggregated_features.last_observation
        recent = self._recent[window.station_id]
        return [recent[time] for time in sorted(recent) if now - RECENT <= time < now]


def _forecast(models: Models, grid: HourGrid, rows: Sequence[int], base: Sequence[int]) -> tuple[Forecast, str]:
    """The model's forecast, or persistence's where the model fails: an answer all the same, and marked."""
    try:
        forecast = models.forecaster.forecast(grid, rows, base)
        wrong = fault(forecast)
    except Exception:
        log.exception("forecaster version %s failed, persistence answers", models.forecaster_version)
    else:
        if wrong is None:
            return forecast, models.forecaster_version
        log.error("forecaster version %s gave %s, persistence answers", models.forecaster_version, wrong)
    return PersistenceForecaster().forecast(grid, rows, base), NO_MODEL


def _prediction(time: datetime, forecast: Forecast, i: int, version: str, anomaly: Anomaly) -> Prediction:
    base = forecast.base_hours[i].astype("datetime64[s]").item().replace(tzinfo=UTC)
    valid_times = [base + timedelta(hours=lead) for lead in LEADS]
    ahead = [at for at, valid in enumerate(valid_times) if valid > time]
    return Prediction(
        station_id=forecast.station_ids[i],
        timestamp=time,
        predictions=Predictions(
            valid_times=[valid_times[at] for at in ahead],
            **_paths(forecast.values[i, ahead]),
            model_version=version,
            method=forecast.methods[i],
        ),
        anomaly=anomaly,
        confidence=Confidence(
            level=LEVEL,
            lower=Bounds(**_paths(forecast.lower[LEVEL][i, ahead])),
            upper=Bounds(**_paths(forecast.upper[LEVEL][i, ahead])),
            history_hours=int(forecast.history_hours[i]),
        ),
    )


def _paths(values: npt.NDArray[np.float64]) -> dict[str, list[float]]:
    return {name: column.tolist() for name, column in zip(VARIABLES, np.round(values.T, DECIMALS), strict=True)}


def _reading(features: AggregatedFeatures) -> npt.NDArray[np.float32]:
    """The present reading as a grid value, axes as `history.GRID_VARIABLES`."""
    values = [features.temperature.mean, features.humidity.mean, features.pressure.mean]
    return np.array([*values, features.wind.u, features.wind.v, features.wind_speed.mean], np.float32)
