"""From leading records to predictions: the forecast, the verdict on the reading, and how sure both are."""

from __future__ import annotations

import hashlib
import logging
import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import numpy.typing as npt

from ray_jobs.inference.canary_check import CanaryBatch, fault
from ray_jobs.inference.deduplication import is_leading
from ray_jobs.inference.hour_buffer import HourBuffer, hour64
from ray_jobs.inference.model_manager import NO_MODEL, ActiveModels, ModelManager
from weatherglass.anomaly.detector import AnomalyDetector, Case, CurrentReading, Expected, expected_at
from weatherglass.forecast.fallback import PersistenceForecaster
from weatherglass.forecast.features import PAST_HOURS
from weatherglass.forecast.forecaster import LEVELS, Forecast, Forecaster
from weatherglass.history.grid import HourGrid
from weatherglass.records import (
    LEADS,
    VARIABLES,
    AggregatedFeatures,
    Anomaly,
    Bounds,
    Confidence,
    Interval,
    Prediction,
    Predictions,
    WindowFeatures,
)

log = logging.getLogger(__name__)

LEVEL = 0.9
"""The level of the interval that a prediction is shown with; it carries the others of `LEVELS` beside it."""
RECENT = timedelta(hours=6)
"""How far back the readings go that the present one is compared with."""
STALE_HOURS = 2
"""Where the newest hour is further back than this, the present reading stands in for the hour it is in."""
EXPECTED_HOURS = 12
"""A forecast older than this is no expectation of the present reading."""
DECIMALS = 2
SLOW_SECONDS = 5.0
SLOW_SECONDS_EACH = 0.01
"""A batch of forecasts that takes longer than this, and this for each of them, counts as failed."""


@dataclass(frozen=True)
class Place:
    """Where a reading stands in the grid: its row, the hour it is in, and the base hour of its forecast."""

    window: WindowFeatures
    row: int
    column: int
    base: int | None


@dataclass(frozen=True)
class PredictionResult:
    """A prediction, what the other version would have said (None without one), and a SHA-256 of the inputs.

    The same version gives the same prediction for the same inputs.
    """

    prediction: Prediction
    shadow: Prediction | None
    inputs: str


class Predictor:
    """Makes predictions; keeps the readings of the last hours and the last forecasts, to judge readings by.

    Args:
        challenger_share: share of the stations that the challenger answers for; the champion then is its shadow.
    """

    def __init__(self, hours: HourBuffer, champions: ModelManager, challenger_share: float = 0.0):
        self._hours = hours
        self._champions = champions
        self._share = challenger_share
        self._recent: dict[str, dict[datetime, CurrentReading]] = defaultdict(dict)
        self._issued: dict[str, dict[np.datetime64, tuple[Forecast, int]]] = defaultdict(dict)
        self.canary: CanaryBatch | None = None
        """The inputs of the last batch that had something to answer."""

    def note(self, windows: Iterable[WindowFeatures]) -> None:
        """Remember the readings of a batch. Repeats do no harm."""
        for window in windows:
            if is_leading(window):
                recent = self._recent[window.station_id]
                recent[window.aggregated_features.last_observation] = CurrentReading.of(window)
                oldest = max(recent) - RECENT
                for time in [time for time in recent if time < oldest]:
                    del recent[time]

    def answer(self, windows: Sequence[WindowFeatures], models: ActiveModels) -> list[PredictionResult]:
        """An answer to each leading record, forecasts and verdicts each in one call.

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
        rows = [place.row for place in places]
        forecast, version = self._forecast(
            models, grid, rows + [row for row, _ in extra], bases + [base for _, base in extra]
        )
        for i in range(len(places), len(places) + len(extra)):
            self._keep(forecast, i)
        cases = self._cases(places, grid)
        anomalies = self._judge(cases, grid, models)
        for i in range(len(places)):
            self._keep(forecast, i)
        self.canary = CanaryBatch(grid, rows, bases, cases)
        other = self._challenge(models, grid, rows, bases)
        hashes = _hashes(grid, places, bases)
        return [
            self._answer(place, i, (forecast, version), other, anomalies[i], hashes[i])
            for i, place in enumerate(places)
        ]

    def _answer(
        self,
        place: Place,
        i: int,
        champion: tuple[Forecast, str],
        challenger: tuple[Forecast, str] | None,
        anomaly: Anomaly,
        inputs: str,
    ) -> PredictionResult:
        serves, shadow = champion, challenger
        if challenger and serves_challenger(place.window.station_id, self._share):
            serves, shadow = challenger, champion
        made = [
            _prediction(place.window.aggregated_features.last_observation, one[0], i, one[1], anomaly) if one else None
            for one in (serves, shadow)
        ]
        assert made[0] is not None
        return PredictionResult(made[0], made[1], inputs)

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

    def _cases(self, places: Sequence[Place], grid: HourGrid) -> list[Case]:
        return [
            Case(place.window, self._before(place.window), place.row, self._expected(place, grid)) for place in places
        ]

    def _judge(self, cases: Sequence[Case], grid: HourGrid, models: ActiveModels) -> list[Anomaly]:
        try:
            verdicts = models.detector.check_many(cases, grid, models.detector_version)
        except Exception as error:
            log.exception("anomaly detector version %s failed, the rules alone judge", models.detector_version)
            self._champions.failed("detector", models.detector_version, repr(error))
            return AnomalyDetector.rules_only().check_many(cases, grid, None)
        self._champions.well("detector")
        return verdicts

    def _forecast(
        self, models: ActiveModels, grid: HourGrid, rows: Sequence[int], bases: Sequence[int]
    ) -> tuple[Forecast, str]:
        """The champion's forecast, or persistence's where it fails: an answer all the same, and marked."""
        made = self._ask("forecaster", models.forecaster, models.forecaster_version, grid, rows, bases)
        if made is not None:
            return made, models.forecaster_version
        return PersistenceForecaster().forecast(grid, rows, bases), NO_MODEL

    def _challenge(
        self, models: ActiveModels, grid: HourGrid, rows: Sequence[int], bases: Sequence[int]
    ) -> tuple[Forecast, str] | None:
        """The challenger's forecast; None without a challenger, and where it fails."""
        if models.challenger is None or models.challenger_version is None:
            return None
        made = self._ask("challenger", models.challenger, models.challenger_version, grid, rows, bases)
        return (made, models.challenger_version) if made is not None else None

    def _ask(
        self, seat: str, model: Forecaster, version: str, grid: HourGrid, rows: Sequence[int], bases: Sequence[int]
    ) -> Forecast | None:
        """A model's forecast; None where it fails, which its seat is told."""
        began = time.monotonic()
        try:
            forecast = model.forecast(grid, rows, bases)
            wrong = fault(forecast)
        except Exception as error:
            log.exception("%s version %s failed", seat, version)
            self._champions.failed(seat, version, repr(error))
            return None
        seconds = time.monotonic() - began
        if wrong is not None:
            log.error("%s version %s gave %s", seat, version, wrong)
            self._champions.failed(seat, version, wrong)
            return None
        if seconds > SLOW_SECONDS + SLOW_SECONDS_EACH * len(rows):
            self._champions.failed(seat, version, f"{len(rows)} forecasts took {seconds:.1f} s")
        else:
            self._champions.well(seat)
        return forecast

    def _before(self, window: WindowFeatures) -> list[CurrentReading]:
        now = window.aggregated_features.last_observation
        recent = self._recent[window.station_id]
        return [recent[time] for time in sorted(recent) if now - RECENT <= time < now]


