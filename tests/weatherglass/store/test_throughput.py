from __future__ import annotations

from datetime import timedelta

from sqlalchemy import Connection

from tests.weatherglass.store.samples import NOON, a_prediction, an_observation
from weatherglass.store import observations, predictions
from weatherglass.store.throughput import last_stored_at, stored_since, throughput

SECOND = timedelta(seconds=1)


def fill(connection: Connection, waits: list[float]) -> None:
    """A reading a minute, each answered after so many seconds."""
    for minute, wait in enumerate(waits):
        time = NOON + timedelta(minutes=minute)
        observations.save(connection, [an_observation(timestamp=time)], time)
        predictions.save(connection, [a_prediction(timestamp=time)], time + wait * SECOND)


def test_the_flow_is_that_of_a_plain_loop(connection: Connection) -> None:
    waits = [1.0, 2.0, 3.0, 10.0, 0.5, 0.5]
    fill(connection, waits)
    steps = throughput(connection, NOON, NOON + timedelta(minutes=6), timedelta(minutes=2))
    assert [(step.observations, step.predictions) for step in steps] == [(2, 2), (2, 2), (2, 2)]
    assert [step.latency_p50 for step in steps] == [2.0, 10.0, 0.5]
    assert [step.latency_p95 for step in steps] == [2.0, 10.0, 0.5]
    assert [step.start for step in steps] == [NOON + timedelta(minutes=2 * k) for k in range(3)]


def test_a_step_without_anything_has_no_latency(connection: Connection) -> None:
    fill(connection, [1.0])
    empty = throughput(connection, NOON - timedelta(minutes=5), NOON, timedelta(minutes=5))
    assert [(step.observations, step.predictions, step.latency_p50) for step in empty] == [(0, 0, None)]


def test_what_is_new_comes_in_the_order_of_storing(connection: Connection) -> None:
    assert last_stored_at(connection) is None
    fill(connection, [1.0, 100.0, 1.0])
    everything = stored_since(connection, NOON - timedelta(days=1), 10)
    assert [row.stored_at for row in everything] == sorted(row.stored_at for row in everything)
    assert last_stored_at(connection) == everything[-1].stored_at
    assert stored_since(connection, everything[0].stored_at, 10) == everything[1:]
