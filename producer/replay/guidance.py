"""Simulated guidance: the later observations of the replay, with errors like those of a weather model.

It shows that the pipeline works, and says nothing about real skill. The code shares nothing with the
forecaster. The parameters are judgements, with a mean absolute error of the temperature near 1.5 °C 24 hours ahead.

- Runs at 0, 6, 12 and 18 h UTC are available after four hours. A twentieth is missing, a tenth is six hours late.
- Each station and variable has a bias, with a part that depends on the hour of the day.
- The random error grows with the square root of the lead. A part is common to all runs for a valid time, the rest is
  the run's own; both are correlated in time, the run's own part over longer times at longer leads. Half of the variance
  is common to stations within some hundred kilometres.
- On 1 March and 1 September the model changes: another bias, and random errors that are a quarter larger or smaller.
- Each model id has errors of its own; half of the variance is common to all models.

Each number is a hash of what it belongs to, so it is the same in every request and after a restart.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
import numpy.typing as npt

from producer.replay.data import DECIMALS, VARIABLES, ReplayData
from producer.simulation.hashed import noise, normal, uniform
from weatherglass.stations import Station

HOUR = timedelta(hours=1)
RUN_INTERVAL = timedelta(hours=6)
DELAY = timedelta(hours=4)
LATE_DELAY = timedelta(hours=10)
MISSING_SHARE, LATE_SHARE = 0.05, 0.1
MAX_RUN_AGE = timedelta(days=2)
"""Older runs are not used."""
HORIZON = timedelta(days=8)
"""Longest lead."""
REGION_DEGREES = 5.0
SITE, REGION, BIAS, PHASE, MISSING, LATE, CHANGE = range(1, 8)
"""First keys of the hashes."""


@dataclass(frozen=True)
class ErrorSize:
    """The size of the errors of a variable, in its unit.

    Attributes:
        bias: standard deviation of the bias between stations, and of the amplitude of its daily cycle.
        spread: standard deviation of the random error 24 hours ahead.
    """

    bias: float
    spread: float


ERROR_SIZES: dict[str, ErrorSize] = {
    "temperature": ErrorSize(bias=0.8, spread=1.6),
    "humidity": ErrorSize(bias=5.0, spread=9.0),
    "pressure": ErrorSize(bias=0.7, spread=1.3),
    "wind_speed": ErrorSize(bias=0.6, spread=1.2),
    "wind_direction": ErrorSize(bias=8.0, spread=30.0),
}
INITIAL_SHARE = 0.4
"""Spread at lead 0, as a share of the spread 24 hours ahead."""
COMMON_TO_RUNS, COMMON_TO_STATIONS, COMMON_TO_MODELS = 0.6, 0.5, 0.5
"""Shares of the variance of the random error."""


class SimulatedGuidance:
    """The runs of simulated models for the stations of a replay."""

    def __init__(self, data: ReplayData):
        self._data = data
        self._stations = [_key(station.station_id) for station in data.stations]
        self._regions = [_region(station) for station in data.stations]

    def newest_run(self, model: str, present: datetime) -> datetime | None:
        """The initialization of the newest run that is available; None if all of the last two days are missing."""
        run = floor_run(present)
        while present - run <= MAX_RUN_AGE:
            if not self.is_missing(model, run) and run + self.delay(model, run) <= present:
                return run
            run -= RUN_INTERVAL
        return None

    def is_missing(self, model: str, run: datetime) -> bool:
        return bool(uniform(MISSING, _key(model), _hours(run)) < MISSING_SHARE)

    def delay(self, model: str, run: datetime) -> timedelta:
        """Time from the initialization until the run is available."""
        return LATE_DELAY if uniform(LATE, _key(model), _hours(run)) < LATE_SHARE else DELAY

    def values(
        self, station: int, model: str, runs: Sequence[datetime | None], valid_times: Sequence[datetime]
    ) -> npt.NDArray[np.float64]:
        """The predicted values (valid times, 5) at a station, by its index; NaN without truth, run or horizon.

        Args:
            runs: the run that predicts each valid time; None for none.
        """
        calendar = self._data.calendar
        result = np.full((len(valid_times), len(VARIABLES)), np.nan)
        known = [
            n for n, (run, time) in enumerate(zip(runs, valid_times, strict=True)) if run and time - run <= HORIZON
        ]
        if not known:
            return result
        truth = np.stack([self._data.values_at(station, calendar.data_time(valid_times[n])) for n in known])
        valid = np.array([_hours(valid_times[n]) for n in known])
        init = np.array([_hours(run) for n in known if (run := runs[n])])
        for column, name in enumerate(VARIABLES):
            truth[:, column] += self._error(station, model, name, column, init, valid)
        truth[:, VARIABLES.index("humidity")] = np.clip(truth[:, VARIABLES.index("humidity")], 0, 100)
        truth[:, VARIABLES.index("wind_speed")] = np.maximum(truth[:, VARIABLES.index("wind_speed")], 0)
        truth[:, VARIABLES.index("wind_direction")] %= 360
        scale = 10.0**DECIMALS
        result[known] = np.round(truth * scale) / scale
        return result

    def _error(
        self,
        station: int,
        model: str,
        name: str,
        column: int,
        init: npt.NDArray[np.int64],
        valid: npt.NDArray[np.int64],
    ) -> npt.NDArray[np.float64]:
        """The errors of runs initialized at hours `init` for the hours `valid`, both since 1970."""
        size, version = ERROR_SIZES[name], _versions(init)
        site = self._stations[station], column
        bias = _mixed(COMMON_TO_MODELS, [normal(BIAS, m, version, *site) for m in (0, _key(model))])
        cycle = _mixed(COMMON_TO_MODELS, [normal(PHASE, m, version, *site) for m in (0, _key(model))])
        peak = 24 * uniform(PHASE, *site)
        systematic = size.bias * (bias + cycle * np.cos(2 * np.pi * (valid - peak) / 24))
        lead = (valid - init).astype(float)
        growth = INITIAL_SHARE + (1 - INITIAL_SHARE) * np.sqrt(np.maximum(lead, 0) / 24)
        changed = np.where(uniform(CHANGE, _key(model), version) < 0.5, 0.8, 1.25)
        return systematic + size.spread * growth * changed * self._random(station, model, column, init, valid)

    def _random(
        self, station: int, model: str, column: int, init: npt.NDArray[np.int64], valid: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.float64]:
        """Standard normal errors."""
        time = valid.astype(np.float64)  # in hours, like the scales
        places = (REGION, self._regions[station]), (SITE, self._stations[station])
        by_model = []
        for key in (0, _key(model)):
            by_place = []
            for place in places:
                common = noise(time, 6.0, *place, key, column, 0)
                near = noise(time, 4.0, *place, key, column, 1, init)
                far = noise(time, 12.0, *place, key, column, 2, init)
                share = np.clip((valid - init) / 48.0, 0.0, 1.0)
                own = np.sqrt(1 - share) * near + np.sqrt(share) * far
                by_place.append(_mixed(COMMON_TO_RUNS, [common, own]))
            by_model.append(_mixed(COMMON_TO_STATIONS, by_place))
        return _mixed(COMMON_TO_MODELS, by_model)


def floor_run(time: datetime) -> datetime:
    """The initialization time at a time or the last one before."""
    return time - (time - datetime(1970, 1, 1, tzinfo=UTC)) % RUN_INTERVAL


def _mixed(share: float, parts: Sequence[npt.NDArray[np.float64]]) -> npt.NDArray[np.float64]:
    """Two standard normal series as one; `share` is the first one's part of the variance."""
    return np.sqrt(share) * parts[0] + np.sqrt(1 - share) * parts[1]


def _versions(hours: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """The number of model changes, on 1 March and 1 September, before hours since 1970."""
    months = (hours // 24).astype("datetime64[D]").astype("datetime64[M]").astype(np.int64)
    return np.asarray((months - 2) // 6, np.int64)


def _hours(time: datetime) -> int:
    return int(time.timestamp() // 3600)


def _key(text: str) -> int:
    return zlib.crc32(text.encode())


def _region(station: Station) -> int:
    return _key(f"{station.latitude // REGION_DEGREES} {station.longitude // REGION_DEGREES}")
