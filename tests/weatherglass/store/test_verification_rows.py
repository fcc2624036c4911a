"""What a verification reads of the store."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import Connection

from tests.weatherglass.store.samples import NOON, a_prediction, an_observation
from weatherglass.record_headers import Origin
from weatherglass.store import observations, predictions, shadow, verification_rows

HOUR = timedelta(hours=1)


def test_changes_are_one_time_per_hour_of_observations_predictions_and_shadow_predictions(
    connection: Connection,
) -> None:
    early, late = NOON - HOUR, NOON + HOUR
    for stored, shift in ((early, timedelta()), (late, 24 * HOUR)):
        times = [NOON + shift + timedelta(minutes=minute) for minute in (5, 40)]
        observations.save(connection, [an_observation(timestamp=time) for time in times], stored, Origin.REPLAY)
        predictions.save(connection, [a_prediction(timestamp=time + HOUR) for time in times], stored, Origin.REPLAY)
        shadow.save(connection, [a_prediction(timestamp=time + 2 * HOUR) for time in times], stored, [None, None])
    first, next_day = NOON + timedelta(minutes=5), NOON + timedelta(minutes=5) + 24 * HOUR
    assert verification_rows.changed_since(connection, NOON) == (
        [next_day],
        [next_day + HOUR, next_day + 2 * HOUR],
    )
    observed, predicted = verification_rows.changed_since(connection, None)
    assert sorted(observed) == [first, next_day]
    assert sorted(predicted) == [first + HOUR, first + 2 * HOUR, next_day + HOUR, next_day + 2 * HOUR]
