"""The anomaly detector: flags for the current reading of a station, each with a reason.

Hard flags come from rules: `range` (plausible values of the WMO), `step`, `flat_line` and `consistency`. Soft flags
come from the learned score (`anomaly.learned_score`): a model on all checks, trained on injected faults, with limits
that meet a budget of false alarms; `forecast_residual`, `neighbours` and `isolation_forest` are the single checks that
find the reading unlikely. A station that the detector was not trained on is compared with the champion's earlier
forecast instead. *Not checked* is not the same as *ok*.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import numpy.typing as npt

from weatherglass.anomaly.learned_score import LearnedScore, SoftFlag
from weatherglass.forecast.forecaster import Forecast
from weatherglass.forecast.variables import model_variables
from weatherglass.history.grid import HourGrid
from weatherglass.qc import series_checks
from weatherglass.records import UNITS, VARIABLES, Anomaly, Flag, Quality, WindowFeatures
from weatherglass.registry import artifact
from weatherglass.registry.arrays import ModelArrays, save_arrays

KIND = "anomaly-detector"
ARRAYS = "arrays.npz"
HARD_CHECKS = ("range", "step", "flat_line", "consistency")
SOFT_CHECKS = ("forecast_residual", "neighbours", "isolation_forest", "learned_score")
CHECKS = (*HARD_CHECKS, *SOFT_CHECKS)

FALSE_ALARM_RATE = 0.001
"""Share of readings, per variable, that may exceed the limit of the distance from the champion's forecast."""

DEFAULT_RESIDUAL_LIMIT = 3.0
"""Half-widths of the 90 % interval; used until a limit has been fitted."""

PAST_HOURS = 48
"""Hours that the rules look back where the latest readings do not reach."""


@dataclass(frozen=True)
class CurrentReading:
    """One observation: time (UTC) and values in the order of `VARIABLES`; NaN where missing."""

    time: datetime
    values: tuple[float, ...]

    @classmethod
    def from_window(cls, window: WindowFeatures) -> CurrentReading:
        """Return the latest observation of a window."""
        features = window.aggregated_features
        blocks = (features.temperature, features.humidity, features.pressure, features.wind_speed)
        values = tuple(np.nan if block.last is None else block.last for block in blocks)
        return cls(features.last_observation, values)


@dataclass(frozen=True)
class ExpectedReading:
    """An earlier forecast of the current reading; arrays (4,) as `VARIABLES`, interval at 90 %."""

    values: npt.NDArray[np.float64]
    lower: npt.NDArray[np.float64]
    upper: npt.NDArray[np.float64]


def expected_reading(forecast: Forecast, index: int, time: datetime) -> ExpectedReading | None:
    """Interpolate row `index` of a forecast to a time (UTC); None before the first and after the last valid time.

    The forecast must be an earlier one: a forecast from the current reading would always agree with it.
    """
    base = forecast.base_hours[index].astype("datetime64[s]").astype(datetime).replace(tzinfo=UTC)
    lead = (time - base) / timedelta(hours=1)
    last = forecast.values.shape[1]
    if not 1 <= lead <= last:
        return None
    earlier = min(int(lead), last - 1) - 1
    share = lead - 1 - earlier

    def interpolate(path: npt.NDArray) -> npt.NDArray[np.float64]:
        return np.asarray((1 - share) * path[index, earlier] + share * path[index, earlier + 1], dtype=np.float64)

    return ExpectedReading(
        interpolate(forecast.values), interpolate(forecast.lower[0.9]), interpolate(forecast.upper[0.9])
    )


@dataclass(frozen=True)
class DetectorInput:
    """A reading to be checked.

    Attributes:
        window: the leading window of the reading.
        recent: the station's earlier readings, oldest first, of up to six hours.
        row: the station's row in the grid; None if it has none.
        expected: from the latest forecast that was issued before the reading.
    """

    window: WindowFeatures
    recent: Sequence[CurrentReading]
    row: int | None
    expected: ExpectedReading | None


