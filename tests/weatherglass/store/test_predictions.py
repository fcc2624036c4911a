from __future__ import annotations

from datetime import datetime, timedelta

from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from sqlalchemy import Connection, Engine, delete, select

from tests.weatherglass.store.samples import NOON, a_prediction
from weatherglass.record_headers import Origin
from weatherglass.records import Prediction
from weatherglass.store import predictions, schema

issues = st.builds(
    a_prediction,
    station_id=st.sampled_from(["new-york", "boston", "x' OR '1'='1"]),
    timestamp=st.integers(0, 5).map(lambda step: NOON + timedelta(minutes=15 * step)),
    failed=st.sampled_from([(), ("range",), ("step", "range")]),
    version=st.sampled_from(["7", "8"]),
    temperature=st.floats(-60, 60),
)


@hypothesis_settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(batches=st.lists(st.lists(issues, max_size=5), max_size=5), repeats=st.integers(1, 2))
def test_predictions_are_stored_once_and_unchanged(
    store: Engine, batches: list[list[Prediction]], repeats: int
) -> None:
    oracle = {(p.station_id, p.timestamp): p for batch in batches for p in batch}
    with store.begin() as connection:
        for batch in batches:
            for _ in range(repeats):
                predictions.save(connection, batch, NOON)
        rows = [predictions.from_row(row) for row in connection.execute(select(schema.predictions))]
        assert len(rows) == len(oracle)
        assert {(row.prediction.station_id, row.prediction.timestamp): row.prediction for row in rows} == oracle
        newest = {s: max(t for station, t in oracle if station == s) for s, _ in oracle}
        latest = predictions.latest_all(connection)
        assert {s: row.prediction for s, row in latest.items()} == {s: oracle[s, t] for s, t in newest.items()}
        assert all(predictions.latest(connection, s) == row for s, row in latest.items())
        connection.execute(delete(schema.predictions))


def test_a_revised_prediction_keeps_its_id(connection: Connection) -> None:
    predictions.save(connection, [a_prediction(), a_prediction("boston")], NOON, Origin.REPLAY)
    before = predictions.latest(connection, "new-york")
    predictions.save(connection, [a_prediction(version="8")], NOON + timedelta(minutes=1), Origin.REPLAY)
    after = predictions.latest(connection, "new-york")
    assert before is not None
    assert after is not None
    assert (after.id, after.source) == (before.id, Origin.REPLAY)
    assert after.prediction.predictions.model_version == "8"
    assert after.stored_at == NOON + timedelta(minutes=1)


def test_an_unknown_station_has_no_prediction(connection: Connection) -> None:
    assert predictions.latest(connection, "nowhere") is None
    assert predictions.latest_all(connection) == {}


def _times(connection: Connection, station: str) -> set[datetime]:
    table = schema.predictions
    return set(connection.execute(select(table.c.timestamp).where(table.c.station_id == station)).scalars())


@hypothesis_settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    minutes=st.sets(st.integers(0, 360), max_size=20),
    flagged=st.sets(st.integers(0, 360), max_size=5),
    age_hours=st.integers(0, 8),
)
def test_old_issues_are_thinned_to_the_first_of_each_hour(
    store: Engine, minutes: set[int], flagged: set[int], age_hours: int
) -> None:
    """What is younger than the limit, and what flags an anomaly, stays whole. The oracle is a plain loop."""
    start = NOON.replace(minute=0)
    all_times = {start + timedelta(minutes=m) for m in minutes | flagged}
    bad_times = {start + timedelta(minutes=m) for m in flagged}
    now = start + predictions.FULL_RETENTION + timedelta(hours=age_hours)
    limit = now - predictions.FULL_RETENTION
    kept, hours_seen = set(), set()
    for time in sorted(all_times):
        hour = time.replace(minute=0)
        if time >= limit or time in bad_times or hour not in hours_seen:
            kept.add(time)
        hours_seen.add(hour)
    with store.begin() as connection:
        for station in ("new-york", "boston"):
            issues = [a_prediction(station, time, ("range",) if time in bad_times else ()) for time in all_times]
            predictions.save(connection, issues, NOON)
        deleted = predictions.thin(connection, now)
        assert _times(connection, "new-york") == _times(connection, "boston") == kept
        assert deleted == 2 * (len(all_times) - len(kept))
        connection.execute(delete(schema.predictions))
