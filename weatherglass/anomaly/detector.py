"""Whether a station's present reading can be trusted, with reasons.

Hard flags come from rules: `range` (WMO's plausible values), `step`, `flat_line` and `consistency`. Soft flags come
from the learnt score (`anomaly.learned_score`): a model over all checks, trained on injected faults, whose limits
follow a budget of false alarms; `forecast_residual`, `neighbours` and `isolation_forest` say which checks it rests on.
Where nothing has been learnt of a station, its distance from the champion's earlier forecast is judged instead. "Not
checked" is not "ok".
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

__all__ = ["AnomalyDetector", "Case", "CurrentReading", "Expected", "expected_at"]

KIND = "anomaly-detector"
HARD = ("range", "step", "flat_line", "consistency")
SOFT = ("forecast_residual", "neighbours", "isolation_forest", "learnt_score")
CHECKS = (*HARD, *SOFT)

FALSE_ALARMS = 0.001
"""Share of readings, for each variable, that may be further from the champion's forecast than the limit."""

DEFAULT_RESIDUAL_LIMIT = 3.0
"""Half-widths of the 90 % interval; before any limit has been learnt."""

PAST_HOURS = 48
"""How far back the rules look where readings every few minutes do not reach."""


@dataclass(frozen=True)
class CurrentReading:
    """One observation: UTC time and values in the order of `VARIABLES`, NaN where missing."""

    time: datetime
    values: tuple[float, ...]

    @classmethod
    def of(cls, window: WindowFeatures) -> CurrentReading:
        """The newest observation of a window."""
        features = window.aggregated_features
        blocks = (features.temperature, features.humidity, features.pressure, features.wind_speed)
        values = tuple(np.nan if block.last is None else block.last for block in blocks)
        return cls(features.last_observation, values)


@dataclass(frozen=True)
class Expected:
    """What an earlier forecast said of now; arrays (4,) as `VARIABLES`, the interval at 90 %."""

    values: npt.NDArray[np.float64]
    lower: npt.NDArray[np.float64]
    upper: npt.NDArray[np.float64]


def expected_at(forecast: Forecast, index: int, time: datetime) -> Expected | None:
    """What the forecast's row `index` says of a time, between its valid hours; None before the first, after the last.

    The forecast must be an earlier one: one that stands on the present reading would always agree with it.
    """
    base = forecast.base_hours[index].astype("datetime64[s]").astype(datetime).replace(tzinfo=UTC)
    lead = (time - base) / timedelta(hours=1)
    last = forecast.values.shape[1]
    if not 1 <= lead <= last:
        return None
    before = min(int(lead), last - 1) - 1
    share = lead - 1 - before

    def between(path: npt.NDArray) -> npt.NDArray[np.float64]:
        return np.asarray((1 - share) * path[index, before] + share * path[index, before + 1], dtype=np.float64)

    return Expected(between(forecast.values), between(forecast.lower[0.9]), between(forecast.upper[0.9]))


@dataclass(frozen=True)
class Case:
    """A reading to be judged.

    Attributes:
        window: the leading window of the reading.
        recent: the station's readings before it, oldest first, of the last six hours or what has been seen of them.
        row: the station's row in the grid, None where it has none.
        expected: what the newest forecast issued before the reading says of now.
    """

    window: WindowFeatures
    recent: Sequence[CurrentReading]
    row: int | None
    expected: Expected | None


