"""From leading windows to predictions: the forecast with its intervals, and the anomaly check of the reading."""

from __future__ import annotations

import hashlib
import logging
import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import numpy.typing as npt

from ray_jobs.inference.canary_check import CanaryBatch, find_defect
from ray_jobs.inference.deduplication import is_leading
from ray_jobs.inference.guided_forecast import VersionedForecast, add_guidance
from ray_jobs.inference.hour_buffer import HourBuffer, first_hour64, hour64
from ray_jobs.inference.model_manager import NO_MODEL, ActiveGuidance, ActiveModels, ModelManager
from weatherglass.anomaly.detector import (
    AnomalyDetector,
    CurrentReading,
    DetectorInput,
    ExpectedReading,
    expected_reading,
)
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
"""Level of the main interval of a prediction; the other `LEVELS` are in `Confidence.others`."""
RECENT = timedelta(hours=6)
"""How long readings are kept for comparison with a station's newest reading."""
STALE_HOURS = 2
"""If the newest hour is more hours older than the reading, the reading itself is used as the base hour."""
MAX_EXPECTED_HOURS = 12
"""Maximum age of the forecast from which the expected value of a reading is taken."""
DECIMALS = 2
SLOW_SECONDS = 5.0
SLOW_SECONDS_PER_FORECAST = 0.01
"""A batch that takes longer than `SLOW_SECONDS` plus this for each forecast counts as failed."""


@dataclass(eq=False)
class PendingPrediction:
    """One leading window of a batch, with what has been determined for its prediction so far.

    Attributes:
        row: row of the station in the grid.
        column: grid column of the hour of the reading.
        base: grid column of the base hour of the forecast.
        expectation_base: base hour of a forecast that is still missing to compute the reading's expected value;
            None if that forecast was issued before, or there is none.
        inputs: SHA-256 of the inputs.
        detector_input: for the anomaly check.
        anomaly: result of the anomaly check.
    """

    window: WindowFeatures
    row: int
    column: int
    base: int
    expectation_base: int | None
    inputs: str = ""
    detector_input: DetectorInput = field(init=False)
    anomaly: Anomaly = field(init=False)

    @property
    def station_id(self) -> str:
        return self.window.station_id

    @property
    def time(self) -> datetime:
        """Time of the reading, UTC."""
        return self.window.aggregated_features.last_observation


@dataclass(frozen=True)
class PredictionResult:
    """A prediction, that of the other version (None without a challenger), and a SHA-256 of the inputs.

    The same version gives the same prediction for the same inputs and guidance.
    """

    prediction: Prediction
    shadow: Prediction | None
    inputs: str


