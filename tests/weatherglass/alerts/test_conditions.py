"""Values of conditions, compared with an independent calculation."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from datetime import timedelta
from itertools import accumulate, pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.weatherglass.alerts.cases import NOON
from weatherglass.alerts import metrics as m
from weatherglass.alerts.conditions import Increase, Latest, Quantile, Ratio, prometheus_duration
from weatherglass.alerts.metrics import Metric, MetricKind
from weatherglass.alerts.sample import BucketCounts, MetricSample

WINDOW = timedelta(minutes=10)
SECONDS = Metric("weatherglass_test_seconds", MetricKind.HISTOGRAM, "Test.", ("station",), (1, 2, 4, 8))


def histogram_samples(*series: dict[str, list[int]]) -> list[MetricSample]:
    """One sample per minute with bucket counts (not cumulative) by station."""
    return [
        MetricSample(
            NOON + timedelta(minutes=minute),
            buckets={SECONDS.name: {(station,): BucketCounts(list(counts)) for station, counts in stations.items()}},
        )
        for minute, stations in enumerate(series)
    ]


def histogram_quantile(quantile: float, bounds: Sequence[float], counts: Sequence[int]) -> float:
    """Prometheus' definition: inverse of the cumulative count, piecewise linear between the bounds."""
    cumulative = list(accumulate(counts))
    rank = quantile * cumulative[-1]
    bucket = bisect_left(cumulative, rank)
    if bucket == len(bounds):
        return bounds[-1]
    points = [0, *cumulative]
    lower, upper = ([0.0, *bounds][bucket + offset] for offset in (0, 1))
    return float(np.interp(rank, [points[bucket], points[bucket + 1]], [lower, upper]))


@pytest.mark.parametrize(
    ("quantile", "counts", "expected"),
    [
        # rank 5 of 10: all in the bucket 2 to 4, half of it
        (0.5, [0, 0, 10, 0, 0], 3.0),
        # rank 9.5 of 10: 8 below 4, 1.5 of the 2 in the bucket 4 to 8
        (0.95, [4, 0, 4, 2, 0], 4 + 4 * 1.5 / 2),
        # rank 2.5 of 10: 2.5 of the 5 in the bucket 0 to 1
        (0.25, [5, 5, 0, 0, 0], 0.5),
        # rank 7.5 of 10: 5 below 1, 2.5 of the 5 in the bucket 1 to 2
        (0.75, [5, 5, 0, 0, 0], 1.5),
        # rank 5 of 10 is the end of the bucket 0 to 1, followed by an empty bucket
        (0.5, [5, 0, 5, 0, 0], 1.0),
        # a single observation: half of the bucket 1 to 2
        (0.5, [0, 1, 0, 0, 0], 1.5),
        # the rank lies in the unbounded bucket
        (0.95, [1, 0, 0, 0, 9], 8.0),
    ],
)
def test_a_quantile_is_interpolated_linearly_within_its_bucket(
    quantile: float, counts: list[int], expected: float
) -> None:
    samples = histogram_samples({"a": [0] * 5}, {"a": counts})
    assert Quantile(SECONDS, quantile, WINDOW).values(samples) == {(): pytest.approx(expected)}


@given(
    st.lists(st.integers(0, 50), min_size=5, max_size=5).filter(lambda counts: sum(counts) > 0),
    st.floats(0.01, 0.99),
)
def test_a_quantile_equals_prometheus_histogram_quantile(counts: list[int], quantile: float) -> None:
    samples = histogram_samples(
        {"a": [3, 1, 4, 1, 5]}, {"a": [n + old for n, old in zip(counts, [3, 1, 4, 1, 5], strict=True)]}
    )
    expected = histogram_quantile(quantile, SECONDS.buckets, counts)
    assert Quantile(SECONDS, quantile, WINDOW).values(samples)[()] == pytest.approx(expected)


