"""The boosted forecaster: gradient-boosted trees on what the damped anomaly leaves over."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from weatherglass.history import HourGrid
from weatherglass.models.climatology import Climatology
from weatherglass.models.damped import Damping
from weatherglass.models.forecast import Forecast

KIND = "forecaster"
LEAD_GROUPS = (tuple(range(1, 4)), tuple(range(4, 9)), tuple(range(9, 17)), tuple(range(17, 25)))


@dataclass(frozen=True)
class BoostedForecaster:
    climatology: Climatology
    damping: Damping

    def save(self, folder: Path) -> None:
        """Write the model into an empty folder."""
        raise NotImplementedError

    @classmethod
    def load(cls, folder: Path) -> BoostedForecaster:
        """Read a model; raises `artefact.ModelFileError` where the folder is not one, or was changed."""
        raise NotImplementedError

    def forecast(self, grid: HourGrid, rows: Sequence[int], base: Sequence[int]) -> Forecast:
        """See `forecast.Forecaster`."""
        raise NotImplementedError