class Predictor:
    """Makes predictions. Keeps recent readings and issued forecasts as input of the anomaly check.

    Args:
        challenger_share: share of the stations for which the challenger's forecast is published, and the champion's
            goes to the shadow topic.
    """

    def __init__(self, hours: HourBuffer, models: ModelManager, challenger_share: float = 0.0):
        self._hours = hours
        self._models = models
        self._share = challenger_share
        self._recent: dict[str, dict[datetime, CurrentReading]] = defaultdict(dict)
        """Station -> time -> reading, for `RECENT` before the newest one."""
        self._issued: dict[str, dict[np.datetime64, tuple[Forecast, int]]] = defaultdict(dict)
        """Station -> base hour -> forecast and its row, for `MAX_EXPECTED_HOURS` before the newest one."""
        self.canary: CanaryBatch | None = None
        """The inputs of the last batch that had predictions."""

    def add_readings(self, windows: Iterable[WindowFeatures]) -> None:
        """Keep the readings of the leading windows of a batch. Idempotent."""
        for window in windows:
            if is_leading(window):
                recent = self._recent[window.station_id]
                recent[window.aggregated_features.last_observation] = CurrentReading.from_window(window)
                oldest = max(recent) - RECENT
                for time in [time for time in recent if time < oldest]:
                    del recent[time]

    def predict(self, windows: Sequence[WindowFeatures], models: ActiveModels) -> list[PredictionResult]:
        """A prediction for each leading window; forecasts and anomaly checks are one batched call each.

        Windows before the start of the grid, 5 days before the newest hour of any station, get no prediction.
        """
        for window in windows:
            self._locate(window)  # extends the grid, so that columns do not change afterwards
        grid = self._hours.grid()
        pending = [found for window in windows if grid and (found := self._prepare(window, grid)) is not None]
        if not pending or grid is None:
            return []
        champion = self._forecast(models, grid, pending)
        for index in range(len(pending), len(champion.forecast.station_ids)):
            self._remember(champion.forecast, index)
        for one in pending:
            one.detector_input = DetectorInput(
                one.window, self._earlier_readings(one, grid), one.row, self._expected(one, grid)
            )
        self._detect_anomalies(pending, grid, models)
        for index in range(len(pending)):
            self._remember(champion.forecast, index)
        rows, bases = [one.row for one in pending], [one.base for one in pending]
        self.canary = CanaryBatch(grid, rows, bases, [one.detector_input for one in pending])
        challenger = self._challenge(models, grid, rows, bases)
        own = [champion] if challenger is None else [champion, challenger]
        served = self._with_guidance(own, models.guidance, grid)
        _set_input_hashes(pending, grid)
        return [self._result(one, index, *served) for index, one in enumerate(pending)]

    def _locate(self, window: WindowFeatures) -> tuple[int, int] | None:
        return self._hours.locate(window.station_id, hour64(window.aggregated_features.last_observation))

    def _prepare(self, window: WindowFeatures, grid: HourGrid) -> PendingPrediction | None:
        """Choose the base hour; without a recent one the reading is written into the grid. None: before the grid."""
        cell = self._locate(window)
        if cell is None:
            return None
        row, column = cell
        base = self._hours.base_column(row, column)
        if base is None or column - base > STALE_HOURS:
            base = column
            grid.values[row, base] = _grid_values(window.aggregated_features)
        return PendingPrediction(window, row, column, base, self._expectation_base(window, row, column, grid))

    def _expectation_base(self, window: WindowFeatures, row: int, column: int, grid: HourGrid) -> int | None:
        base = self._hours.base_column(row, column - 1)
        if base is None or column - base > MAX_EXPECTED_HOURS:
            return None
        return None if grid.hours[base] in self._issued[window.station_id] else base

    def _forecast(
        self, models: ActiveModels, grid: HourGrid, pending: Sequence[PendingPrediction]
    ) -> VersionedForecast:
        """The champion's forecast, or that of persistence if it fails: first all predictions, then `expectation_base`.

        One call for both, because a call costs more than a row.
        """
        missing = [(one.row, one.expectation_base) for one in pending if one.expectation_base is not None]
        rows = [one.row for one in pending] + [row for row, _ in missing]
        bases = [one.base for one in pending] + [base for _, base in missing]
        forecast = self._run_model("forecaster", models.forecaster, models.forecaster_version, grid, rows, bases)
        if forecast is not None:
            return VersionedForecast(forecast, models.forecaster_version)
        return VersionedForecast(PersistenceForecaster().forecast(grid, rows, bases), NO_MODEL)

    def _challenge(
        self, models: ActiveModels, grid: HourGrid, rows: Sequence[int], bases: Sequence[int]
    ) -> VersionedForecast | None:
        """The challenger's forecast; None without a challenger, and if it fails."""
        if models.challenger is None or models.challenger_version is None:
            return None
        forecast = self._run_model("challenger", models.challenger, models.challenger_version, grid, rows, bases)
        return None if forecast is None else VersionedForecast(forecast, models.challenger_version)

    def _with_guidance(
        self, own: Sequence[VersionedForecast], active: ActiveGuidance | None, grid: HourGrid
    ) -> list[VersionedForecast]:
        """Forecasts combined with guidance; `own` where that fails. The batch fails if one of them does."""
        if active is None or all(one.version == NO_MODEL for one in own):
            return list(own)
        served, failures = add_guidance(own, active, grid)
        if failures:
            self._models.record_failure("guidance", active.version, failures[0])
        else:
            self._models.record_success("guidance")
        return served

    def _run_model(
        self, slot: str, model: Forecaster, version: str, grid: HourGrid, rows: Sequence[int], bases: Sequence[int]
    ) -> Forecast | None:
        """The forecast of a model, recorded as a success or failure of its slot; None if it must not be published."""
        began = time.monotonic()
        try:
            forecast = model.forecast(grid, rows, bases)
            defect = find_defect(forecast)
        except Exception as error:
            log.exception("%s version %s failed", slot, version)
            self._models.record_failure(slot, version, repr(error))
            return None
        seconds = time.monotonic() - began
        if defect is not None:
            log.error("the forecast of %s version %s has %s", slot, version, defect.detail)
            self._models.record_failure(slot, version, f"its forecast has {defect.detail}")
            return None
        if seconds > SLOW_SECONDS + SLOW_SECONDS_PER_FORECAST * len(rows):
            self._models.record_failure(slot, version, f"{len(rows)} forecasts took {seconds:.1f} s")
        else:
            self._models.record_success(slot)
        return forecast

    def _remember(self, forecast: Forecast, index: int) -> None:
        issued = self._issued[forecast.station_ids[index]]
        issued[forecast.base_hours[index]] = forecast, index
        for base in [base for base in issued if max(issued) - base > np.timedelta64(MAX_EXPECTED_HOURS, "h")]:
            del issued[base]

    def _expected(self, pending: PendingPrediction, grid: HourGrid) -> ExpectedReading | None:
        """The expected value from the newest forecast whose base hour is before the hour of the reading.

        Not from a forecast for an earlier place of the station.
        """
        issued = self._issued[pending.station_id]
        first = first_hour64(grid.stations[pending.row])
        earlier = [base for base in issued if first <= base < grid.hours[pending.column]]
        return expected_reading(*issued[max(earlier)], pending.time) if earlier else None

    def _earlier_readings(self, pending: PendingPrediction, grid: HourGrid) -> list[CurrentReading]:
        recent, since = self._recent[pending.station_id], grid.stations[pending.row].since
        begin = pending.time - RECENT if since is None else max(pending.time - RECENT, since)
        return [recent[time] for time in sorted(recent) if begin <= time < pending.time]

    def _detect_anomalies(self, pending: Sequence[PendingPrediction], grid: HourGrid, models: ActiveModels) -> None:
        """Set `anomaly` of each; by the rules alone if the detector fails."""
        inputs = [one.detector_input for one in pending]
        try:
            anomalies = models.detector.check_many(inputs, grid, models.detector_version)
        except Exception as error:
            log.exception("anomaly detector version %s failed; using the rules only", models.detector_version)
            self._models.record_failure("detector", models.detector_version, repr(error))
            anomalies = AnomalyDetector.rules_only().check_many(inputs, grid, None)
        else:
            self._models.record_success("detector")
        for one, anomaly in zip(pending, anomalies, strict=True):
            one.anomaly = anomaly

    def _result(
        self,
        pending: PendingPrediction,
        index: int,
        champion: VersionedForecast,
        challenger: VersionedForecast | None = None,
    ) -> PredictionResult:
        if challenger is None:
            return PredictionResult(_prediction(pending, champion, index), None, pending.inputs)
        published, shadow = champion, challenger
        if in_challenger_share(pending.station_id, self._share):
            published, shadow = challenger, champion
        return PredictionResult(
            _prediction(pending, published, index), _prediction(pending, shadow, index), pending.inputs
        )


