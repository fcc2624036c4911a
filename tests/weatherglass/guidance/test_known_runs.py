from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from tests.synthetic_history import history
from tests.weatherglass.guidance.records import HOUR, a_run, time_of
from weatherglass.guidance.known_runs import MAX_AGE_HOURS, PAST_HOURS, KnownGuidance, KnownRuns
from weatherglass.guidance_record import MAX_GUIDANCE_HOURS, Guidance
from weatherglass.records import LEADS, VARIABLES

GRID = history(count=2, days=12)
STATION = GRID.stations[0]


def known(records: list[Guidance], columns: list[int], simulated: bool = False) -> KnownGuidance | None:
    runs = KnownRuns().with_records(records, 0)
    return runs.known([STATION] * len(columns), GRID.hours[columns], simulated)


@hypothesis_settings(max_examples=40, deadline=None)
@given(
    fetches=st.lists(st.tuples(st.integers(2, 200), st.integers(-90, 90)), min_size=1, max_size=12, unique_by=sum),
    base=st.integers(120, 210),
    parts=st.integers(0, 12),
)
def test_a_forecast_knows_the_newest_run_received_before_its_base_hour_and_no_later_one(
    fetches: list[tuple[int, int]], base: int, parts: int
) -> None:
    """Compared with a search among all runs, hour by hour; the runs arrive in any order, in two parts."""
    records = []
    for number, (column, minutes) in enumerate(fetches):
        received = time_of(GRID, column) + timedelta(minutes=minutes)
        one = a_run(GRID, 0, column, change=lambda values, n=number: np.full_like(values, 10.0 + n))
        records.append(one.model_copy(update={"run": received, "fetched_at": received}))
    runs = KnownRuns().with_records(records[:parts], 0).with_records(records[parts:], 0)
    found = runs.known([STATION], GRID.hours[[base]], simulated=False)
    assert found is not None
    limit = timedelta(hours=MAX_AGE_HOURS + 1)
    for hour in range(base - PAST_HOURS + 1, base + LEADS[-1] + 1):
        if not any(timedelta() <= time_of(GRID, base) - one.fetched_at < limit for one in records):
            assert np.isnan(found.past).all()
            assert np.isnan(found.ahead).all()
            break
        before = [one for one in records if one.fetched_at <= time_of(GRID, min(hour, base))]
        newest = max(before, key=lambda one: one.fetched_at, default=None)
        times = newest.values.valid_times if newest else []
        expected = newest.values.temperature[0] if newest and time_of(GRID, hour) in times else None
        value = found.ahead[0, 0, hour - base - 1, 0] if hour > base else found.past[0, 0, hour - base - 1, 0]
        assert np.isnan(value) if expected is None else value == pytest.approx(expected)


def test_an_old_run_is_not_used() -> None:
    ages = [0, MAX_AGE_HOURS, MAX_AGE_HOURS + 1]
    found = known([a_run(GRID, 0, 150)], [150 + age for age in ages])
    assert found is not None
    assert [run[0] is not None for run in found.runs] == [True, True, False]
    assert np.isfinite(found.ahead).all(axis=(1, 2, 3)).tolist() == [True, True, False]


def test_values_outside_the_range_limits_are_missing() -> None:
    in_kelvin = a_run(GRID, 0, 150, change=lambda values: values + np.array([273.15, 0, 0, 0]))
    found = known([in_kelvin], [150])
    assert found is not None
    assert np.isnan(found.ahead[..., VARIABLES.index("temperature")]).all()
    assert np.isfinite(found.ahead[..., 1:]).all()


def test_a_gap_in_the_valid_times_is_missing_and_moves_no_value() -> None:
    run = a_run(GRID, 0, 150)
    lists = {
        name: [v for n, v in enumerate(getattr(run.values, name)) if n != 5] for name in type(run.values).model_fields
    }
    found = known([run.model_copy(update={"values": type(run.values)(**lists)})], [150])
    whole = known([run], [150])
    assert found is not None
    assert whole is not None
    expected = whole.ahead.copy()
    expected[0, 0, 5 - 2] = np.nan  # the run begins an hour before the base hour
    np.testing.assert_array_equal(found.ahead, expected)


