"""Whether a station's present reading can be trusted, with reasons."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
import numpy.typing as npt

from weatherglass.history import HourGrid
from weatherglass.models.forecast import Forecast
from weatherglass.records import Anomaly, WindowFeatures

KIND = "anomaly-detector"
CHECKS = ("range", "step", "flat_line", "forecast_residual", "isolation_forest")


@dataclass(frozen=True)
class Reading:
    """One observation: UTC time and values in the order of `VARIABLES`, NaN where missing."""

    time: datetime
    values: tuple[float, ...]

    @classmethod
    def of(cls, window: WindowFeatures) -> Reading:
        """The newest observation of a window."""
        features = window.aggregated_features
        blocks = (features.temperature, features.humidity, features.pressure, features.wind_speed)
        return cls(features.last_observation, tuple(np.nan if b.last is None else b.last for b in blocks))


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
    raise NotImplementedError


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


class AnomalyDetector:
    """Rules, and limits learnt from history. `AnomalyDetector.rules_only()` needs no training."""

    @classmethod
    def rules_only(cls) -> AnomalyDetector:
        raise NotImplementedError

    def save(self, folder: Path) -> None:
        raise NotImplementedError

    @classmethod
    def load(cls, folder: Path) -> AnomalyDetector:
        """Read a detector; raises `artefact.ModelFileError` where the folder is not one, or was changed."""
        raise NotImplementedError

    def check(self, case: Case, grid: HourGrid, version: str | None) -> Anomaly:
        return self.check_many([case], grid, version)[0]

    def check_many(self, cases: Sequence[Case], grid: HourGrid, version: str | None) -> list[Anomaly]:
        """Judge many readings in one go; `version` is the registered version of this detector, None for rules only."""
        raise NotImplementedError