def in_challenger_share(station_id: str, share: float) -> bool:
    """Whether the challenger's forecast is published for a station; depends only on the station and the share."""
    number = int.from_bytes(hashlib.sha256(station_id.encode()).digest()[:8], "big")
    return number < share * 2**64


def _set_input_hashes(pending: Sequence[PendingPrediction], grid: HourGrid) -> None:
    """Set `inputs` of each: a hash of the last hours of all stations up to its base hour and its own window.

    Stations are sorted by id, because their order in the grid changes with a restart. Guidance is not part of it: a
    window that is predicted again after a newer run has arrived has the same inputs.
    """
    ids = [station.station_id for station in grid.stations]
    order = np.argsort(ids)
    values, names = grid.values[order], "|".join(ids[i] for i in order)
    hour_hashes = {
        base: hashlib.sha256(
            f"{names}|{grid.hours[base]}".encode() + values[:, max(0, base - PAST_HOURS) : base + 1].tobytes()
        ).digest()
        for base in {one.base for one in pending}
    }
    for one in pending:
        one.inputs = hashlib.sha256(hour_hashes[one.base] + one.window.to_json()).hexdigest()


def _prediction(pending: PendingPrediction, versioned: VersionedForecast, index: int) -> Prediction:
    """The record for row `index` of a forecast, with the valid times after the reading."""
    forecast = versioned.forecast
    base = forecast.base_hours[index].astype("datetime64[s]").item().replace(tzinfo=UTC)
    valid_times = [base + timedelta(hours=lead) for lead in LEADS]
    ahead = [i for i, valid_time in enumerate(valid_times) if valid_time > pending.time]
    return Prediction(
        station_id=forecast.station_ids[index],
        timestamp=pending.time,
        predictions=Predictions(
            valid_times=[valid_times[i] for i in ahead],
            **_by_variable(forecast.values[index, ahead]),
            model_version=versioned.version,
            method=forecast.methods[index],
            guidance=versioned.guidance[index] if versioned.guidance else None,
        ),
        anomaly=pending.anomaly,
        confidence=Confidence(
            **_interval(forecast, LEVEL, index, ahead),
            history_hours=int(forecast.history_hours[index]),
            others=[Interval(**_interval(forecast, level, index, ahead)) for level in LEVELS if level != LEVEL],
        ),
    )


def _interval(forecast: Forecast, level: float, index: int, ahead: Sequence[int]) -> dict[str, Any]:
    lower, upper = (Bounds(**_by_variable(bound[level][index, ahead])) for bound in (forecast.lower, forecast.upper))
    return {"level": level, "lower": lower, "upper": upper}


def _by_variable(values: npt.NDArray[np.float64]) -> dict[str, list[float]]:
    """Rounded values (leads, variables) as a list for each variable."""
    return {name: column.tolist() for name, column in zip(VARIABLES, np.round(values.T, DECIMALS), strict=True)}


def _grid_values(features: AggregatedFeatures) -> npt.NDArray[np.float32]:
    """The means of a window in the order of `GRID_VARIABLES`."""
    values = [features.temperature.mean, features.humidity.mean, features.pressure.mean]
    return np.array([*values, features.wind.u, features.wind.v, features.wind_speed.mean], np.float32)