@dataclass(frozen=True)
class AnomalyDetector:
    """The rules and, after training, the learned score.

    Attributes:
        learned: None before training.
        residual_limit: (4,) half-widths of the 90 % interval beyond which a reading is flagged, for stations that are
            unknown to the learned score.
    """

    learned: LearnedScore | None = None
    residual_limit: npt.NDArray[np.float64] = field(
        default_factory=lambda: np.full(len(VARIABLES), DEFAULT_RESIDUAL_LIMIT)
    )

    @classmethod
    def rules_only(cls) -> AnomalyDetector:
        """Return a detector without training."""
        return cls()

    def save(self, folder: Path) -> None:
        """Write a trained detector into an empty folder."""
        if self.learned is None:
            raise ValueError("a detector without training cannot be saved")
        folder.mkdir(parents=True, exist_ok=True)
        arrays, metadata = self.learned.save(folder)
        save_arrays(folder / ARRAYS, {**arrays, "residual_limit": self.residual_limit})
        artifact.write_manifest(folder, KIND, metadata)

    @classmethod
    def load(cls, folder: Path) -> AnomalyDetector:
        """Load a detector.

        Raises:
            artifact.ModelFileError: the folder does not hold a detector, or was modified.
        """
        metadata = artifact.verify(folder, KIND)
        arrays = ModelArrays(folder / ARRAYS)
        residual_limit = arrays.take("residual_limit", np.float64, (len(VARIABLES),))
        return cls(LearnedScore.load(folder, arrays, metadata), residual_limit)

    def limits(self) -> dict[str, float]:
        """Return all limits by name, for the registry."""
        limits = {f"residual_limit.{v}": float(x) for v, x in zip(VARIABLES, self.residual_limit, strict=True)}
        if self.learned:
            limits |= {f"score_limit.{v}": float(x) for v, x in zip(VARIABLES, self.learned.limits, strict=True)}
        return limits

    def check(self, item: DetectorInput, grid: HourGrid, version: str | None) -> Anomaly:
        """Check one reading, as `check_many`."""
        return self.check_many([item], grid, version)[0]

    def check_many(self, inputs: Sequence[DetectorInput], grid: HourGrid, version: str | None) -> list[Anomaly]:
        """Check many readings.

        Args:
            grid: the recent hours of all stations.
            version: registered version of this detector; None for rules only.
        """
        if not inputs:
            return []
        readings = [CurrentReading.from_window(item.window) for item in inputs]
        hard = self._rules(inputs, readings, grid)
        soft: list[list[SoftFlag] | None] = [None] * len(inputs)
        if self.learned is not None:
            rows = np.array([-1 if item.row is None else item.row for item in inputs], dtype=np.int64)
            values = np.array([reading.values for reading in readings])
            soft = self.learned.evaluate(grid, rows, [reading.time for reading in readings], values)
        return [
            self._anomaly(item, reading, rules, soft_flags, version)
            for item, reading, rules, soft_flags in zip(inputs, readings, hard, soft, strict=True)
        ]

    def _anomaly(
        self,
        item: DetectorInput,
        reading: CurrentReading,
        rules: tuple[dict[str, Quality], list[Flag]],
        soft_flags: list[SoftFlag] | None,
        version: str | None,
    ) -> Anomaly:
        checks, flags = dict(rules[0]), list(rules[1])
        checks |= dict.fromkeys(SOFT_CHECKS, Quality.NOT_CHECKED)
        highest = 0.0
        if soft_flags is not None:
            checks |= dict.fromkeys(SOFT_CHECKS, Quality.OK)
            for soft_flag in soft_flags:
                highest = max(highest, soft_flag.score)
                if soft_flag.reason:
                    onset = reading.time - timedelta(hours=soft_flag.hours)
                    flags.append(_flag(soft_flag.variable, "learned_score", soft_flag.score, soft_flag.reason, onset))
                    checks |= dict.fromkeys((*soft_flag.checks, "learned_score"), Quality.FAILED)
        elif item.expected is not None and np.isfinite(reading.values).any():
            residual_flags, highest = self._residual(reading, item.expected)
            flags += residual_flags
            checks["forecast_residual"] = Quality.FAILED if residual_flags else Quality.OK
        return Anomaly(
            is_anomaly=bool(flags),
            score=round(max([highest, *(flag.severity for flag in flags)]), 3),
            checks={name: checks[name] for name in CHECKS},
            reasons=[flag.reason for flag in flags],
            flags=flags,
            model_version=version,
        )

    def _residual(self, reading: CurrentReading, expected: ExpectedReading) -> tuple[list[Flag], float]:
        """Compare a reading with its forecast; return the flags and the highest score, 0.5 at the limit.

        The distance is measured in half-widths of the interval on that side.
        """
        value = np.array(reading.values)
        distance = np.abs(value - expected.values)
        side = np.where(value >= expected.values, expected.upper, expected.lower)
        half = np.maximum(np.abs(side - expected.values), series_checks.RESOLUTION)
        ratio = distance / half / self.residual_limit
        score = ratio**2 / (1 + ratio**2)
        flags = []
        for v in np.flatnonzero(ratio > 1).tolist():
            unit = UNITS[VARIABLES[v]]
            reason = (
                f"{series_checks.display_name(v)} of {value[v]:.1f} {unit} is {distance[v]:.1f} {unit} "
                f"{'above' if value[v] > expected.values[v] else 'below'} the forecast of {expected.values[v]:.1f} "
                f"{unit}; the limit is {half[v] * self.residual_limit[v]:.1f} {unit}"
            )
            flags.append(_flag(v, "forecast_residual", float(score[v]), reason, reading.time))
        return flags, float(np.nanmax(score))

    def _rules(
        self, inputs: Sequence[DetectorInput], readings: Sequence[CurrentReading], grid: HourGrid
    ) -> list[tuple[dict[str, Quality], list[Flag]]]:
        """Return the states of the hard checks and their flags, for each reading."""
        times, values = _series(inputs, readings, grid)
        step_limit = np.broadcast_to(series_checks.STEP_PER_HOUR, (len(inputs), len(VARIABLES))).copy()
        flat_limit = np.broadcast_to(series_checks.COARSE_FLAT_HOURS, step_limit.shape).copy()
        if self.learned is not None:
            known = self.learned.station_rows([item.window.station_id for item in inputs])
            step_limit[known >= 0] = self.learned.statistics.step_limit[known[known >= 0]]
            flat_limit[known >= 0] = self.learned.statistics.flat_limit[known[known >= 0]]
        steps = series_checks.check_steps(times, values, step_limit)
        flat_lines = series_checks.check_flat_lines(times, values, flat_limit)
        now = values[:, -1]
        both = [series_checks.TEMPERATURE, series_checks.HUMIDITY]
        inconsistent = series_checks.exceeds_dew_point(now)
        both_known = np.asarray(np.isfinite(now[:, both]).all(axis=1))
        step_failed = steps.failed[:, -1]
        results = []
        for i, (item, reading) in enumerate(zip(inputs, readings, strict=True)):
            flags = _excluded_values(item.window)
            excluded_as_inconsistent = any(flag.check == "consistency" for flag in flags)
            in_range = Quality.OK in item.window.aggregated_features.quality.values()
            checks = {
                "range": _state(any(flag.check == "range" for flag in flags), in_range),
                "step": _state(step_failed[i].any(), steps.checked[i, -1].any()),
                "flat_line": _state(flat_lines.failed[i, -1].any(), flat_lines.checked[i, -1].any()),
                "consistency": _state(excluded_as_inconsistent or bool(inconsistent[i]), bool(both_known[i])),
            }
            for v in np.flatnonzero(step_failed[i]).tolist():
                flags.append(_flag(v, "step", 1.0, steps.describe((i, -1, v)), reading.time))
            for v in np.flatnonzero(flat_lines.failed[i, -1]).tolist():
                onset = reading.time - timedelta(hours=float(flat_lines.hours[i, -1, v]))
                flags.append(_flag(v, "flat_line", 1.0, flat_lines.describe((i, -1, v), float(now[i, v])), onset))
            if inconsistent[i]:
                reason = series_checks.describe_dew_point(*now[i, both].tolist())
                flags += [_flag(v, "consistency", 1.0, reason, reading.time) for v in both]
            results.append((checks, flags))
        return results


