"""The parts of a poll as one."""

from __future__ import annotations

from collections.abc import Iterable

from producer.api_response import ParsedResponse
from producer.metar import MetarResponse
from producer.polling import PollResult


def join_reports(parts: Iterable[MetarResponse]) -> MetarResponse:
    """The reports of all parts, each of which has other stations."""
    parts = list(parts)
    joined = join_responses(parts)
    return MetarResponse(joined.stations, joined.failures, joined.refusals, parts[0].reporting)


def join_results(parts: Iterable[PollResult]) -> PollResult:
    """The result of all parts, each of which has other stations."""
    parts = list(parts)
    return PollResult(
        join_responses([part.response for part in parts]),
        {name: origin for part in parts for name, origin in part.origins.items()},
        frozenset().union(*(part.measured for part in parts)),
        [value for part in parts for value in part.model_output],
        parts[0].model,
    )


def join_responses(parts: Iterable[ParsedResponse]) -> ParsedResponse:
    joined = ParsedResponse()
    for part in parts:
        names = part.stations.keys() | part.failures.keys()
        assert names.isdisjoint(joined.stations.keys() | joined.failures.keys())
        joined.add(part)
    return joined
