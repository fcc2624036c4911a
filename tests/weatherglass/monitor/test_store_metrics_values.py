"""Values of the metrics from the store, calculated by hand from the records in it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine, insert

from tests.weatherglass.store.samples import a_prediction, an_observation
from weatherglass.alerts import metrics as m
from weatherglass.alerts.sample import MetricSample
from weatherglass.monitor.store_metrics import EPOCH, WARM_UP, StoreMetrics, station_interval
from weatherglass.settings import OPEN_METEO_CALLS_PER_DAY, Settings
from weatherglass.store import observations, polls, predictions
from weatherglass.store.engine import sqlite_file
from weatherglass.store.schema import promotions, verification_runs

NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)
SECOND, MINUTE, HOUR, DAY = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
Collect = Callable[[datetime], MetricSample]
Start = Callable[[datetime], Collect]


@pytest.fixture
def start(settings: Settings) -> Iterator[Start]:
    """Starts metrics at `NOON` of a pipeline that was started at the given time, and returns their `collect`."""
    started = []

    def start(pipeline_start: datetime) -> Collect:
        metrics = StoreMetrics(settings, NOON, pipeline_start)
        started.append(metrics)

        def collect(at: datetime) -> MetricSample:
            sample = MetricSample(at)
            metrics.collect(sample)
            return sample

        return collect

    yield start
    for metrics in started:
        metrics.close()


def observe(
    store: Engine, station: str, newest: datetime, steps: list[float], stored_after: timedelta = MINUTE
) -> None:
    """Observations of a station with these steps in seconds, from the newest backwards."""
    times = [newest]
    for step in steps:
        times.append(times[-1] - step * SECOND)
    with store.begin() as connection:
        for time in times:
            observations.save(connection, [an_observation(station, time)], time + stored_after)


def test_the_usual_interval_is_the_median_of_the_newest_twelve_steps(store: Engine) -> None:
    cases: dict[str, tuple[list[float], float]] = {
        "one": ([], 3600),
        "two-steps": ([600, 600], 3600),
        "three-steps": ([600, 300, 600], 600),
        "fast": ([30, 30, 30], 60),
        "twelve": ([600] * 6 + [1200] * 20, 900),  # six of each
    }
    for station, (steps, _) in cases.items():
        observe(store, station, NOON, steps)
    with store.connect() as connection:
        found = {station: station_interval(connection, station, None) for station in cases}
    assert found == {station: interval for station, (_, interval) in cases.items()}


def test_silence_and_delay_of_a_station_are_in_units_of_its_interval(store: Engine, start: Start) -> None:
    observe(store, "boston", NOON - 5 * MINUTE, [600] * 4)
    observe(store, "denver", NOON - 35 * MINUTE, [900] * 4, stored_after=15 * MINUTE)
    sample = start(NOON - DAY)(NOON)
    assert sample.series(m.STATION_SILENCE) == pytest.approx({("boston",): 240 / 600, ("denver",): 1200 / 900})
    assert sample.series(m.STATION_DELAY) == pytest.approx({("boston",): 0, ("denver",): 1800 / 900})
    assert sample.get(m.OBSERVATION_AGE) == 240
    restarted = start(NOON - 10 * MINUTE)(NOON)
    assert restarted.series(m.STATION_SILENCE) == pytest.approx({("boston",): 240 / 600, ("denver",): 600 / 900})
    assert start(NOON + HOUR)(NOON).series(m.STATION_SILENCE) == {("boston",): 0, ("denver",): 0}


def test_usual_intervals_are_determined_again_after_five_minutes(store: Engine, start: Start) -> None:
    observe(store, "boston", NOON - 10 * MINUTE, [600] * 4)
    collect = start(NOON - DAY)
    collect(NOON)
    observe(store, "boston", NOON - MINUTE, [60] * 8, stored_after=MINUTE)
    silences = [collect(NOON + at * SECOND).get(m.STATION_SILENCE, "boston") for at in (299, 300)]
    assert silences == pytest.approx([299 / 600, 300 / 60])


def test_a_store_without_records_has_ages_only_in_a_pipeline_that_the_launcher_started(
    store: Engine, start: Start, settings: Settings
) -> None:
    unknown = start(EPOCH)(NOON)
    file = sqlite_file(settings.store_url)
    assert file is not None
    assert {name: list(series.values()) for name, series in unknown.values.items()} == {
        m.STORE_UP.name: [1],
        m.STORE_BYTES.name: [Path(file).stat().st_size],
    }
    launched = start(NOON - MINUTE)(NOON)
    assert (launched.get(m.OBSERVATION_AGE), launched.get(m.POLL_AGE)) == (60, 1)
    assert launched.get(m.POLL_SECONDS) is None
    with store.begin() as connection:
        polls.save_poll(connection, polls.Poll(NOON - 3 * MINUTE))
        observations.save(connection, [an_observation("boston", NOON)], NOON)
    known = start(EPOCH)(NOON)
    assert (known.get(m.OBSERVATION_AGE), known.get(m.POLL_AGE)) == (0, 3)


def test_polls_are_counted_from_the_newest_one_at_the_start(store: Engine, start: Start) -> None:
    def poll(at: datetime, outcome: str = polls.OK, **fields: float) -> None:
        with store.begin() as connection:
            polls.save_poll(connection, polls.Poll(at, outcome=outcome, **fields))  # type: ignore[arg-type]

    poll(NOON - DAY - SECOND, new=400, calls=1000)
    poll(NOON - DAY, new=100, calls=30)
    counts = {"new": 5, "filled": 2, "revised": 1, "repeated": 7}
    poll(NOON - MINUTE, **counts, calls=20, seconds=1.5, unobserved=3, clock_skew=-4.0)
    collect = start(NOON - DAY)
    for _ in range(2):
        sample = collect(NOON)
        assert sample.series(m.POLLS) == {(polls.OK,): 1}
        assert sample.series(m.POLLED_OBSERVATIONS) == {(kind,): count for kind, count in counts.items()}
        assert sample.get(m.BUDGET_USED) == pytest.approx(50 / OPEN_METEO_CALLS_PER_DAY)
        values = [sample.get(metric) for metric in (m.POLL_AGE, m.POLL_SECONDS, m.UNOBSERVED_STATIONS, m.CLOCK_SKEW)]
        assert values == [1, 1.5, 3, 4]
    for second in (10, 20):
        poll(NOON + second * SECOND, "timeout", new=1, seconds=2.5)
    sample = collect(NOON + MINUTE)
    assert sample.series(m.POLLS) == {(polls.OK,): 1, ("timeout",): 2}
    assert sample.get(m.POLLED_OBSERVATIONS, "new") == 7
    assert (sample.get(m.POLL_AGE), sample.get(m.POLL_SECONDS)) == (2, 2.5)
    assert sample.get(m.CLOCK_SKEW) is None


@pytest.mark.parametrize(
    ("pairs", "pipeline_start", "age"),
    [
        ([10, 1, 0], NOON - DAY, 2),  # from the second run to the third
        ([0, 0, 0], NOON - DAY, 4),  # from the first run
        ([10, 0, 0], NOON - 2 * HOUR, 1),  # from the start of the pipeline
        ([0, 0, 1], NOON - DAY, 0),
    ],
)
def test_the_age_of_truth_is_measured_at_the_newest_verification(
    store: Engine, start: Start, pairs: list[int], pipeline_start: datetime, age: float
) -> None:
    with store.begin() as connection:
        for hours, found in zip((5, 3, 1), pairs, strict=True):
            row = {"at": NOON - hours * HOUR, "through": NOON, "days": 1, "pairs": found, "seconds": 1.0}
            connection.execute(insert(verification_runs).values(**row))
    sample = start(pipeline_start)(NOON)
    assert (sample.get(m.VERIFICATION_AGE), sample.get(m.TRUTH_AGE)) == (3600, 3600 * age)


def test_a_model_is_as_old_as_its_first_promotion(store: Engine, start: Start) -> None:
    with store.begin() as connection:
        for days, kind, action, version in (
            (10, "forecaster", "promote", "7"),
            (5, "forecaster", "promote", "8"),
            (3, "forecaster", "rollback", "7"),
            (2, "forecaster", "reject", "9"),
            (1, "detector", "promote", "9"),
        ):
            row = {"at": NOON - days * DAY, "kind": kind, "action": action, "to_version": version}
            connection.execute(insert(promotions).values(**row, changed_by="x", reason="x", details={}))
    assert start(NOON - DAY)(NOON).get(m.MODEL_AGE) == 10 * 86400


def test_the_latency_of_each_prediction_is_observed_once_after_the_warm_up(store: Engine, start: Start) -> None:
    """Two observations arrive 5 s after their time; what arrives before the end of the warm-up does not count."""
    collect = start(NOON - DAY)
    ready = NOON + WARM_UP

    def arrive(number: int, published: datetime, predicted: datetime) -> None:
        time = NOON.replace(minute=number)
        with store.begin() as connection:
            observations.save(connection, [an_observation("boston", time)], published)
            predictions.save(connection, [a_prediction("boston", time)], predicted)

    arrive(1, ready - SECOND, ready)
    arrive(2, ready, ready + 2 * SECOND)
    arrive(3, ready + 5 * SECOND, ready + 4 * SECOND)  # observed again since
    arrive(4, ready + 5 * SECOND, ready + 5 * SECOND)
    for _ in range(2):
        sample = collect(ready + MINUTE)
    ((labels, latency),) = sample.histograms(m.PUBLISHING_TO_PREDICTION).items()
    assert (labels, sum(latency.counts), latency.total) == (("boston",), 2, 2.0)
    observed = sample.histograms(m.OBSERVATION_TO_PREDICTION)[labels]
    expected = (ready + 2 * SECOND - NOON.replace(minute=2)) + (ready + 5 * SECOND - NOON.replace(minute=4))
    assert observed.total == expected.total_seconds()
    assert sample.get(m.PREDICTION_AGE) == 55
    arrive(5, ready + 6 * SECOND, ready + 9 * SECOND)
    assert collect(ready + MINUTE).histograms(m.PUBLISHING_TO_PREDICTION)[labels].total == 5.0
