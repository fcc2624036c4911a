"""Whether a station's present reading can be trusted, with reasons.

Hard flags come from rules: `range` (WMO's plausible values), `step` and `flat_line`. Soft flags come from limits learnt
from history: `forecast_residual` (how far from what was forecast, in half-widths of the 90 % interval) and
`isolation_forest` (how odd the state of the station is). The limits of soft flags are quantiles of history, so that
about `FALSE_ALARMS` of ordinary readings would be flagged. "Not checked" is not "ok".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import numpy.typing as npt

from weatherglass.history import HourGrid
from weatherglass.models import artefact, oddness, rules
from weatherglass.models.climatology import Climatology
from weatherglass.models.forecast import Forecast
from weatherglass.models.isolation import IsolationForest
from weatherglass.models.oddness import Oddness
from weatherglass.models.rules import Finding, Reading
from weatherglass.records import UNITS, VARIABLES, Anomaly, Quality, WindowFeatures

__all__ = ["AnomalyDetector", "Case", "Expected", "Reading", "expected_at"]

KIND = "anomaly-detector"
CHECKS = ("range", "step", "flat_line", "forecast_residual", "isolation_forest")

FALSE_ALARMS = 0.001
"""Share of history's readings that a soft check may flag, for each variable: one or two a station and week."""

DEFAULT_RESIDUAL_LIMIT = 3.0
"""Half-widths of the 90 % interval; before any limit has been learnt."""


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
    recent: Sequence[Reading]
    row: int | None
    expected: Expected | None


@dataclass(frozen=True)
class AnomalyDetector:
    """Rules, and limits learnt from history.

    Attributes:
        oddness: the isolation forest and what it needs; None before any training.
        residual_limit: (4,) half-widths of the 90 % interval beyond which a reading is flagged.
    """

    oddness: Oddness | None = None
    residual_limit: npt.NDArray[np.float64] = field(
        default_factory=lambda: np.full(len(VARIABLES), DEFAULT_RESIDUAL_LIMIT)
    )

    @classmethod
    def rules_only(cls) -> AnomalyDetector:
        """A detector without training: it cannot check `isolation_forest`."""
        return cls()

    def save(self, folder: Path) -> None:
        """Write a trained detector into an empty folder."""
        if self.oddness is None:
            raise ValueError("a detector without training has nothing to save")
        folder.mkdir(parents=True, exist_ok=True)
        artefact.save_arrays(
            folder / "arrays.npz",
            {
                "coefficients": self.oddness.climatology.coefficients,
                "scale": self.oddness.scale,
                "limit": np.array(self.oddness.limit),
                "residual_limit": self.residual_limit,
                **self.oddness.forest.arrays(),
            },
        )
        about = {"stations": list(self.oddness.climatology.station_ids), "features": list(oddness.NAMES)}
        artefact.seal(folder, KIND, about)

    @classmethod
    def load(cls, folder: Path) -> AnomalyDetector:
        """Read a detector; raises `artefact.ModelFileError` where the folder is not one, or was changed."""
        about = artefact.unseal(folder, KIND)
        if about["features"] != list(oddness.NAMES):
            raise artefact.ModelFileError(f"{folder}: made for other features than this version uses")
        arrays = artefact.load_arrays(folder / "arrays.npz")
        learnt = Oddness(
            Climatology(tuple(about["stations"]), arrays["coefficients"]),
            arrays["scale"],
            IsolationForest.of_arrays(arrays),
            float(arrays["limit"]),
        )
        return cls(learnt, arrays["residual_limit"])

    def check(self, case: Case, grid: HourGrid, version: str | None) -> Anomaly:
        return self.check_many([case], grid, version)[0]

    def check_many(self, cases: Sequence[Case], grid: HourGrid, version: str | None) -> list[Anomaly]:
        """Judge many readings in one go; `version` is the registered version of this detector, None for rules only."""
        odd = self._odd(cases, grid)
        return [self._judge(case, grid, finding, version) for case, finding in zip(cases, odd, strict=True)]

    def _judge(self, case: Case, grid: HourGrid, odd: Finding, version: str | None) -> Anomaly:
        reading = Reading.of(case.window)
        past = grid.values[case.row] if case.row is not None else None
        findings = {
            "range": rules.plausible(case.window),
            "step": rules.step(reading, case.recent),
            "flat_line": rules.flat_line(reading, case.recent, past, grid.start),
            "forecast_residual": self._residual(reading, case.expected),
            "isolation_forest": odd,
        }
        score = max(finding.score for finding in findings.values())
        return Anomaly(
            is_anomaly=any(finding.quality is Quality.FAILED for finding in findings.values()),
            score=round(float(score), 3),
            checks={name: findings[name].quality for name in CHECKS},
            reasons=[reason for name in CHECKS for reason in findings[name].reasons],
            model_version=version,
        )

    def _residual(self, reading: Reading, expected: Expected | None) -> Finding:
        """Distance from the forecast, in half-widths of the interval on that side; 0.5 is the learnt limit."""
        if expected is None:
            return Finding.not_checked()
        value = np.array(reading.values)
        if not np.isfinite(value).any():
            return Finding.not_checked()
        far = np.abs(value - expected.values)
        side = np.where(value >= expected.values, expected.upper, expected.lower)
        half = np.maximum(np.abs(side - expected.values), rules.RESOLUTION)
        ratio = far / half / self.residual_limit
        reasons = [
            f"{rules.name(v)} is {far[v]:.1f} {UNITS[name]} {'above' if value[v] > expected.values[v] else 'below'} "
            f"its forecast of {expected.values[v]:.1f} {UNITS[name]}; at most "
            f"{half[v] * self.residual_limit[v]:.1f} {UNITS[name]} is usual"
            for v, name in enumerate(VARIABLES)
            if ratio[v] > 1
        ]
        worst = float(np.nanmax(ratio))
        return Finding.soft(worst**2 / (1 + worst**2), reasons)

    def _odd(self, cases: Sequence[Case], grid: HourGrid) -> list[Finding]:
        """The isolation forest, once for all cases that it can judge."""
        findings = [Finding.not_checked()] * len(cases)
        if self.oddness is None:
            return findings
        readings = [Reading.of(case.window) for case in cases]
        rows = np.array([-1 if case.row is None else case.row for case in cases], dtype=np.int64)
        judged = self.oddness.judge(
            grid, rows, [reading.time for reading in readings], np.array([reading.values for reading in readings])
        )
        return [finding if finding is not None else Finding.not_checked() for finding in judged]
