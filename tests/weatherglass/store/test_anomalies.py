from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, event

from tests.weatherglass.store.samples import NOON, a_prediction
from weatherglass.store import predictions, verdicts
from weatherglass.store.anomalies import flagged_readings
from weatherglass.store.verdicts import Judgement, Verdict

HOSTILE = "<img src=x onerror=alert(1)>' OR 1=1 --"


def _fill(connection: Connection) -> None:
    issues = [
        a_prediction(station, NOON + timedelta(minutes=15 * step), failed)
        for station in ("new-york", "boston", HOSTILE)
        for step, failed in enumerate([(), ("range",), ("step",), ("range", "step"), ()])
    ]
    predictions.save(connection, issues, NOON)


def test_only_flagged_readings_are_listed_newest_first(connection: Connection) -> None:
    _fill(connection)
    rows = flagged_readings(connection, limit=100)
    assert len(rows) == 9
    assert all(row.is_anomaly for row in rows)
    assert rows == sorted(rows, key=lambda row: (row.timestamp, row.id), reverse=True)


def test_filters_give_the_same_readings_as_a_loop(connection: Connection) -> None:
    _fill(connection)
    everything = flagged_readings(connection, limit=100)
    since = NOON + timedelta(minutes=30)
    for station in (None, "boston", HOSTILE, "nowhere"):
        for check in (None, "range", "step", "flat_line", "unknown"):
            expected = [
                row
                for row in everything
                if (station is None or row.station_id == station)
                and (check is None or row.anomaly["checks"].get(check) == "failed")
                and row.timestamp >= since
            ]
            assert flagged_readings(connection, 100, since=since, station_id=station, check=check) == expected


def test_readings_are_selected_by_their_verdict(connection: Connection) -> None:
    """Three readings: confirmed, false alarm, no verdict. A verdict on another station's reading does not count."""
    times = [NOON + timedelta(minutes=15 * step) for step in range(3)]
    predictions.save(connection, [a_prediction(timestamp=time, failed=("step",)) for time in times], NOON)
    for station, time, judgement in (
        ("new-york", times[0], Judgement.CONFIRMED),
        ("new-york", times[1], Judgement.FALSE_ALARM),
        ("boston", times[2], Judgement.CONFIRMED),
    ):
        verdicts.save(connection, station, time, Verdict(judgement, "user", NOON, ""))
    expected = {
        Judgement.CONFIRMED: times[:1],
        Judgement.FALSE_ALARM: times[1:2],
        True: times[1::-1],
        False: times[2:],
        None: times[::-1],
    }
    for verdict, selected in expected.items():
        rows = flagged_readings(connection, limit=100, verdict=verdict)
        assert [row.timestamp for row in rows] == selected, verdict


def test_a_late_reading_is_listed_by_its_own_time(connection: Connection) -> None:
    arriving = [30, 0, 45, 15]
    for minutes in arriving:
        predictions.save(
            connection, [a_prediction(timestamp=NOON + timedelta(minutes=minutes), failed=("step",))], NOON
        )
    listed = [row.timestamp for row in flagged_readings(connection, limit=100)]
    assert listed == [NOON + timedelta(minutes=minutes) for minutes in sorted(arriving, reverse=True)]


@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
def test_flagged_readings_are_read_from_a_partial_index_without_sorting(connection: Connection) -> None:
    _fill(connection)
    statements: list[tuple[str, Any]] = []
    event.listen(
        connection, "before_cursor_execute", lambda *arguments: statements.append((arguments[2], arguments[3]))
    )
    flagged_readings(connection, limit=2, after_id=flagged_readings(connection, limit=1)[0].id)
    plan = [
        str(step) for step in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statements[-1][0]}", statements[-1][1])
    ]
    assert any("ix_predictions_flagged" in step for step in plan), plan
    assert not any("TEMP B-TREE" in step for step in plan), plan


def test_pages_contain_all_readings_once_while_new_ones_arrive(connection: Connection) -> None:
    """Newer readings, and late ones that belong to earlier pages, do not shift the following pages."""
    _fill(connection)
    out_of_order = a_prediction("boston", NOON - timedelta(hours=1), ("step",))
    predictions.save(connection, [out_of_order], NOON)
    everything = [row.id for row in flagged_readings(connection, limit=100)]
    pages: list[int] = []
    cursor = None
    while page := flagged_readings(connection, limit=2, after_id=cursor):
        pages += [row.id for row in page]
        cursor = page[-1].id
        newer = a_prediction("chicago", NOON + timedelta(minutes=46 + len(pages)), ("range",))
        # Readings of this time were on an earlier page.
        late = a_prediction("chicago", page[0].timestamp + timedelta(seconds=len(pages)), ("range",))
        predictions.save(connection, [newer, late], NOON)
    assert pages == everything