def serves_challenger(station_id: str, share: float) -> bool:
    """Whether a station is among the challenger's share; always the same for the same station and share."""
    number = int.from_bytes(hashlib.sha256(station_id.encode()).digest()[:8], "big")
    return number < share * 2**64


def _hashes(grid: HourGrid, places: Sequence[Place], bases: Sequence[int]) -> list[str]:
    """For each answer a hash of all it rests on: every station's last hours up to its base hour, and its own window.

    Stations in the order of their ids, so that a restart, which meets them in another order, changes nothing.
    """
    ids = [station.station_id for station in grid.stations]
    order = np.argsort(ids)
    ordered, names = grid.values[order], "|".join(ids[i] for i in order)
    known = {
        base: hashlib.sha256(
            f"{names}|{grid.hours[base]}".encode() + ordered[:, max(0, base - PAST_HOURS) : base + 1].tobytes()
        ).digest()
        for base in set(bases)
    }
    return [
        hashlib.sha256(known[base] + place.window.to_json()).hexdigest()
        for place, base in zip(places, bases, strict=True)
    ]


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
            **_interval(forecast, LEVEL, i, ahead),
            history_hours=int(forecast.history_hours[i]),
            others=[Interval(**_interval(forecast, level, i, ahead)) for level in LEVELS if level != LEVEL],
        ),
    )


def _interval(forecast: Forecast, level: float, i: int, ahead: Sequence[int]) -> dict[str, Any]:
    lower, upper = (Bounds(**_paths(bound[level][i, ahead])) for bound in (forecast.lower, forecast.upper))
    return {"level": level, "lower": lower, "upper": upper}


def _paths(values: npt.NDArray[np.float64]) -> dict[str, list[float]]:
    return {name: column.tolist() for name, column in zip(VARIABLES, np.round(values.T, DECIMALS), strict=True)}


def _reading(features: AggregatedFeatures) -> npt.NDArray[np.float32]:
    """The present reading as a grid value, axes as `history.GRID_VARIABLES`."""
    values = [features.temperature.mean, features.humidity.mean, features.pressure.mean]
    return np.array([*values, features.wind.u, features.wind.v, features.wind_speed.mean], np.float32)