@pytest.mark.parametrize(
    ("fields", "station"),
    [
        ({"simulated": True}, STATION),
        ({"observed_only_by_model": True}, STATION),
        ({}, replace(STATION, latitude=STATION.latitude + 0.5)),
        ({"station_id": "s1"}, STATION),
    ],
)
def test_a_run_that_says_nothing_about_the_station_is_not_used(fields: dict[str, object], station: object) -> None:
    runs = KnownRuns().with_records([a_run(GRID, 0, 150, **fields)], 0)  # type: ignore[arg-type]
    found = runs.known([station], GRID.hours[[150]], simulated=False)  # type: ignore[list-item]
    assert found is None or found.runs == ((None,),)
    assert found is None or np.isnan(found.ahead).all()


def test_old_runs_are_dropped_and_the_others_kept() -> None:
    records = [a_run(GRID, 0, column) for column in (10, 100, 150)]
    oldest = int(GRID.hours[100].astype(np.int64))
    runs = KnownRuns().with_records(records[:1], 0).with_records(records[1:], oldest)
    assert [run.run for run in runs.timelines["s0", "best_match"].runs] == [one.run for one in records[1:]]
    assert KnownRuns().with_records(records, oldest + 1000).timelines == {}


def with_time(record: Guidance, at: int, time: datetime) -> Guidance:
    times = list(record.values.valid_times)
    times[at] = time
    return record.model_copy(update={"values": record.values.model_copy(update={"valid_times": times})})


@pytest.mark.parametrize("year", [2126, 9999])
def test_a_distant_valid_time_is_left_out_and_needs_no_memory(year: int) -> None:
    record = a_run(GRID, 0, 150)
    usual = known([record], [150])
    distant = known([with_time(record, -1, record.run.replace(year=year, minute=0))], [150])
    assert usual is not None
    assert distant is not None
    np.testing.assert_array_equal(distant.ahead, usual.ahead)
    (((run,),), ((expected,),)) = distant.runs, usual.runs
    assert run is not None
    assert expected is not None
    np.testing.assert_array_equal(run.values, expected.values[:-1])


def test_valid_times_from_an_hour_before_the_reception_until_the_longest_run_are_kept() -> None:
    record, received = a_run(GRID, 0, 150), time_of(GRID, 150)
    for time, kept in (
        (received - 2 * HOUR, False),
        (received - HOUR, True),
        (received + MAX_GUIDANCE_HOURS * HOUR, True),
        (received + (MAX_GUIDANCE_HOURS + 1) * HOUR, False),
    ):
        at = 0 if time < received else -1
        (timeline,) = KnownRuns().with_records([with_time(record, at, time)], 0).timelines.values()
        hours = np.flatnonzero(np.isfinite(timeline.runs[0].values[:, 0])) + timeline.runs[0].first
        assert (int(time.timestamp()) // 3600 in hours) == kept


def test_a_record_that_cannot_be_read_does_not_affect_the_others() -> None:
    good, other = a_run(GRID, 0, 150), a_run(GRID, 1, 150)
    past = [time - timedelta(days=4000) for time in good.values.valid_times]
    values = good.values.model_copy(update={"valid_times": past})
    old = good.model_copy(update={"run": good.run - HOUR, "values": values})
    broken = good.model_copy(update={"run": good.run - 2 * HOUR, "values": None})
    runs = KnownRuns().with_records([old, broken, good, old, broken, other], 0)
    assert {key: [run.run for run in line.runs] for key, line in runs.timelines.items()} == {
        ("s0", "best_match"): [good.run],
        ("s1", "best_match"): [other.run],
    }
    assert KnownRuns().with_records([old, broken], 0).timelines == {}
