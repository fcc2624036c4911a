"""What the anomaly detector has learnt from history: how to judge the newest reading of each station it knows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import numpy.typing as npt

from weatherglass.anomaly import classifier, features
from weatherglass.anomaly.classifier import FaultClassifier
from weatherglass.anomaly.expected_values import VIEWS, ExpectedValues
from weatherglass.anomaly.features import AnomalyFeatures, StationStatistics
from weatherglass.anomaly.isolation_forest import IsolationForest
from weatherglass.forecast.climatology import Climatology
from weatherglass.forecast.variables import model_variables
from weatherglass.history.grid import HourGrid
from weatherglass.qc.series_checks import name
from weatherglass.records import UNITS, VARIABLES
from weatherglass.registry import artifact

COUNT = len(VARIABLES)
BOOSTER = "combiner.txt"
MOST_HOURS = 3
"""Readings of one batch lie in one or two hours; of older ones only the rules speak."""
LASTING = 2.0
"""Usual distances: an hour this far off on the same side belongs to the event."""
UNLIKELY = 0.005
"""A check that finds a reading less likely than this is named among those that failed."""
EXPLAINED = 1.0
"""A late clock, a swap or another unit is named where it halves the distance."""
FORECASTS = tuple(i for i, view in enumerate(VIEWS) if view.startswith("lead"))
NEIGHBOURS = VIEWS.index("neighbours")


@dataclass(frozen=True)
class SoftFlag:
    """What the learnt score says of one variable of a reading.

    Attributes:
        score: 0 to 1; above 0.5 it is a flag.
        checks: the single checks that find it unlikely.
        hours: for how long it has been going on; 0 for this reading alone.
    """

    variable: int
    score: float
    checks: tuple[str, ...]
    reason: str
    hours: int


@dataclass(frozen=True)
class LearnedScore:
    """Rows of the background are the stations of the climatology.

    Attributes:
        limits: (4,) scores of the combiner beyond which a value is flagged.
        usual_distance: (4, views, quantiles) sorted distances from what each view expects, on hours not learnt from;
            a distance's rank among them is its conformal p-value.
        usual_oddness: (quantiles,) the same for the forest's score.
    """

    climatology: Climatology
    background: StationStatistics
    combiner: FaultClassifier
    limits: npt.NDArray[np.float64]
    usual_distance: npt.NDArray[np.float64]
    usual_oddness: npt.NDArray[np.float64]

    def knows(self, station_ids: Sequence[str]) -> npt.NDArray[np.int64]:
        """Row of each station, -1 where it is unknown."""
        return self.climatology.rows(station_ids)

    def normal(self, hours: npt.NDArray[np.datetime64]) -> npt.NDArray[np.float32]:
        """Climatology (stations, hours, 4)."""
        return self.climatology.at(np.arange(len(self.climatology.station_ids)), hours)[..., :COUNT]

    def judge(
        self, grid: HourGrid, rows: npt.NDArray[np.int64], times: Sequence[datetime], values: npt.NDArray
    ) -> list[list[SoftFlag] | None]:
        """Readings `values` (n, 4) at UTC times of stations `rows` (of the grid; -1: not in it); None: not checked."""
        found: list[list[SoftFlag] | None] = [None] * len(rows)
        ids = [grid.stations[row].station_id if row >= 0 else "" for row in rows]
        known = self.knows(ids)
        instants = np.array([time.astimezone(UTC).replace(tzinfo=None) for time in times], dtype="datetime64[s]")
        nearest = (instants + np.timedelta64(30, "m")).astype("datetime64[h]")
        for hour in np.unique(nearest[known >= 0])[::-1][:MOST_HOURS]:
            cases = np.flatnonzero((nearest == hour) & (known >= 0))
            seen = self._past(grid, hour)
            seen[known[cases], -1] = values[cases]
            hours = hour - np.arange(features.LOOK_BACK, -1, -1)
            made = features.newest(seen, self.normal(hours), self.background)
            scores = self.combiner.score(made.features[known[cases], 0])
            for case, row, score in zip(cases, known[cases], scores, strict=True):
                if np.isfinite(score).any():
                    found[case] = [
                        self._suspicion(made, int(row), v, float(score[v]), float(values[case, v]))
                        for v in range(COUNT)
                        if np.isfinite(score[v])
                    ]
        return found

    def _past(self, grid: HourGrid, hour: np.datetime64) -> npt.NDArray[np.float32]:
        """Values (stations, LOOK_BACK + 1, 4) up to and with an hour; NaN where the grid has none."""
        rows = self.knows([station.station_id for station in grid.stations])
        columns = grid.index(hour) - np.arange(features.LOOK_BACK, -1, -1)
        inside = (columns >= 0) & (columns < grid.values.shape[1])
        seen = np.full((len(self.climatology.station_ids), len(columns), COUNT), np.nan, np.float32)
        mine = np.flatnonzero(rows >= 0)
        seen[np.ix_(rows[mine], inside)] = model_variables(grid.values[mine][:, columns[inside]])[..., :COUNT]
        return seen

    def _suspicion(self, made: AnomalyFeatures, row: int, v: int, raw: float, value: float) -> SoftFlag:
        limit = self.limits[v]
        if raw <= limit:
            return SoftFlag(v, 0.5 * raw / limit, (), "", 0)
        named = dict(zip(features.NAMES, made.features[row, 0, v].tolist(), strict=True))
        distances = np.abs(made.residuals[row, -1, v])
        chance = [_chance(distances[view], self.usual_distance[v, view]) for view in range(len(VIEWS))]
        checks = []
        if min(chance[view] for view in FORECASTS) < UNLIKELY:
            checks.append("forecast_residual")
        if chance[NEIGHBOURS] < UNLIKELY:
            checks.append("neighbours")
        if _chance(named["forest"], self.usual_oddness) < UNLIKELY:
            checks.append("isolation_forest")
        view = min((*FORECASTS, NEIGHBOURS), key=lambda view: (chance[view], -distances[view]))
        reason, hours = self._reason(made, row, v, view, value, named)
        return SoftFlag(v, 0.5 + 0.5 * (raw - limit) / (1 - limit), tuple(checks), reason, hours)

    def _reason(
        self, made: AnomalyFeatures, row: int, v: int, view: int, value: float, named: dict[str, float]
    ) -> tuple[str, int]:
        past = made.residuals[row, :, v, view]
        side = np.sign(past[-1])
        off = past * side > LASTING
        hours = int(np.argmin(off[::-1])) if not off.all() else len(off)
        usual, unit = float(made.usual[row, -1, v, view]), UNITS[VARIABLES[v]]
        whose = {
            "neighbours": "its neighbours let one expect",
            "lead1": "its last hour and its neighbours let one expect",
        }
        expects = whose.get(VIEWS[view], "its own past and its neighbours let one expect")
        reason = (
            f"{name(v)} of {value:.1f} {unit} is {abs(value - usual):.1f} {unit} {'above' if side > 0 else 'below'} "
            f"what {expects}"
        )
        if hours > 1:
            reason += f", for {hours} h"
        if named["flat_share"] >= 1:
            reason += f"; it has not changed for {named['flat_hours']:.0f} h"
        hints = {"unit": "the number would fit in another unit", "late_station": "the readings fit those of hours ago"}
        hints["swapped_station"] = "the readings fit a station nearby"
        hint = max(hints, key=lambda key: np.nan_to_num(named[key], nan=-1))
        if named[hint] > EXPLAINED:
            reason += f"; {hints[hint]}"
        return reason, max(0, hours - 1)

    def recalibrated(self, recent: HourGrid, budget: float) -> LearnedScore:
        """The same with limits that keep to the budget on recent hours: false alarms a station, variable and week.

        The first `evidence.LOOK_BACK` hours of `recent` are past only.
        """
        values, normal = self.seen(recent), self.normal(recent.hours)
        first = features.LOOK_BACK
        scores = self.combiner.score(features.compute(values, normal, self.background, first).features)
        hard = self.background.hard(values)[:, first:]
        return replace(self, limits=classifier.limits(scores, hard, budget))

    def seen(self, grid: HourGrid) -> npt.NDArray[np.float32]:
        """Values (stations, hours, 4) of a grid in the order of these stations, without series never learnt from."""
        rows = self.knows([station.station_id for station in grid.stations])
        values = np.full((len(self.climatology.station_ids), grid.values.shape[1], COUNT), np.nan, np.float32)
        values[rows[rows >= 0]] = model_variables(grid.values[rows >= 0])[..., :COUNT]
        return np.where(np.isfinite(self.background.expected.spread)[:, None], values, np.float32(np.nan))

    def save(self, folder: Path) -> tuple[dict[str, npt.NDArray], dict[str, Any]]:
        """Write the trees into a folder; the arrays and the words that belong with them."""
        self.combiner.booster.save_model(folder / BOOSTER)
        background, expected = self.background, self.background.expected
        arrays = {
            "coefficients": self.climatology.coefficients,
            **{f"expected.{key}": getattr(expected, key) for key in EXPECTED},
            **{key: getattr(background, key) for key in ("nearest", "step_limit", "flat_limit")},
            **{key: getattr(self, key) for key in ("limits", "usual_distance", "usual_oddness")},
            **background.forest.arrays(),
        }
        about = {"stations": list(self.climatology.station_ids), "features": list(features.NAMES), "views": list(VIEWS)}
        return arrays, about

    @classmethod
    def load(cls, folder: Path, arrays: dict[str, npt.NDArray], about: dict[str, Any]) -> LearnedScore:
        """Raises `artefact.ModelFileError` where it was made for other features or cannot be read."""
        if about["features"] != list(features.NAMES) or about["views"] != list(VIEWS):
            raise artifact.ModelFileError(f"{folder}: made for other features than this version uses")
        stations = tuple(about["stations"])
        try:
            booster = lightgbm.Booster(model_file=folder / BOOSTER)
            expected = ExpectedValues(stations, *(arrays[f"expected.{key}"] for key in EXPECTED))
            background = StationStatistics(
                expected,
                IsolationForest.of_arrays(arrays),
                *(arrays[key] for key in ("nearest", "step_limit", "flat_limit")),
            )
            return cls(
                Climatology(stations, arrays["coefficients"]),
                background,
                FaultClassifier(booster),
                *(arrays[key] for key in ("limits", "usual_distance", "usual_oddness")),
            )
        except (KeyError, lightgbm.basic.LightGBMError) as error:
            raise artifact.ModelFileError(f"{folder}: not a whole anomaly detector ({error})") from None


EXPECTED = ("spread", "neighbours", "weights", "scale", "tail")


def _chance(distance: float, usual: npt.NDArray[np.float64]) -> float:
    """Conformal p-value: the share of usual distances that are as large; 1 where it was not checked."""
    if not np.isfinite(distance):
        return 1.0
    return (1 + len(usual) - float(np.searchsorted(usual, distance))) / (1 + len(usual))