@dataclass(frozen=True)
class AnomalyDetector:
    """Rules, and what has been learnt from history.

    Attributes:
        learnt: None before any training.
        residual_limit: (4,) half-widths of the 90 % interval beyond which a reading is flagged where nothing has been
            learnt of its station.
    """

    learnt: LearnedScore | None = None
    residual_limit: npt.NDArray[np.float64] = field(
        default_factory=lambda: np.full(len(VARIABLES), DEFAULT_RESIDUAL_LIMIT)
    )

    @classmethod
    def rules_only(cls) -> AnomalyDetector:
        """A detector without training."""
        return cls()

    def save(self, folder: Path) -> None:
        """Write a trained detector into an empty folder."""
        if self.learnt is None:
            raise ValueError("a detector without training has nothing to save")
        folder.mkdir(parents=True, exist_ok=True)
        arrays, about = self.learnt.save(folder)
        artifact.save_arrays(folder / "arrays.npz", {**arrays, "residual_limit": self.residual_limit})
        artifact.write_manifest(folder, KIND, about)

    @classmethod
    def load(cls, folder: Path) -> AnomalyDetector:
        """Read a detector; raises `artefact.ModelFileError` where the folder is not one, or was changed."""
        about = artifact.verify(folder, KIND)
        arrays = artifact.load_arrays(folder / "arrays.npz")
        return cls(LearnedScore.load(folder, arrays, about), arrays["residual_limit"])

    def limits(self) -> dict[str, float]:
        """All limits by name, for the registry."""
        made = {f"residual_limit.{v}": float(x) for v, x in zip(VARIABLES, self.residual_limit, strict=True)}
        if self.learnt:
            made |= {f"score_limit.{v}": float(x) for v, x in zip(VARIABLES, self.learnt.limits, strict=True)}
        return made

    def check(self, case: Case, grid: HourGrid, version: str | None) -> Anomaly:
        return self.check_many([case], grid, version)[0]

    def check_many(self, cases: Sequence[Case], grid: HourGrid, version: str | None) -> list[Anomaly]:
        """Judge many readings in one go; `version` is the registered version of this detector, None for rules only."""
        if not cases:
            return []
        readings = [CurrentReading.of(case.window) for case in cases]
        hard = self._rules(cases, readings, grid)
        soft: list[list[SoftFlag] | None] = [None] * len(cases)
        if self.learnt is not None:
            rows = np.array([-1 if case.row is None else case.row for case in cases], dtype=np.int64)
            values = np.array([reading.values for reading in readings])
            soft = self.learnt.judge(grid, rows, [reading.time for reading in readings], values)
        return [
            self._verdict(case, reading, found, suspicions, version)
            for case, reading, found, suspicions in zip(cases, readings, hard, soft, strict=True)
        ]

    def _verdict(
        self,
        case: Case,
        reading: CurrentReading,
        hard: tuple[dict[str, Quality], list[Flag]],
        soft: list[SoftFlag] | None,
        version: str | None,
    ) -> Anomaly:
        checks, flags = dict(hard[0]), list(hard[1])
        checks |= dict.fromkeys(SOFT, Quality.NOT_CHECKED)
        highest = 0.0
        if soft is not None:
            checks |= dict.fromkeys(SOFT, Quality.OK)
            for one in soft:
                highest = max(highest, one.score)
                if one.reason:
                    onset = reading.time - timedelta(hours=one.hours)
                    flags.append(_flag(one.variable, "learnt_score", one.score, one.reason, onset))
                    checks |= dict.fromkeys((*one.checks, "learnt_score"), Quality.FAILED)
        elif case.expected is not None and np.isfinite(reading.values).any():
            found, highest = self._residual(reading, case.expected)
            flags += found
            checks["forecast_residual"] = Quality.FAILED if found else Quality.OK
        return Anomaly(
            is_anomaly=bool(flags),
            score=round(max([highest, *(flag.severity for flag in flags)]), 3),
            checks={name: checks[name] for name in CHECKS},
            reasons=[flag.reason for flag in flags],
            flags=flags,
            model_version=version,
        )

    def _residual(self, reading: CurrentReading, expected: Expected) -> tuple[list[Flag], float]:
        """Distance from the forecast, in half-widths of the interval on that side; 0.5 is the limit."""
        value = np.array(reading.values)
        far = np.abs(value - expected.values)
        side = np.where(value >= expected.values, expected.upper, expected.lower)
        half = np.maximum(np.abs(side - expected.values), series_checks.RESOLUTION)
        ratio = far / half / self.residual_limit
        score = ratio**2 / (1 + ratio**2)
        flags = []
        for v in np.flatnonzero(ratio > 1).tolist():
            unit = UNITS[VARIABLES[v]]
            reason = (
                f"{series_checks.name(v)} is {far[v]:.1f} {unit} "
                f"{'above' if value[v] > expected.values[v] else 'below'} "
                f"its forecast of {expected.values[v]:.1f} {unit}; at most {half[v] * self.residual_limit[v]:.1f} "
                f"{unit} is usual"
            )
            flags.append(_flag(v, "forecast_residual", float(score[v]), reason, reading.time))
        return flags, float(np.nanmax(score))

    def _rules(
        self, cases: Sequence[Case], readings: Sequence[CurrentReading], grid: HourGrid
    ) -> list[tuple[dict[str, Quality], list[Flag]]]:
        """States of the hard checks and their flags, for each case."""
        times, values = _series(cases, readings, grid)
        step_limit = np.broadcast_to(series_checks.STEP_PER_HOUR, (len(cases), len(VARIABLES))).copy()
        flat_limit = np.broadcast_to(series_checks.FLAT_HOURS, step_limit.shape).copy()
        if self.learnt is not None:
            known = self.learnt.knows([case.window.station_id for case in cases])
            step_limit[known >= 0] = self.learnt.background.step_limit[known[known >= 0]]
            flat_limit[known >= 0] = self.learnt.background.flat_limit[known[known >= 0]]
        steps, flats = series_checks.steps(times, values, step_limit), series_checks.flats(times, values, flat_limit)
        now = values[:, -1]
        damp, both = (
            series_checks.too_damp(now),
            np.asarray(np.isfinite(now[:, [0, series_checks.HUMIDITY]]).all(axis=1)),
        )
        step_failed = steps.failed[:, -1]
        made = []
        for i, (case, reading) in enumerate(zip(cases, readings, strict=True)):
            flags = _kept_out(case.window)
            contradicted = any(flag.check == "consistency" for flag in flags)
            in_range = Quality.OK in case.window.aggregated_features.quality.values()
            checks = {
                "range": _state(any(flag.check == "range" for flag in flags), in_range),
                "step": _state(step_failed[i].any(), steps.checked[i, -1].any()),
                "flat_line": _state(flats.failed[i, -1].any(), flats.checked[i, -1].any()),
                "consistency": _state(contradicted or bool(damp[i]), bool(both[i])),
            }
            for v in np.flatnonzero(step_failed[i]).tolist():
                flags.append(_flag(v, "step", 1.0, steps.in_words((i, -1, v)), reading.time))
            for v in np.flatnonzero(flats.failed[i, -1]).tolist():
                onset = reading.time - timedelta(hours=float(flats.hours[i, -1, v]))
                flags.append(_flag(v, "flat_line", 1.0, flats.in_words((i, -1, v), float(now[i, v])), onset))
            if damp[i]:
                reason = series_checks.too_damp_in_words(float(now[i, 0]), float(now[i, series_checks.HUMIDITY]))
                flags += [_flag(v, "consistency", 1.0, reason, reading.time) for v in (0, series_checks.HUMIDITY)]
            made.append((checks, flags))
        return made


