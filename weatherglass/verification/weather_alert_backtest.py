"""Back-test of a weather alert rule: what it would have done with the stored forecasts, and what was observed then.

One forecast per hour is replayed, as it was issued, with the rule's probabilities and state. A *case* is one of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby

import numpy as np
from sqlalchemy import Connection

from weatherglass.history.grid import GRID_VARIABLES, HourGrid
from weatherglass.records import LEADS
from weatherglass.stations import Station
from weatherglass.store.forecast_inputs import first_of_each_hour
from weatherglass.store.readable import read_row
from weatherglass.verification.observed_hours import load_trusted_hours
from weatherglass.weather_alerts.outlook import NotEvaluated, StationForecast, continues, outlook
from weatherglass.weather_alerts.rule import ForecastRule

MIN_OBSERVED = 0.5
"""Share of the hours of a lead window that must be observed to say that the condition did not occur in it."""


@dataclass(frozen=True)
class Case:
    """A replayed forecast. Times in UTC.

    Attributes:
        timestamp: of the observation that the forecast is based on.
        is_open: whether the rule's alert would have been open.
        probability: None if the rule could not be evaluated.
        occurred: whether the condition was observed in the lead window; None if that has not passed, or too few of its
            hours were observed.
        first_met: the first hour of the lead window in which it was observed.
    """

    timestamp: datetime
    is_open: bool
    probability: float | None
    occurred: bool | None
    first_met: datetime | None


@dataclass(frozen=True)
class SimulatedAlert:
    """An alert that the rule would have raised. Times in UTC.

    Attributes:
        until: of the last forecast with which it was open.
        probability: the highest one.
        was_right: whether the condition was observed in the lead window of any of its forecasts; None if it was not,
            and is not known for all of them.
        first_met: the first such hour.
    """

    station_id: str
    since: datetime
    until: datetime
    probability: float
    was_right: bool | None
    first_met: datetime | None


@dataclass(frozen=True)
class Backtest:
    """Result of a back-test.

    Attributes:
        forecasts: number of replayed forecasts, `not_evaluated` of them without a probability.
        alerts: oldest first.
        occurrences: runs of consecutive forecasts in whose lead windows the condition was observed.
        missed: occurrences during which no alert would have been open.
    """

    forecasts: int
    not_evaluated: int
    alerts: list[SimulatedAlert]
    occurrences: int
    missed: int


def backtest(
    connection: Connection, rule: ForecastRule, stations: Sequence[Station], start: datetime, end: datetime
) -> Backtest:
    """Replay the forecasts of some stations for the observations in [start, end)."""
    first, last = (np.datetime64(time.astimezone(UTC).replace(tzinfo=None), "h") for time in (start, end))
    observed = load_trusted_hours(connection, first, last + LEADS[-1], stations)
    results = []
    for station in stations:
        rows = first_of_each_hour(connection, station.station_id, start, end)
        forecasts = (forecast for row in rows if (forecast := read_row(row, StationForecast.from_row)) is not None)
        cases = list(replay(rule, forecasts, _observed_values(rule.variable, observed, station).get, end))
        results.append(_result(station.station_id, cases))
    return Backtest(
        sum(one.forecasts for one in results),
        sum(one.not_evaluated for one in results),
        sorted((alert for one in results for alert in one.alerts), key=lambda alert: alert.since),
        sum(one.occurrences for one in results),
        sum(one.missed for one in results),
    )


def replay(
    rule: ForecastRule,
    forecasts: Iterable[StationForecast],
    observed: Callable[[datetime], float | None],
    now: datetime,
) -> Iterator[Case]:
    """The cases of a station's forecasts, oldest first.

    Args:
        observed: returns the value of an hour in the unit of the records, None if it was not observed.
        now: hours after this are still to come.
    """
    is_open, until = False, None
    for forecast in forecasts:
        found = outlook(rule, forecast, forecast.timestamp)
        if isinstance(found, NotEvaluated):
            is_open = is_open and until is not None and until > forecast.timestamp
            yield Case(forecast.timestamp, is_open, None, None, None)
            continue
        is_open, until = continues(rule, is_open, found.probability), found.until
        known = [(hour, value) for hour in found.hours if (value := observed(hour)) is not None]
        met = [hour for hour, value in known if rule.is_met(value, found.observed)]
        is_known = found.until <= now and len(known) >= MIN_OBSERVED * len(found.hours)
        occurred = True if met else False if is_known else None
        yield Case(forecast.timestamp, is_open, found.probability, occurred, min(met, default=None))


def _result(station_id: str, cases: Sequence[Case]) -> Backtest:
    alerts = [_alert(station_id, list(run)) for is_open, run in groupby(cases, lambda case: case.is_open) if is_open]
    occurrences = [list(run) for occurred, run in groupby(cases, lambda case: case.occurred) if occurred]
    missed = sum(not any(case.is_open for case in run) for run in occurrences)
    not_evaluated = sum(case.probability is None for case in cases)
    return Backtest(len(cases), not_evaluated, alerts, len(occurrences), missed)


def _alert(station_id: str, cases: Sequence[Case]) -> SimulatedAlert:
    probability = max(case.probability for case in cases if case.probability is not None)
    results = {case.occurred for case in cases if case.probability is not None}
    was_right = True if True in results else None if None in results else False
    first_met = min((case.first_met for case in cases if case.first_met), default=None)
    return SimulatedAlert(station_id, cases[0].timestamp, cases[-1].timestamp, probability, was_right, first_met)


def _observed_values(variable: str, grid: HourGrid, station: Station) -> dict[datetime, float]:
    """The observed values of a station by hour, UTC."""
    row = next(i for i, one in enumerate(grid.stations) if one.station_id == station.station_id)
    values = grid.values[row, :, GRID_VARIABLES.index(variable)]
    known = np.isfinite(values)
    hours: list[datetime] = grid.hours[known].astype("datetime64[s]").tolist()
    return {hour.replace(tzinfo=UTC): value for hour, value in zip(hours, values[known].tolist(), strict=True)}
