"""The groups of scores: version, station, UTC day of the valid time, lead and variable."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from weatherglass.records import LEADS, VARIABLES
from weatherglass.verification.forecasts import IssuedForecasts

OUTSIDE = -1


@dataclass(frozen=True)
class ScoreGroups:
    """All groups of some versions and stations, for `days` UTC days from `first` on."""

    versions: Sequence[str]
    station_ids: Sequence[str]
    first: np.datetime64
    days: int

    @property
    def shape(self) -> tuple[int, ...]:
        """(versions, stations, days, leads, variables)."""
        return len(self.versions), len(self.station_ids), self.days, len(LEADS), len(VARIABLES)

    def index(self, issued: IssuedForecasts) -> npt.NDArray[np.int64]:
        """(n, leads, variables) the group of each value of forecasts; `OUTSIDE` if its day is none of these.

        Raises:
            KeyError: a version or station is none of these.
        """
        version_of, station_of = (
            {name: i for i, name in enumerate(names)} for names in (self.versions, self.station_ids)
        )
        version = np.array([version_of[name] for name in issued.versions], dtype=np.int64)
        station = np.array([station_of[name] for name in issued.station_ids], dtype=np.int64)
        valid = issued.base[:, None] + np.array(LEADS)
        day = (valid.astype("datetime64[D]") - self.first).astype(np.int64)
        axes = np.broadcast_arrays(
            version[:, None, None],
            station[:, None, None],
            np.clip(day, 0, self.days - 1)[..., None],
            np.arange(len(LEADS))[:, None],
            np.arange(len(VARIABLES)),
        )
        inside = ((day >= 0) & (day < self.days))[..., None]
        return np.where(inside, np.ravel_multi_index(axes, self.shape), OUTSIDE)

    def sums(self, group: npt.NDArray[np.int64], values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """(groups,) sums of the finite values, of which `group` is the `index`."""
        known = np.isfinite(values) & (group != OUTSIDE)
        size = int(np.prod(self.shape))
        return np.asarray(np.bincount(group[known], weights=values[known], minlength=size), np.float64)

    def key(self, group: int) -> dict[str, Any]:
        """What identifies a group, as columns of the store."""
        version, station, day, lead, variable = (int(axis) for axis in np.unravel_index(group, self.shape))
        return {
            "version": self.versions[version],
            "day": (self.first + np.timedelta64(day, "D")).astype("datetime64[D]").item(),
            "station_id": self.station_ids[station],
            "variable": VARIABLES[variable],
            "lead": LEADS[lead],
        }
