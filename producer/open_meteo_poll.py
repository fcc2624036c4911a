"""What a poll requests from Open-Meteo, or from the replay: the present, the backfill and the steps since a gap."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from producer.api_response import ApiError, ParsedResponse
from producer.open_meteo import MAX_PAST_DAYS, OpenMeteo
from weatherglass.formatting import count_noun
from weatherglass.records import Observation
from weatherglass.settings import Settings
from weatherglass.stations import Station

QUARTER_HOUR = timedelta(minutes=15)
HOUR = timedelta(hours=1)
MAX_QUARTER_HOUR_GAP = timedelta(days=14)
"""Longest gap that is filled in 15-minute steps; a longer one is filled hourly, since a request for more than two weeks
counts as several calls."""


def request_open_meteo(
    client: OpenMeteo,
    settings: Settings,
    stations: tuple[Station, ...],
    last: dict[str, Observation],
    now: datetime,
    spare_calls: int | None,
    log: Callable[[str], object],
) -> ParsedResponse:
    """The observations of all stations; stations whose request fails are in `failures`.

    Raises:
        ApiError: every request failed.
    """
    response = ParsedResponse()
    errors: list[ApiError] = []
    horizon = timedelta(hours=settings.past_horizon_hours)
    for group in groups_to_request(stations, last):
        quarter_hours, hours = steps_to_request(group, last, now, settings.backfill_hours, horizon)
        if hours or quarter_hours:
            steps = [f"{hours} past hours"] * bool(hours) + [f"{quarter_hours} past quarter hours"] * bool(
                quarter_hours
            )
            log(f"Requesting the current observation and {' and '.join(steps)} of {count_noun(len(group), 'station')}")
        spare = None if spare_calls is None else spare_calls - client.calls - len(group)
        try:
            response.add(client.observe(group, quarter_hours, hours, spare))
        except ApiError as error:
            errors.append(error)
            response.failures.update({station.station_id: str(error) for station in group})
    if errors and not response.stations:
        raise errors[0]
    return response


def groups_to_request(stations: tuple[Station, ...], last: dict[str, Observation]) -> list[tuple[Station, ...]]:
    """The stations that are requested together: those that were observed lately, and the others.

    Among the others are those that the server rejects, so that they do not fail the request for the stations that were
    observed before, and those whose gap is longer. Two requests use no more calls than one.

    Args:
        last: station id -> last published observation.
    """
    newest = max((observation.timestamp for observation in last.values()), default=None)
    lately = {name for name, observation in last.items() if newest and newest - observation.timestamp <= HOUR}
    observed = tuple(station for station in stations if station.station_id in lately)
    others = tuple(station for station in stations if station.station_id not in lately)
    return [group for group in (observed, others) if group]


def steps_to_request(
    stations: tuple[Station, ...], last: dict[str, Observation], now: datetime, backfill_hours: int, horizon: timedelta
) -> tuple[int, int]:
    """The numbers of past quarter hours and past hours that a poll requests, so that no station misses a step.

    Args:
        last: station id -> last published observation.
        horizon: the stream rejects older observations, so they are not requested.
    """
    hours = backfill_hours if any(station.station_id not in last for station in stations) else 0
    times = [last[station.station_id].timestamp for station in stations if station.station_id in last]
    gap = min(max((now - time for time in times), default=timedelta()), horizon, timedelta(days=MAX_PAST_DAYS))
    if gap <= MAX_QUARTER_HOUR_GAP:
        return max(0, gap // QUARTER_HOUR - 1), hours
    return MAX_QUARTER_HOUR_GAP // QUARTER_HOUR, max(hours, gap // HOUR)