def test_a_quantile_adds_stations_and_ignores_counts_from_before_the_window() -> None:
    before = {"a": [100, 0, 0, 0, 0]}
    start = {"a": [100, 2, 0, 0, 0], "b": [0, 0, 0, 0, 0]}
    now = {"a": [100, 2, 6, 0, 0], "b": [0, 0, 0, 2, 0]}
    samples = histogram_samples(before, *[start] * 11, now)
    # 6 observations in 2 to 4 and 2 in 4 to 8; rank 4 of 8 is 4 of 6 in the bucket
    assert Quantile(SECONDS, 0.5, WINDOW).values(samples) == {(): pytest.approx(2 + 2 * 4 / 6)}
    # a station that was not in the first sample counts from 0
    assert Quantile(SECONDS, 0.5, WINDOW).values(histogram_samples({}, {"a": [0, 4, 0, 0, 0]}))[()] == 1.5


def test_a_quantile_without_observations_in_the_window_has_no_value() -> None:
    assert Quantile(SECONDS, 0.5, WINDOW).values(histogram_samples({"a": [1] * 5}, {"a": [1] * 5})) == {}


def counter_samples(metric: Metric, *series: dict[str, float]) -> list[MetricSample]:
    samples = [MetricSample(NOON + timedelta(minutes=minute)) for minute in range(len(series))]
    for sample, values in zip(samples, series, strict=True):
        for label, value in values.items():
            sample.put(metric, value, label)
    return samples


def test_an_increase_counts_within_the_window_and_across_a_reset() -> None:
    values = [100, 100, 103, 104, 2, 5, 5, 5, 5, 5, 5, 9]
    samples = counter_samples(m.JOB_STARTS, *({"job": float(value)} for value in values))
    # within 10 minutes of the last sample: 100, 103, 104, then a reset to 2, 5, 9
    expected = sum(later - earlier if later >= earlier else later for earlier, later in pairwise(values[1:]))
    assert expected == 3 + 1 + 2 + 3 + 4
    assert Increase(m.JOB_STARTS, WINDOW).values(samples) == {("job",): expected}


def test_an_increase_is_zero_for_a_new_series_and_missing_for_a_series_without_a_current_value() -> None:
    samples = counter_samples(m.JOB_STARTS, {"old": 5.0}, {"old": 8.0}, {"new": 7.0})
    assert Increase(m.JOB_STARTS, WINDOW).values(samples) == {("new",): 0.0}


@pytest.mark.parametrize(
    ("errors", "ok", "expected"), [(6.0, 18.0, {(): 0.25}), (5.0, 0.0, {(): 1.0}), (4.0, 0.0, {}), (0.0, 0.0, {})]
)
def test_a_ratio_has_a_value_from_the_minimum_count_on(
    errors: float, ok: float, expected: dict[tuple[str, ...], float]
) -> None:
    samples = counter_samples(m.API_REQUESTS, {"ok": 10.0, "error": 3.0}, {"ok": 10.0 + ok, "error": 3.0 + errors})
    ratio = Ratio((m.API_REQUESTS, "error"), (m.API_REQUESTS, None), WINDOW, min_count=5)
    assert ratio.values(samples) == expected


def test_a_ratio_to_a_counter_that_did_not_increase_has_no_value() -> None:
    samples = counter_samples(m.API_REQUESTS, {"error": 3.0}, {"error": 13.0})
    for sample in samples:
        sample.put(m.JOB_STARTS, 2.0, "job")
    assert Ratio((m.API_REQUESTS, "error"), (m.JOB_STARTS, None), WINDOW, min_count=5).values(samples) == {}


@pytest.mark.parametrize(
    ("seconds", "duration"),
    [(0, "0s"), (59, "59s"), (60, "1m"), (90, "90s"), (900, "15m"), (3600, "1h"), (5400, "90m"), (7200, "2h")],
)
def test_a_duration_has_the_largest_unit_of_which_it_is_a_multiple(seconds: int, duration: str) -> None:
    assert prometheus_duration(timedelta(seconds=seconds)) == duration


def test_the_latest_value_comes_from_the_newest_sample() -> None:
    samples = counter_samples(m.JOB_UP, {"a": 1.0, "b": 1.0}, {"a": 0.0})
    assert Latest(m.JOB_UP).values(samples) == {("a",): 0.0}