def _flag(variable: int, check: str, severity: float, reason: str, onset: datetime) -> Flag:
    return Flag(
        variable=VARIABLES[variable], check=check, severity=round(min(severity, 1.0), 3), reason=reason, onset=onset
    )


def _state(failed: bool | np.bool_, checked: bool | np.bool_) -> Quality:
    return Quality.FAILED if failed else Quality.OK if checked else Quality.NOT_CHECKED


def _excluded_values(window: WindowFeatures) -> list[Flag]:
    """Return flags for the values that quality control excluded from the window (`qc.observation_checks`)."""
    features = window.aggregated_features
    failed = [check for check, state in features.checks.items() if state is Quality.FAILED]
    flags = []
    for v, variable in enumerate(VARIABLES):
        if features.quality.get(variable) is not Quality.FAILED:
            continue
        causes = [check for check in failed if variable in series_checks.EXCLUDED_VARIABLES.get(check, ())] or ["range"]
        for check in causes:
            kind = "consistency" if check in series_checks.CONSISTENCY_CHECKS else "range"
            flags.append(_flag(v, kind, 1.0, series_checks.describe_exclusion(check, v), features.last_observation))
    return flags


def _series(
    inputs: Sequence[DetectorInput], readings: Sequence[CurrentReading], grid: HourGrid
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return times (n, m), in hours, and values (n, m, 4) of each station, padded in front with missing values.

    First the hourly values, then the latest readings, last the reading to be checked.
    """
    longest = max(len(item.recent) for item in inputs)
    ends = [
        0 if item.row is None else _hours_until(min([reading.time, *(earlier.time for earlier in item.recent)]), grid)
        for item, reading in zip(inputs, readings, strict=True)
    ]
    first = max(0, min(ends) - PAST_HOURS)
    hourly = model_variables(grid.values[:, first : max(ends)])[..., : len(VARIABLES)]
    times = np.full((len(inputs), PAST_HOURS + longest + 1), -1e6)
    values = np.full((*times.shape, len(VARIABLES)), np.nan)
    start = _start(grid)
    for i, (item, reading) in enumerate(zip(inputs, readings, strict=True)):
        last = [*(earlier for earlier in item.recent if earlier.time < reading.time), reading]
        times[i, -len(last) :] = [(one.time.timestamp() - start) / 3600 for one in last]
        values[i, -len(last) :] = [one.values for one in last]
        if item.row is None:
            continue
        hours = np.arange(max(0, ends[i] - PAST_HOURS), ends[i])
        place = slice(times.shape[1] - len(last) - len(hours), times.shape[1] - len(last))
        times[i, place] = hours
        values[i, place] = hourly[item.row, hours - first]
    return times, values


def _start(grid: HourGrid) -> float:
    """Return the seconds since 1970 of the first hour of a grid."""
    return float(grid.start.astype("datetime64[s]").astype(np.int64))


def _hours_until(time: datetime, grid: HourGrid) -> int:
    """Return the number of hours of the grid before a time."""
    return min(max(0, int(np.ceil((time.timestamp() - _start(grid)) / 3600))), grid.values.shape[1])
