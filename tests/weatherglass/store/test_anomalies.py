from __future__ import annotations

from datetime import timedelta

from sqlalchemy import Connection

from tests.weatherglass.store.samples import NOON, a_prediction
from weatherglass.store import predictions
from weatherglass.store.anomalies import flagged

HOSTILE = "<img src=x onerror=alert(1)>' OR 1=1 --"


def _fill(connection: Connection) -> None:
    issues = [
        a_prediction(station, NOON + timedelta(minutes=15 * step), failed)
        for station in ("new-york", "boston", HOSTILE)
        for step, failed in enumerate([(), ("range",), ("step",), ("range", "step"), ()])
    ]
    predictions.save(connection, issues, NOON)


def test_only_flagged_readings_are_listed_last_stored_first(connection: Connection) -> None:
    _fill(connection)
    rows = flagged(connection, limit=100)
    assert len(rows) == 9
    assert all(row.prediction.anomaly.is_anomaly for row in rows)
    assert [row.id for row in rows] == sorted((row.id for row in rows), reverse=True)


def test_the_filters_agree_with_a_plain_loop(connection: Connection) -> None:
    _fill(connection)
    everything = flagged(connection, limit=100)
    since = NOON + timedelta(minutes=30)
    for station in (None, "boston", HOSTILE, "nowhere"):
        for check in (None, "range", "step", "flat_line", "unheard_of"):
            expected = [
                row
                for row in everything
                if (station is None or row.prediction.station_id == station)
                and (check is None or row.prediction.anomaly.checks.get(check) == "failed")
                and row.prediction.timestamp >= since
            ]
            assert flagged(connection, 100, since=since, station_id=station, check=check) == expected


def test_pages_join_to_the_whole_even_while_new_ones_arrive(connection: Connection) -> None:
    _fill(connection)
    everything = [row.id for row in flagged(connection, limit=100)]
    pages: list[int] = []
    cursor = None
    while page := flagged(connection, limit=2, before_id=cursor):
        pages += [row.id for row in page]
        cursor = page[-1].id
        newcomer = a_prediction("chicago", NOON + timedelta(minutes=len(pages)), ("range",))
        predictions.save(connection, [newcomer], NOON)
    assert pages == everything
