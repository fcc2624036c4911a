"""The learned score: soft flags for the current readings of the stations that the detector was trained on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, Field

from weatherglass.anomaly import classifier, features, isolation_features, rule_limits
from weatherglass.anomaly.classifier import FaultClassifier
from weatherglass.anomaly.expected_values import VIEWS, ExpectedValues
from weatherglass.anomaly.features import SWAP_AMONG, AnomalyFeatures, StationStatistics
from weatherglass.anomaly.isolation_forest import IsolationForest
from weatherglass.forecast.climatology import TERMS, Climatology
from weatherglass.forecast.lightgbm_import import load_trees
from weatherglass.forecast.variables import MODEL_VARIABLES, model_variables
from weatherglass.history.grid import HourGrid
from weatherglass.qc.series_checks import display_name
from weatherglass.records import UNITS, VARIABLES
from weatherglass.registry import artifact
from weatherglass.registry.arrays import ModelArrays

COUNT = len(VARIABLES)
CLASSIFIER_FILE = "classifier.txt"
MAX_HOURS = 3
"""The readings of a batch are from one or two hours; older ones are checked by the rules only."""
EPISODE_RESIDUAL = 2.0
"""In units of the usual distance; an hour with a larger residual on the same side belongs to the episode."""
P_VALUE_LIMIT = 0.005
"""A check fails if its p-value is below this."""
HINT_LIMIT = 1.0
"""A time shift, a swap or another unit is mentioned if it halves the distance."""
FORECASTS = tuple(i for i, view in enumerate(VIEWS) if view.startswith("lead"))
NEIGHBOURS = VIEWS.index("neighbours")
HINTS = {
    "other_unit": "the value would fit in another unit",
    "time_shift_station": "the readings match those of several hours ago",
    "swapped_station": "the readings match a nearby station",
}
"""Feature -> the likely cause that it suggests."""


@dataclass(frozen=True)
class SoftFlag:
    """The learned score of one variable of a reading.

    Attributes:
        score: 0 to 1; above 0.5 it is a flag.
        checks: the single checks that find the value unlikely.
        reason: empty without a flag.
        hours: duration of the episode so far; 0 for this reading alone.
    """

    variable: int
    score: float
    checks: tuple[str, ...]
    reason: str
    hours: int


class AboutDetector(BaseModel):
    """What the manifest says about a detector; `stations` are ids."""

    stations: list[str] = Field(min_length=1)
    features: list[str]
    views: list[str]


@dataclass(frozen=True)
class LearnedScore:
    """The trained detector; rows of `statistics` are the stations of the climatology.

    Attributes:
        limits: (4,) scores of the classifier above which a value is flagged.
        residual_quantiles: (4, views, quantiles) sorted absolute residuals of each view, from hours that were not
            used for training; the rank of a residual among them gives its conformal p-value.
        isolation_quantiles: (quantiles,) the same for the scores of the isolation forest.
    """

    climatology: Climatology
    statistics: StationStatistics
    classifier: FaultClassifier
    limits: npt.NDArray[np.float64]
    residual_quantiles: npt.NDArray[np.float64]
    isolation_quantiles: npt.NDArray[np.float64]

    def station_rows(self, station_ids: Sequence[str]) -> npt.NDArray[np.int64]:
        """Return the row of each station, -1 if unknown."""
        return self.climatology.rows(station_ids)

    def normal(self, hours: npt.NDArray[np.datetime64]) -> npt.NDArray[np.float32]:
        """Return the climatology (stations, hours, 4)."""
        return self.climatology.at(np.arange(len(self.climatology.station_ids)), hours)[..., :COUNT]

    def evaluate(
        self, grid: HourGrid, rows: npt.NDArray[np.int64], times: Sequence[datetime], values: npt.NDArray
    ) -> list[list[SoftFlag] | None]:
        """Evaluate current readings.

        Args:
            grid: recent hours of all stations.
            rows: (n,) row of each station in the grid, -1 if it has none.
            times: (n,) UTC.
            values: (n, 4); NaN where missing.

        Returns:
            For each reading one score per variable with a value, or None if the reading could not be checked.
        """
        flags: list[list[SoftFlag] | None] = [None] * len(rows)
        ids = [grid.stations[row].station_id if row >= 0 else "" for row in rows]
        known = self.station_rows(ids)
        instants = np.array([time.astimezone(UTC).replace(tzinfo=None) for time in times], dtype="datetime64[s]")
        nearest = (instants + np.timedelta64(30, "m")).astype("datetime64[h]")
        for hour in np.unique(nearest[known >= 0])[::-1][:MAX_HOURS]:
            readings = np.flatnonzero((nearest == hour) & (known >= 0))
            recent = self._recent_values(grid, hour)
            recent[known[readings], -1] = values[readings]
            hours = hour - np.arange(features.LOOK_BACK, -1, -1)
            computed = features.compute_latest(recent, self.normal(hours), self.statistics)
            scores = self.classifier.score(computed.features[known[readings], 0])
            for reading, row, score in zip(readings, known[readings], scores, strict=True):
                if np.isfinite(score).any():
                    flags[reading] = [
                        self._soft_flag(computed, int(row), v, float(score[v]), float(values[reading, v]))
                        for v in range(COUNT)
                        if np.isfinite(score[v])
                    ]
        return flags

    def _recent_values(self, grid: HourGrid, hour: np.datetime64) -> npt.NDArray[np.float32]:
        """Return values (stations, LOOK_BACK + 1, 4) up to and including an hour; NaN where the grid has none."""
        rows = self.station_rows([station.station_id for station in grid.stations])
        columns = grid.index(hour) - np.arange(features.LOOK_BACK, -1, -1)
        inside = (columns >= 0) & (columns < grid.values.shape[1])
        values = np.full((len(self.climatology.station_ids), len(columns), COUNT), np.nan, np.float32)
        known = np.flatnonzero(rows >= 0)
        values[np.ix_(rows[known], inside)] = model_variables(grid.values[known][:, columns[inside]])[..., :COUNT]
        return values

    def _soft_flag(self, computed: AnomalyFeatures, row: int, v: int, score: float, value: float) -> SoftFlag:
        limit = self.limits[v]
        if score <= limit:
            return SoftFlag(v, 0.5 * score / limit, (), "", 0)
        by_name = dict(zip(features.NAMES, computed.features[row, 0, v].tolist(), strict=True))
        distances = np.abs(computed.residuals[row, -1, v])
        p_values = [_p_value(distances[view], self.residual_quantiles[v, view]) for view in range(len(VIEWS))]
        checks = []
        if min(p_values[view] for view in FORECASTS) < P_VALUE_LIMIT:
            checks.append("forecast_residual")
        if p_values[NEIGHBOURS] < P_VALUE_LIMIT:
            checks.append("neighbours")
        if _p_value(by_name["isolation_forest"], self.isolation_quantiles) < P_VALUE_LIMIT:
            checks.append("isolation_forest")
        view = min((*FORECASTS, NEIGHBOURS), key=lambda view: (p_values[view], -distances[view]))
        reason, hours = self._reason(computed, row, v, view, value, by_name)
        return SoftFlag(v, 0.5 + 0.5 * (score - limit) / (1 - limit), tuple(checks), reason, hours)

    def _reason(
        self, computed: AnomalyFeatures, row: int, v: int, view: int, value: float, by_name: dict[str, float]
    ) -> tuple[str, int]:
        """Return the reason of a flag, from the view with the least likely residual, and the hours before this one."""
        residuals = computed.residuals[row, :, v, view]
        side = np.sign(residuals[-1])
        off = residuals * side > EPISODE_RESIDUAL
        hours = int(np.argmin(off[::-1])) if not off.all() else len(off)
        expected, unit = float(computed.expected[row, -1, v, view]), UNITS[VARIABLES[v]]
        source = {
            "neighbours": "from its neighbours",
            "lead1": "from its last hour and its neighbours",
        }.get(VIEWS[view], "from its own past and its neighbours")
        reason = (
            f"{display_name(v)} of {value:.1f} {unit} is {abs(value - expected):.1f} {unit} "
            f"{'above' if side > 0 else 'below'} the value expected {source}"
        )
        if hours > 1:
            reason += f", for {hours} h"
        if by_name["flat_share"] >= 1:
            reason += f"; constant for {by_name['flat_hours']:.0f} h"
        hint = max(HINTS, key=lambda key: np.nan_to_num(by_name[key], nan=-1))
        if by_name[hint] > HINT_LIMIT:
            reason += f"; {HINTS[hint]}"
        return reason, max(0, hours - 1)

    def recalibrated(self, recent: HourGrid, budget: float) -> LearnedScore:
        """Return the same detector with limits that meet a budget on recent hours.

        Args:
            recent: its first `features.LOOK_BACK` hours are only used as the past.
            budget: false alarms per station, variable and week.
        """
        values, normal = self.station_values(recent), self.normal(recent.hours)
        first = features.LOOK_BACK
        scores = self.classifier.score(features.compute(values, normal, self.statistics, first).features)
        rule_flags = self.statistics.rule_flags(values)[:, first:]
        return replace(self, limits=classifier.fit_limits(scores, rule_flags, budget))

    def station_values(self, grid: HourGrid) -> npt.NDArray[np.float32]:
        """Return the grid's values (stations, hours, 4) in the order of these stations.

        Series with too few hours for training are NaN.
        """
        rows = self.station_rows([station.station_id for station in grid.stations])
        values = np.full((len(self.climatology.station_ids), grid.values.shape[1], COUNT), np.nan, np.float32)
        values[rows[rows >= 0]] = model_variables(grid.values[rows >= 0])[..., :COUNT]
        return np.where(np.isfinite(self.statistics.expected.spread)[:, None], values, np.float32(np.nan))

    def save(self, folder: Path) -> tuple[dict[str, npt.NDArray], dict[str, Any]]:
        """Write the classifier into a folder and return the arrays and the metadata to be saved with it."""
        self.classifier.booster.save_model(folder / CLASSIFIER_FILE)
        statistics, expected = self.statistics, self.statistics.expected
        arrays = {
            "coefficients": self.climatology.coefficients,
            **{f"expected.{key}": getattr(expected, key) for key in EXPECTED_ARRAYS},
            **{key: getattr(statistics, key) for key in ("nearest", "step_limit", "flat_limit")},
            **{key: getattr(self, key) for key in ("limits", "residual_quantiles", "isolation_quantiles")},
            **statistics.forest.arrays(),
        }
        metadata = {
            "stations": list(self.climatology.station_ids),
            "features": list(features.NAMES),
            "views": list(VIEWS),
        }
        return arrays, metadata

    @classmethod
    def load(cls, folder: Path, arrays: ModelArrays, about: dict[str, Any]) -> LearnedScore:
        """Load what `save` returned.

        Raises:
            artifact.ModelFileError: trained on other features, or files are missing or damaged.
        """
        metadata = artifact.parse(folder / artifact.MANIFEST, AboutDetector, about)
        if metadata.features != list(features.NAMES) or metadata.views != list(VIEWS):
            raise artifact.ModelFileError(folder, "trained on other features than this version uses; train a new model")
        stations = tuple(metadata.stations)
        n = len(stations)
        statistics = StationStatistics(
            ExpectedValues.from_arrays(stations, arrays, "expected."),
            IsolationForest.from_arrays(arrays, isolation_features.COUNT),
            arrays.take("nearest", np.int64, (n, SWAP_AMONG), -1, n - 1),
            rule_limits.possible_steps(arrays.take("step_limit", np.float64, (n, COUNT))),
            arrays.take("flat_limit", np.float64, (n, COUNT)),
        )
        return cls(
            Climatology(stations, arrays.take("coefficients", np.float64, (n, TERMS, len(MODEL_VARIABLES)))),
            statistics,
            FaultClassifier(load_trees(folder / CLASSIFIER_FILE, features.NAMES, "binary sigmoid:1")),
            arrays.take("limits", np.float64, (COUNT,)),
            arrays.take("residual_quantiles", np.float64, (COUNT, len(VIEWS), None)),
            arrays.take("isolation_quantiles", np.float64, (None,)),
        )


EXPECTED_ARRAYS = ("spread", "neighbours", "weights", "scale", "tail")


def _p_value(value: float, quantiles: npt.NDArray[np.float64]) -> float:
    """Return the conformal p-value: the share of the reference values that are at least as large; 1 if not checked."""
    if not np.isfinite(value):
        return 1.0
    return (1 + len(quantiles) - float(np.searchsorted(quantiles, value))) / (1 + len(quantiles))
