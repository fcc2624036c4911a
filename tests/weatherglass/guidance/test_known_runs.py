from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from tests.synthetic_history import history
from tests.weatherglass.guidance.records import a_run, time_of
from weatherglass.guidance.known_runs import MAX_AGE_HOURS, PAST_HOURS, KnownGuidance, KnownRuns
from weatherglass.guidance_record import Guidance
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
