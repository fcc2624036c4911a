"""How odd the state of a station is: an isolation forest on anomalies and their changes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import numpy.typing as npt

from weatherglass.history import HourGrid
from weatherglass.models import isolation
from weatherglass.models.channels import channels
from weatherglass.models.climatology import Climatology
from weatherglass.models.isolation import IsolationForest
from weatherglass.models.rules import Finding, name
from weatherglass.records import UNITS, VARIABLES

HOURS_AGO = (1, 3)
MEAN_HOURS = 24
NAMES = (
    *(f"{variable}_anomaly" for variable in VARIABLES),
    *(f"{variable}_change{hours}" for hours in HOURS_AGO for variable in VARIABLES),
    *(f"{variable}_from_mean{MEAN_HOURS}" for variable in VARIABLES),
)
MAX_CASES = 40_000
MIN_CASES = 1000
MIN_SCALE_HOURS = 480


class TooFewHours(ValueError):
    """Too few complete hours to learn what is usual."""


@dataclass(frozen=True)
class Oddness:
    """What is usual at each station.

    Attributes:
        scale: (stations of the climatology, 4) standard deviation of each anomaly.
        limit: score beyond which a state is flagged.
    """

    climatology: Climatology
    scale: npt.NDArray[np.float64]
    forest: IsolationForest
    limit: float

    def judge(
        self, grid: HourGrid, rows: npt.NDArray[np.int64], times: Sequence[datetime], values: npt.NDArray[np.float64]
    ) -> list[Finding | None]:
        """Readings `values` (n, 4) at UTC times of stations `rows` (-1: not in the grid); None where not checked."""
        found: list[Finding | None] = [None] * len(rows)
        if len(rows) == 0:
            return found
        instants = np.array([time.astimezone(UTC).replace(tzinfo=None) for time in times], dtype="datetime64[s]")
        nearest = (instants + np.timedelta64(30, "m")).astype("datetime64[h]")
        known = self.climatology.rows([grid.stations[row].station_id if row >= 0 else "" for row in rows])
        usual = self.climatology.at_pairs(known, nearest)[:, : len(VARIABLES)]
        at = (nearest - grid.start).astype(np.int64)
        features = self._features(grid, rows, known, values - usual, at)
        whole = np.flatnonzero(np.isfinite(features[:, : len(VARIABLES)]).all(axis=1))
        if len(whole) == 0:
            return found
        scores = self.forest.score(np.nan_to_num(features[whole]))
        for i, score in zip(whole, scores, strict=True):
            found[i] = self._finding(float(score), features[i], values[i])
        return found

    def _features(
        self,
        grid: HourGrid,
        rows: npt.NDArray[np.int64],
        known: npt.NDArray[np.int64],
        now: npt.NDArray,
        at: npt.NDArray[np.int64],
    ) -> npt.NDArray[np.float64]:
        """Features (n, len(NAMES)) in units of each station's scale, the past being the hours before hour `at`."""
        hours = at[:, None] - np.arange(1, MEAN_HOURS + 1)
        inside = (hours >= 0) & (hours < grid.values.shape[1]) & (rows >= 0)[:, None]
        past = channels(grid.values[rows[:, None], np.where(inside, hours, 0)])[..., : len(VARIABLES)].astype(float)
        past[~inside] = np.nan
        flat = np.repeat(known, MEAN_HOURS), (grid.start + hours).reshape(-1)
        past -= self.climatology.at_pairs(*flat)[:, : len(VARIABLES)].reshape(past.shape)
        seen = np.isfinite(past)
        mean = np.where(seen, past, 0).sum(axis=1) / np.maximum(seen.sum(axis=1), 1)
        mean[~seen.any(axis=1)] = np.nan
        blocks = [now, *(now - past[:, ago - 1] for ago in HOURS_AGO), now - mean]
        scale = np.where(known[:, None] >= 0, self.scale[known], np.nan)
        return np.concatenate([block / scale for block in blocks], axis=1)

    def _finding(self, score: float, features: npt.NDArray, values: npt.NDArray) -> Finding:
        # 0.5 is a forest's usual score and 1 its largest; the limit becomes 0.5 of ours.
        below = max(0.0, score - 0.4) / (self.limit - 0.4) * 0.5
        above = 0.5 + (score - self.limit) / (1 - self.limit) * 0.5
        reasons = []
        if score > self.limit:
            worst = int(np.nanargmax(np.abs(features)))
            variable, kind = worst % len(VARIABLES), NAMES[worst].removeprefix(VARIABLES[worst % len(VARIABLES)])
            than = {"_anomaly": "what is usual at this time of the year and day"}.get(
                kind, f"{kind[len('_change') :]} h ago" if kind.startswith("_change") else "its mean of 24 h"
            )
            reasons.append(
                f"the weather here is odd altogether: above all {name(variable)} of {values[variable]:.1f} "
                f"{UNITS[VARIABLES[variable]]}, {abs(features[worst]):.1f} standard deviations "
                f"{'above' if features[worst] > 0 else 'below'} {than}"
            )
        return Finding.soft(min(1.0, above if score > self.limit else below), reasons)


def fit(grid: HourGrid, climatology: Climatology, false_alarms: float, seed: int) -> Oddness:
    """Learn from complete hours of a grid; the limit lets `false_alarms` of them be flagged.

    Raises:
        TooFewHours: fewer than `MIN_CASES` hours have all four variables.
    """
    rng = np.random.default_rng(seed)
    known = climatology.rows([station.station_id for station in grid.stations])
    values = channels(grid.values)[..., : len(VARIABLES)]
    anomalies = values - climatology.at(known, grid.hours)[..., : len(VARIABLES)]
    scale = _scale(anomalies)
    stations, hours = np.nonzero(np.isfinite(anomalies).all(axis=2))
    if len(stations) < MIN_CASES:
        raise TooFewHours(
            f"the history holds {len(stations)} hours with all of {', '.join(VARIABLES)}; the anomaly detector "
            f"needs {MIN_CASES}"
        )
    chosen = np.sort(rng.choice(len(stations), min(MAX_CASES, len(stations)), replace=False))
    rows, at = stations[chosen], hours[chosen]
    untrained = Oddness(climatology, scale, None, 0.0)  # type: ignore[arg-type]
    features = np.nan_to_num(untrained._features(grid, rows, known[rows], anomalies[rows, at].astype(float), at))
    forest = isolation.fit(features, seed)
    return Oddness(climatology, scale, forest, float(np.quantile(forest.score(features), 1 - false_alarms)))


def _scale(anomalies: npt.NDArray) -> npt.NDArray[np.float64]:
    """Root mean square (stations, 4) of anomalies (stations, hours, 4), that of all where a station has too few."""
    seen = np.isfinite(anomalies)
    squares, count = np.where(seen, anomalies, 0).astype(float) ** 2, seen.sum(axis=1)
    pooled = np.sqrt(squares.sum(axis=(0, 1)) / np.maximum(seen.sum(axis=(0, 1)), 1))
    own = np.sqrt(squares.sum(axis=1) / np.maximum(count, 1))
    return np.maximum(np.where(count >= MIN_SCALE_HOURS, own, pooled), 1e-3)
