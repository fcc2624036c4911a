"""What a verification reads of the store."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import Connection, select

from tests.weatherglass.store.samples import NOON, a_prediction, an_observation
from weatherglass.record_headers import Origin
from weatherglass.store import guidance_verification, observations, predictions, schema, shadow, verification_rows

HOUR = timedelta(hours=1)


def test_scores_are_deleted_after_their_retention(connection: Connection) -> None:
    today = NOON.date()
    kept, old = today - verification_rows.RETENTION, today - verification_rows.RETENTION - timedelta(days=1)
    key = {"version": "7", "station_id": "boston", "variable": "humidity", "lead": 1, "n": 1}
    score = key | {"mae": 1.0, "rmse": 1.0, "bias": 0.0, "n_baselines": 0}
    compared = key | {"model": "best_match", "simulated": False, "mae_compared": 1.0, "mae_guidance": 2.0}
    for day in (old, kept):
        verification_rows.replace_day(connection, day, [score | {"day": day}])
        guidance_verification.replace_day(connection, day, [compared | {"day": day}])
    verification_rows.thin(connection, today)
    for table in (schema.verification, schema.guidance_verification):
        assert connection.execute(select(table.c.day)).scalars().all() == [kept]


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
