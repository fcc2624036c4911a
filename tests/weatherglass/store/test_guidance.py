from __future__ import annotations

from datetime import timedelta

from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from sqlalchemy import Connection, Engine, delete, select, update

from tests.weatherglass.store.samples import NOON, a_guidance
from weatherglass.guidance_record import Guidance
from weatherglass.record_headers import Origin
from weatherglass.store import guidance, schema

HOUR = timedelta(hours=1)
runs = st.builds(
    lambda station, step, model, delay, temperature: a_guidance(
        station, NOON + step * HOUR, model, temperature, 3, fetched_at=NOON + (step + delay) * HOUR
    ),
    st.sampled_from(["new-york", "boston", "x' OR '1'='1"]),
    st.integers(0, 4),
    st.sampled_from(["best_match", "gfs_seamless"]),
    st.integers(0, 9),
    st.floats(-60, 50),
)


@hypothesis_settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(batches=st.lists(st.lists(runs, max_size=5), max_size=5), known_at=st.none() | st.integers(-1, 14))
def test_the_newest_run_of_each_model_that_was_known_is_returned(
    store: Engine, batches: list[list[Guidance]], known_at: int | None
) -> None:
    oracle = {(run.station_id, run.model, run.run): run for batch in batches for run in batch}
    time = None if known_at is None else NOON + known_at * HOUR
    with store.begin() as connection:
        for batch in batches:
            guidance.save(connection, batch, NOON)
        for station in {"new-york", *(key[0] for key in oracle)}:
            expected: dict[str, Guidance] = {}
            for (name, model, run), record in sorted(oracle.items()):
                if name == station and (time is None or record.fetched_at <= time):
                    assert model not in expected or expected[model].run < run
                    expected[model] = record
            assert [one.guidance for one in guidance.latest(connection, station, time)] == [
                expected[model] for model in sorted(expected)
            ]
        connection.execute(delete(schema.guidance))


def test_a_run_keeps_its_source_and_what_it_is(connection: Connection) -> None:
    run = a_guidance(simulated=True, observed_only_by_model=True, elevation=None)
    guidance.save(connection, [run], NOON + HOUR, Origin.SIMULATED)
    (stored,) = guidance.latest(connection, "new-york")
    assert (stored.guidance, stored.source, stored.stored_at) == (run, Origin.SIMULATED, NOON + HOUR)


def test_runs_are_deleted_after_their_retention(connection: Connection) -> None:
    ages = (guidance.RETENTION + HOUR, guidance.RETENTION - HOUR, timedelta())
    guidance.save(connection, [a_guidance(run=NOON - age) for age in ages], NOON)
    assert guidance.thin(connection, NOON) == 1
    kept = connection.execute(select(schema.guidance.c.run).order_by(schema.guidance.c.run)).scalars()
    assert list(kept) == [NOON - age for age in ages[1:]]


def test_a_row_that_cannot_be_read_is_left_out(connection: Connection) -> None:
    guidance.save(connection, [a_guidance(), a_guidance(model="gfs_seamless")], NOON)
    damaged = schema.guidance.c.model == "best_match"
    connection.execute(update(schema.guidance).where(damaged).values({"values": {"valid_times": []}}))
    assert [one.guidance.model for one in guidance.latest(connection, "new-york")] == ["gfs_seamless"]


def test_the_last_fetch_of_each_station_and_model_is_kept(connection: Connection) -> None:
    first, second = a_guidance().values, a_guidance(temperature=5).values
    keys = ("new-york", "best_match"), ("new-york", "gfs_seamless")
    guidance.save_fetches(connection, {keys[0]: first, keys[1]: None}, NOON)
    assert guidance.last_fetches(connection)[keys[1]] == guidance.Fetch(NOON, None)
    guidance.save_fetches(connection, {keys[0]: second}, NOON + HOUR)
    guidance.save_fetches(connection, {keys[1]: first}, NOON + 2 * HOUR)
    assert guidance.last_fetches(connection) == {
        keys[0]: guidance.Fetch(NOON + HOUR, second),
        keys[1]: guidance.Fetch(NOON + 2 * HOUR, first),
    }


def test_runs_are_found_by_the_time_of_storage_and_loaded_by_identity(connection: Connection) -> None:
    first, second, third = (a_guidance(run=NOON + number * HOUR) for number in range(3))
    for run, stored_at in ((first, NOON), (second, NOON + HOUR), (third, NOON + 2 * HOUR)):
        guidance.save(connection, [run], stored_at)
    found = guidance.identities_since(connection, NOON + HOUR)
    assert found == {("new-york", "best_match", NOON + number * HOUR): NOON + number * HOUR for number in (1, 2)}
    assert sorted(guidance.load(connection, list(found)), key=lambda run: run.run) == [second, third]
    assert guidance.load(connection, [("boston", "best_match", NOON)]) == []


def test_runs_of_one_kind_are_found_by_the_time_of_reception(connection: Connection) -> None:
    count = guidance.READ_BATCH + 3
    real = [a_guidance(run=NOON + number * HOUR, hours=2) for number in range(count)]
    simulated = a_guidance(run=NOON + HOUR, model="simulated", simulated=True)
    guidance.save(connection, [*real, simulated], NOON)
    connection.execute(
        update(schema.guidance).where(schema.guidance.c.run == NOON + 4 * HOUR).values({"values": {"valid_times": []}})
    )
    found = list(guidance.received_between(connection, NOON + HOUR, NOON + (count - 1) * HOUR, simulated=False))
    assert sorted(found, key=lambda run: run.run) == [
        run for number, run in enumerate(real) if 1 <= number < count - 1 and number != 4
    ]
    assert list(guidance.received_between(connection, NOON, NOON + 2 * HOUR, simulated=True)) == [simulated]


def test_the_times_of_reception_of_new_runs_are_found_once(connection: Connection) -> None:
    received = [NOON - 3 * HOUR, NOON - 2 * HOUR]
    guidance.save(connection, [a_guidance(run=received[0]), a_guidance("boston", run=received[0])], NOON)
    guidance.save(connection, [a_guidance(run=NOON - 4 * HOUR, fetched_at=received[1])], NOON + HOUR)
    assert sorted(guidance.received_times(connection, None)) == received
    assert guidance.received_times(connection, NOON) == [received[1]]
