"""Client of the Aviation Weather Center's data API: reports of airports (METAR, SPECI), without a key.

Limits: 100 requests a minute for an address, each endpoint at most once a minute, about 400 reports in a response, and
15 days of history. All airports are therefore requested together; further requests, for the past of new stations and of
those that reported again after a gap, follow at intervals of a minute. All processes that share a state folder keep the
interval together. Status 204: no report of these airports. Source: aviationweather.gov/data/api; for `date`, the end of
the requested hours, beta.aviationweather.gov/data/api/help.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from producer.api_client import ApiClient, Query, RetryPolicy
from producer.api_response import ApiConnectionError, ApiError, ParsedResponse, StationObservations
from producer.metar_report import decode_reports, parse_reports
from producer.request_limit import RequestLimit
from weatherglass.formatting import count_noun
from weatherglass.records import Observation
from weatherglass.settings import Settings
from weatherglass.stations import Station

HOUR = timedelta(hours=1)
RECENT_HOURS = 3
"""Hours that every poll requests: a few missed polls and a late report need no further request."""
MAX_HOURS = 15 * 24
"""How far back the API reaches."""
MAX_REPORTS = 400
"""Reports in one response; a response of this length may not be complete."""
MAX_PAST_REQUESTS = 6
"""Requests for the past in one poll, so that it ends within its time limit; later polls request the rest."""
REPORTS_PER_HOUR = 1.3
"""Mean of an airport: hourly routine reports and some special ones."""
REQUEST_SECONDS = 60.0
"""Least time between two requests."""
RETRIES = RetryPolicy(attempts=2)
"""A retry waits for its minute as well; then the next poll tries again."""


@dataclass(frozen=True)
class MetarResponse(ParsedResponse):
    """A part of the reports of a poll.

    Attributes:
        reporting: the stations of all parts whose airports have reported in the last `RECENT_HOURS`.
    """

    reporting: frozenset[str] = frozenset()


class Metar(ApiClient):
    """Requests the reports of all airports at once."""

    def __init__(self, url: str, limit: RequestLimit, retry_policy: RetryPolicy | None = None) -> None:
        super().__init__(retry_policy or RETRIES)
        self.url = f"{url.rstrip('/')}/api/data/metar"
        self._limit = limit

    def observe(
        self,
        stations: Sequence[Station],
        last: Mapping[str, Observation],
        now: datetime,
        backfill: timedelta,
        horizon: timedelta,
        log: Callable[[str], object],
    ) -> Iterator[MetarResponse]:
        """All reports of each station since its last observation; a station without one gets the reports of `backfill`.

        The first part has the stations whose past is not missing. The past of the others is requested by group, one
        request a minute: each group is a part, with the past and the present of its stations. Each station is in one
        part.

        A station that is silent costs no further request: its past is requested when it has reported again. A station
        whose past was not requested or not received is in `failures`, so that a later poll requests all of it: to
        publish only its newest reports would never close the gap.

        Args:
            last: station id -> last published observation.
            now: UTC.
            horizon: older reports are not requested.

        Raises:
            ApiConnectionError, ApiRequestError, ApiResponseError: as for `ApiClient`, for the request of all stations,
                before the first part.
        """
        recent = self._reports(stations, RECENT_HOURS, now)
        reporting = frozenset(recent.stations)
        hours = {
            station: hours
            for station in stations
            if station.station_id in recent.stations
            and (hours := _missing_hours(last.get(station.station_id), now, backfill, horizon)) > RECENT_HOURS
        }
        waiting = {station.station_id for station in hours}
        complete = _only(recent, reporting - waiting)
        others = [refusal for refusal in recent.refusals if refusal.station_id not in reporting]
        yield MetarResponse(complete.stations, recent.failures, complete.refusals + others, reporting)
        groups = _groups(hours)
        if groups:
            requested = f"{count_noun(len(hours), 'station')}: {count_noun(len(groups), 'request')}"
            log(f"Requesting the past of {requested}, one a minute, at most {MAX_PAST_REQUESTS} in a poll")
        for group, past in self._pasts(groups, now):
            part = _only(recent, {station.station_id for station in group})
            if isinstance(past, ApiError):
                yield MetarResponse({}, dict.fromkeys(part.stations, str(past)), part.refusals, reporting)
            else:
                merged = {name: _merged(past.stations.get(name), present) for name, present in part.stations.items()}
                yield MetarResponse(merged, {}, part.refusals + past.refusals, reporting)

    def _pasts(
        self, groups: Sequence[tuple[list[Station], int]], now: datetime
    ) -> Iterator[tuple[list[Station], ParsedResponse | ApiError]]:
        """The past of each group, or why it is missing. After a failure to connect, no further one is requested."""
        no_more: ApiError | None = None
        for number, (group, hours) in enumerate(groups):
            if number == MAX_PAST_REQUESTS:
                no_more = no_more or ApiError("its past is requested by a later poll")
            past = no_more or self._past(group, hours, now)
            if isinstance(past, ApiConnectionError):
                no_more = past
            yield group, past

    def _past(self, group: Sequence[Station], hours: int, now: datetime) -> ParsedResponse | ApiError:
        try:
            return self._reports(group, hours, now)
        except ApiError as error:
            return error

    def _reports(self, stations: Sequence[Station], hours: int, now: datetime) -> ParsedResponse:
        """The reports of the stations in the last hours."""
        ids = sorted({station.metar_id for station in stations if station.metar_id})
        return parse_reports(self._raw_reports(ids, hours, None, now), stations)

    def _raw_reports(self, ids: Sequence[str], hours: int, end: datetime | None, now: datetime) -> list[Any]:
        """The reports in the hours before `end`, by default the present.

        If there are too many for a response, half of the airports are requested at a time; if those of one airport are
        too many, half of the hours.
        """
        query: dict[str, str | int] = {"ids": ",".join(ids), "format": "json", "hours": hours}
        if end:
            query["date"] = f"{end:%Y%m%d_%H%M}"
        reports = self._request(self.url, query, decode_reports, self.retry_policy.attempts)
        if len(reports) < MAX_REPORTS or (len(ids) == 1 and hours == 1):
            return reports
        if len(ids) > 1:
            parts = ids[: len(ids) // 2], ids[len(ids) // 2 :]
            return [report for part in parts for report in self._raw_reports(part, hours, end, now)]
        recent = hours // 2
        # The present of the server moves on between the requests, so both parts have an end. It has full minutes.
        end = end or now.replace(second=0, microsecond=0) + timedelta(minutes=1)
        earlier = self._raw_reports(ids, hours - recent, end - timedelta(hours=recent), now)
        return [*earlier, *self._raw_reports(ids, recent, end, now)]

    def _get_once(self, url: str, query: Query, calls: int) -> bytes:
        self._limit.wait()
        return super()._get_once(url, query, calls)


def create_metar_client(settings: Settings) -> Metar:
    return Metar(str(settings.metar_url), RequestLimit(settings.state_dir / "metar-request", REQUEST_SECONDS))


def _missing_hours(last: Observation | None, now: datetime, backfill: timedelta, horizon: timedelta) -> int:
    gap = backfill if last is None else now - last.timestamp
    return min(math.ceil(min(gap, horizon) / HOUR), MAX_HOURS)


def _groups(hours: Mapping[Station, int]) -> list[tuple[list[Station], int]]:
    """Stations that are requested together, and the hours: as many as usually fit into a response."""
    groups: list[tuple[list[Station], int]] = []
    for station, needed in sorted(hours.items(), key=lambda item: -item[1]):
        if groups and (len(groups[-1][0]) + 1) * groups[-1][1] * REPORTS_PER_HOUR < MAX_REPORTS:
            groups[-1][0].append(station)
        else:
            groups.append(([station], needed))
    return groups


def _only(response: ParsedResponse, names: Set[str]) -> ParsedResponse:
    """The observations of some stations, and what is refused of them."""
    refusals = [refusal for refusal in response.refusals if refusal.station_id in names]
    return ParsedResponse({name: response.stations[name] for name in response.stations if name in names}, {}, refusals)


def _merged(past: StationObservations | None, recent: StationObservations) -> StationObservations:
    by_time = {o.timestamp: o for part in (past, recent) if part for o in (*part.hours, part.current) if o}
    ordered = [by_time[moment] for moment in sorted(by_time)]
    return StationObservations(ordered[-1], (), tuple(ordered[:-1]))
