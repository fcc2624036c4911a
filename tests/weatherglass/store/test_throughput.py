"""Throughput and latency from the times of storing."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import Connection

from tests.weatherglass.store.samples import NOON, a_prediction, an_observation
from weatherglass.store import observations, predictions
from weatherglass.store.throughput import last_stored_at, stored_since, throughput

SECOND = timedelta(seconds=1)


def fill(connection: Connection, latencies: list[float]) -> None:
    """One reading per minute, whose prediction is stored after some seconds."""
    for minute, latency in enumerate(latencies):
        time = NOON + timedelta(minutes=minute)
        observations.save(connection, [an_observation(timestamp=time)], time)
        predictions.save(connection, [a_prediction(timestamp=time)], time + latency * SECOND)


def test_counts_and_percentiles_of_each_step(connection: Connection) -> None:
    fill(connection, [1.0, 2.0, 3.0, 10.0, 0.5, 0.5])
    steps = throughput(connection, NOON, NOON + timedelta(minutes=6), timedelta(minutes=2))
    assert [(step.observations, step.predictions) for step in steps] == [(2, 2), (2, 2), (2, 2)]
    assert [step.latency_p50 for step in steps] == [2.0, 10.0, 0.5]
    assert [step.latency_p95 for step in steps] == [2.0, 10.0, 0.5]
    assert [step.start for step in steps] == [NOON + timedelta(minutes=2 * k) for k in range(3)]


def test_percentiles_of_twenty_one_latencies_are_nearest_ranks(connection: Connection) -> None:
    """Sorted latencies 1 to 21: index floor(21 x 0.5) = 10 and floor(21 x 0.95) = 19."""
    fill(connection, [float(latency) for latency in range(21, 0, -1)])
    [step] = throughput(connection, NOON, NOON + timedelta(minutes=30), timedelta(minutes=30))
    assert (step.latency_p50, step.latency_p95) == (11.0, 20.0)


def test_a_time_range_is_half_open_and_its_last_step_is_included(connection: Connection) -> None:
    """Both records of minute 1 are stored at the start, both of minute 4 at the end."""
    fill(connection, [0.0] * 6)
    steps = throughput(connection, NOON + timedelta(minutes=1), NOON + timedelta(minutes=4), timedelta(minutes=2))
    assert [(step.observations, step.predictions, step.latency_p50) for step in steps] == [(2, 2, 0.0), (1, 1, 0.0)]


def test_a_prediction_stored_before_its_observation_has_no_latency(connection: Connection) -> None:
    fill(connection, [-1.0, 4.0])
    predictions.save(connection, [a_prediction("boston", NOON)], NOON)  # no observation
    [step] = throughput(connection, NOON - timedelta(minutes=1), NOON + timedelta(minutes=4), timedelta(minutes=5))
    assert (step.observations, step.predictions) == (2, 3)
    assert (step.latency_p50, step.latency_p95) == (4.0, 4.0)


def test_a_step_without_records_has_no_latency(connection: Connection) -> None:
    fill(connection, [1.0])
    empty = throughput(connection, NOON - timedelta(minutes=5), NOON, timedelta(minutes=5))
    assert [(step.observations, step.predictions, step.latency_p50) for step in empty] == [(0, 0, None)]


def test_new_readings_are_returned_in_the_order_of_storing(connection: Connection) -> None:
    assert last_stored_at(connection) is None
    fill(connection, [1.0, 100.0, 1.0])
    everything = stored_since(connection, NOON - timedelta(days=1), 10)
    assert [row.stored_at for row in everything] == sorted(row.stored_at for row in everything)
    assert last_stored_at(connection) == everything[-1].stored_at
    assert stored_since(connection, everything[0].stored_at, 10) == everything[1:]