def _flag(variable: int, check: str, severity: float, reason: str, onset: datetime) -> Flag:
    return Flag(
        variable=VARIABLES[variable], check=check, severity=round(min(severity, 1.0), 3), reason=reason, onset=onset
    )


def _state(failed: bool | np.bool_, checked: bool | np.bool_) -> Quality:
    return Quality.FAILED if failed else Quality.OK if checked else Quality.NOT_CHECKED


def _kept_out(window: WindowFeatures) -> list[Flag]:
    """What quality control kept out of the window (`qc.observation_checks`), so that its numbers are gone."""
    found = window.aggregated_features
    failed = [check for check, state in found.checks.items() if state is Quality.FAILED]
    flags = []
    for v, variable in enumerate(VARIABLES):
        if found.quality.get(variable) is not Quality.FAILED:
            continue
        causes = [check for check in failed if variable in series_checks.KEPT_OUT_BY.get(check, ())] or ["range"]
        for check in causes:
            kind = "consistency" if check in series_checks.CONTRADICTIONS else "range"
            flags.append(_flag(v, kind, 1.0, series_checks.kept_out_in_words(check, v), found.last_observation))
    return flags


def _series(
    cases: Sequence[Case], readings: Sequence[CurrentReading], grid: HourGrid
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Times (n, m), hours, and values (n, m, 4) of each station: its hours, its last readings, and this one at the end.

    Padded in front with missing values.
    """
    most = max(len(case.recent) for case in cases)
    ends = [
        0 if case.row is None else _hours_until(min([reading.time, *(one.time for one in case.recent)]), grid)
        for case, reading in zip(cases, readings, strict=True)
    ]
    first = max(0, min(ends) - PAST_HOURS)
    hourly = model_variables(grid.values[:, first : max(ends)])[..., : len(VARIABLES)]
    times = np.full((len(cases), PAST_HOURS + most + 1), -1e6)
    values = np.full((*times.shape, len(VARIABLES)), np.nan)
    start = _start(grid)
    for i, (case, reading) in enumerate(zip(cases, readings, strict=True)):
        last = [*(one for one in case.recent if one.time < reading.time), reading]
        times[i, -len(last) :] = [(one.time.timestamp() - start) / 3600 for one in last]
        values[i, -len(last) :] = [one.values for one in last]
        if case.row is None:
            continue
        hours = np.arange(max(0, ends[i] - PAST_HOURS), ends[i])
        place = slice(times.shape[1] - len(last) - len(hours), times.shape[1] - len(last))
        times[i, place] = hours
        values[i, place] = hourly[case.row, hours - first]
    return times, values


def _start(grid: HourGrid) -> float:
    """Seconds since 1970 of a grid's first hour."""
    return float(grid.start.astype("datetime64[s]").astype(np.int64))


def _hours_until(time: datetime, grid: HourGrid) -> int:
    """How many hours of the grid lie before a time."""
    return min(max(0, int(np.ceil((time.timestamp() - _start(grid)) / 3600))), grid.values.shape[1])
