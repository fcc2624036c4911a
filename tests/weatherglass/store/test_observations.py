from __future__ import annotations

from datetime import timedelta, timezone

from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from sqlalchemy import Connection, Engine, delete

from tests.weatherglass.store.samples import NOON, an_observation
from weatherglass.record_headers import Origin
from weatherglass.records import Observation
from weatherglass.store import observations, published, schema

HOSTILE = ("'; DROP TABLE observations; --", "<img src=x onerror=alert(1)>", 'a"b', "naïve ☃", "%_", "{{7*7}}", "$.x")

readings = st.builds(
    an_observation,
    station_id=st.sampled_from(["new-york", "boston", *HOSTILE]),
    timestamp=st.integers(0, 8).map(lambda step: NOON + timedelta(minutes=15 * step)),
    temperature=st.none() | st.floats(-60, 60),
    pressure=st.none() | st.floats(500, 1100),
)
batches = st.lists(st.lists(readings, max_size=6), max_size=5)


@hypothesis_settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(batches=batches, repeats=st.integers(1, 2))
def test_the_store_keeps_the_last_version_of_each_observation(
    store: Engine, batches: list[list[Observation]], repeats: int
) -> None:
    """Repeats and revisions, within a batch or across batches; the oracle is a dictionary."""
    oracle = {(o.station_id, o.timestamp): o for batch in batches for o in batch}
    with store.begin() as connection:
        for batch in batches:
            for _ in range(repeats):
                observations.save(connection, batch, NOON)
                published.save_published(connection, batch, Origin.METAR)
        stations = {station for station, _ in oracle}
        stored = [
            row.observation
            for station in stations
            for row in observations.history(connection, station, NOON, NOON + timedelta(days=1))
        ]
        assert {(o.station_id, o.timestamp): o for o in stored} == oracle
        assert len(stored) == len(oracle)

        newest = {
            s: max((o for o in oracle.values() if o.station_id == s), key=lambda o: o.timestamp) for s in stations
        }
        assert {s: row.observation for s, row in observations.latest_all(connection).items()} == newest
        last = published.last_published(connection)
        assert {s: one.newest for s, one in last.items()} == newest
        kept = {k: o for k, o in oracle.items() if newest[k[0]].timestamp - k[1] <= published.KEPT}
        assert {(s, time): o for s, one in last.items() for time, o in one.recent.items()} == kept
        for table in (schema.observations, schema.published):
            connection.execute(delete(table))


def test_an_unchanged_repeat_keeps_stored_at(connection: Connection) -> None:
    observations.save(connection, [an_observation()], NOON)
    observations.save(connection, [an_observation()], NOON + timedelta(hours=1))
    stored = observations.latest(connection, "new-york")
    assert stored is not None
    assert stored.stored_at == NOON


def test_a_revision_updates_stored_at_and_source(connection: Connection) -> None:
    observations.save(connection, [an_observation()], NOON, Origin.REPLAY)
    observations.save(connection, [an_observation(temperature=None)], NOON + timedelta(hours=1), Origin.OPEN_METEO)
    stored = observations.latest(connection, "new-york")
    assert stored is not None
    assert (stored.observation.temperature, stored.source) == (None, Origin.OPEN_METEO)
    assert stored.stored_at == NOON + timedelta(hours=1)


def test_history_is_a_half_open_ordered_range_of_one_station(connection: Connection) -> None:
    times = [NOON + timedelta(minutes=15 * step) for step in (3, 0, 2, 1)]
    observations.save(connection, [an_observation(timestamp=time) for time in times], NOON)
    observations.save(connection, [an_observation("boston")], NOON)
    rows = observations.history(connection, "new-york", NOON, NOON + timedelta(minutes=45))
    assert [row.observation.timestamp for row in rows] == sorted(times)[:3]


def test_times_in_different_zones_are_the_same_instant(connection: Connection) -> None:
    tokyo = NOON.astimezone(timezone(timedelta(hours=9)))
    observations.save(connection, [an_observation(), an_observation(timestamp=tokyo, temperature=9.0)], NOON)
    (row,) = observations.history(connection, "new-york", tokyo, tokyo + timedelta(seconds=1))
    assert row.observation.temperature == 9.0


def test_an_older_observation_is_not_the_last_published(connection: Connection) -> None:
    earlier = an_observation(timestamp=NOON - timedelta(hours=1), temperature=-5.0)
    for observation in (an_observation(), earlier):
        published.save_published(connection, [observation], Origin.METAR)
    last = published.last_published(connection)["new-york"]
    assert (last.newest, last.source) == (an_observation(), Origin.METAR)
    assert list(last.recent.values()) == [earlier, an_observation()]


def test_observations_of_another_source_are_not_among_the_last_published(connection: Connection) -> None:
    newest = an_observation(timestamp=NOON + timedelta(minutes=51))
    published.save_published(connection, [an_observation()], Origin.OPEN_METEO)
    published.save_published(connection, [newest], Origin.METAR)
    last = published.last_published(connection)["new-york"]
    assert (last.source, list(last.recent)) == (Origin.METAR, [newest.timestamp])


def test_a_revision_replaces_the_published_observation(connection: Connection) -> None:
    for temperature in (3.0, 4.0):
        published.save_published(connection, [an_observation(temperature=temperature)], Origin.METAR)
    assert published.last_published(connection)["new-york"].newest.temperature == 4.0
