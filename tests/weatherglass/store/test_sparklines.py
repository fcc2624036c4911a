from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import Connection

from tests.weatherglass.store.samples import NOON, an_observation
from weatherglass.store import observations, sparklines

MINUTE = timedelta(minutes=1)


@pytest.mark.parametrize("variable", ["temperature", "humidity", "pressure", "wind_speed", "wind_direction"])
def test_a_series_has_the_values_from_the_start_to_before_the_end_of_the_requested_stations(
    connection: Connection, variable: str
) -> None:
    values = {"boston": [5.0, 1.0, None, 3.0, 4.0], "jfk": [9.0, 8.0, 7.0, 6.0, 2.0], "ewr": [1.0] * 5}
    for station, found in values.items():
        for minute, value in reversed(list(enumerate(found))):
            record = an_observation(station, NOON + minute * MINUTE, **{variable: value})
            observations.save(connection, [record], NOON)
    series = sparklines.series(connection, variable, NOON + MINUTE, NOON + 4 * MINUTE, ["boston", "jfk"])
    assert series == {
        station: [(NOON + minute * MINUTE, values[station][minute]) for minute in (1, 2, 3)]
        for station in ("boston", "jfk")
    }
