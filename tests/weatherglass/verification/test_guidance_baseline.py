"""Forecasts compared with the raw guidance that they knew, against an oracle that loops over single records."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pytest
from sqlalchemy import Engine, select

from tests.weatherglass.verification.conftest import HOUR, MONDAY, forecast, observed
from weatherglass.guidance_record import Guidance, GuidanceValues, RunTime
from weatherglass.record_headers import Origin
from weatherglass.records import LEADS, VARIABLES, Observation, Prediction
from weatherglass.stations import Station, bundled_stations
from weatherglass.store import guidance, observations, predictions, shadow
from weatherglass.store.schema import guidance_verification, verification
from weatherglass.verification.guidance_baseline import MAX_AGE
from weatherglass.verification.score_days import verify

NOW = MONDAY + 60 * HOUR
MINUTE = timedelta(minutes=1)
Key = tuple[Any, ...]


def station_of(name: str) -> Station:
    return bundled_stations()[name]


def a_run(
    received: datetime, station_id: str = "boston", model: str = "best_match", hours: int = 48, **fields: Any
) -> Guidance:
    """A run with random values from the hour of its reception on."""
    station = station_of(station_id)
    first = received.replace(minute=0, second=0)
    rng = np.random.default_rng([int(received.timestamp()), len(station_id), len(model)])
    values = np.round(np.array([5.0, 60.0, 1010.0, 4.0]) + rng.normal(size=(hours, 4)), 1)
    usual: dict[str, Any] = {
        "station_id": station_id,
        "model": model,
        "run": received,
        "run_time": RunTime.FETCH,
        "fetched_at": received,
        "latitude": station.latitude,
        "longitude": station.longitude,
        "elevation": station.elevation,
        "simulated": False,
        "observed_only_by_model": False,
        "values": GuidanceValues(
            valid_times=[first + hour * HOUR for hour in range(hours)],
            **{name: column.tolist() for name, column in zip(VARIABLES, values.T, strict=True)},
            wind_direction=[220.0] * hours,
        ),
    }
    return Guidance.model_validate({**usual, **fields})


def fill(
    store: Engine,
    readings: Sequence[Observation],
    issued: Sequence[Prediction],
    runs: Sequence[Guidance],
    source: Origin = Origin.METAR,
    at: datetime = NOW,
) -> None:
    with store.begin() as connection:
        observations.save(connection, readings, at, source)
        predictions.save(connection, issued, at)
        guidance.save(connection, runs, at)


def verified(store: Engine, now: datetime = NOW) -> dict[Key, tuple[int, float, float]]:
    """Run the verification; key of a score -> number of cases, MAE of the version and of the guidance."""
    verify(store, now, None, None, station_of, lambda _: None)
    with store.connect() as connection:
        rows = connection.execute(select(guidance_verification)).all()
    return {
        (row.version, row.day, row.station_id, row.model, row.simulated, row.variable, row.lead): (
            row.n,
            row.mae_compared,
            row.mae_guidance,
        )
        for row in rows
    }


def oracle(
    readings: Sequence[Observation], issued: Sequence[Prediction], runs: Sequence[Guidance]
) -> dict[Key, tuple[int, float, float]]:
    truth = {(o.station_id, o.timestamp): o for o in readings}
    cases = defaultdict(list)
    for issue in issued:
        base = issue.predictions.valid_times[-1] - LEADS[-1] * HOUR
        known: dict[tuple[str, bool], Guidance] = {}
        for run in sorted(runs, key=lambda run: run.fetched_at):
            if run.station_id == issue.station_id and run.fetched_at <= base:
                known[run.model, run.simulated] = run
        for (model, simulated), run in known.items():
            for i, valid in enumerate(issue.predictions.valid_times):
                for name in VARIABLES:
                    reading = getattr(truth.get((issue.station_id, valid)), name, None)
                    if reading is None or valid not in run.values.valid_times:
                        continue
                    raw = getattr(run.values, name)[run.values.valid_times.index(valid)]
                    own = getattr(issue.predictions, name)[i]
                    version = issue.predictions.model_version
                    key = (
                        version,
                        valid.date(),
                        issue.station_id,
                        model,
                        simulated,
                        name,
                        round((valid - base) / HOUR),
                    )
                    cases[key].append((abs(own - reading), abs(raw - reading)))
    means = {key: np.mean(pairs, axis=0) for key, pairs in cases.items()}
    return {key: (len(cases[key]), own, raw) for key, (own, raw) in means.items()}


def assert_same(found: dict[Key, tuple[int, float, float]], expected: dict[Key, tuple[int, float, float]]) -> None:
    assert found.keys() == expected.keys()
    for key, scores in expected.items():
        assert found[key] == pytest.approx(scores, abs=1e-3)


def test_every_forecast_is_compared_like_the_oracle_with_the_newest_run_of_each_model(store: Engine) -> None:
    readings = [o for name in ("boston", "new-york") for o in observed(55, name) if o.timestamp.hour != 5]
    issued = [
        forecast(MONDAY + hour * HOUR + minutes * MINUTE, name, version)
        for name in ("boston", "new-york")
        for hour, minutes, version in ((6, 0, "7"), (6, 15, "7"), (7, 30, "7"), (20, 0, "8"), (26, 0, "8"))
    ]
    runs = [
        *(a_run(MONDAY + hour * HOUR + 12 * MINUTE) for hour in (1, 5, 6, 12, 18, 24)),
        *(a_run(MONDAY + hour * HOUR, model="gfs_seamless", hours=20) for hour in (4, 20)),
    ]
    fill(store, readings, issued, runs)
    expected = oracle(readings, issued, runs)
    assert {key[2] for key in expected} == {"boston"}  # the other station has no guidance
    assert {key[3] for key in expected} == {"best_match", "gfs_seamless"}
    assert_same(verified(store), expected)


def test_a_forecast_knows_the_runs_received_until_its_base_hour(store: Engine) -> None:
    readings, issued = observed(40), [forecast(MONDAY + 12 * HOUR)]
    runs = [a_run(MONDAY + 12 * HOUR + seconds * timedelta(seconds=1)) for seconds in (-1, 0, 1)]
    fill(store, readings, issued, [runs[2]])
    assert verified(store) == {}
    fill(store, [], [], [runs[0]], at=NOW + HOUR)
    assert_same(verified(store, NOW + HOUR), oracle(readings, issued, [runs[0]]))
    fill(store, [], [], [runs[1]], at=NOW + 2 * HOUR)
    assert_same(verified(store, NOW + 2 * HOUR), oracle(readings, issued, [runs[1]]))


def test_a_run_that_is_stored_late_changes_the_days_of_all_forecasts_that_knew_it(store: Engine) -> None:
    received = MONDAY + 6 * HOUR
    issued = [forecast(received), forecast(received + MAX_AGE), forecast(received + MAX_AGE + HOUR)]
    readings = observed(55)
    fill(store, readings, issued, [], at=NOW - HOUR)  # so that the second run finds nothing new but the guidance
    assert verified(store) == {}
    late = a_run(received, hours=72)
    fill(store, [], [], [late], at=NOW + HOUR)
    found = verified(store, NOW + HOUR)
    assert_same(found, oracle(readings, issued[:2], [late]))
    assert {key[1] for key in found} == {MONDAY.date(), (MONDAY + 24 * HOUR).date(), (MONDAY + 48 * HOUR).date()}


def test_output_of_weather_models_is_not_truth_of_the_comparison_but_of_the_other_baselines(store: Engine) -> None:
    readings, issued, run = observed(30), [forecast(MONDAY)], a_run(MONDAY)
    fill(store, readings[:10], issued, [run])
    fill(store, readings[10:], [], [], Origin.OPEN_METEO)
    assert_same(verified(store), oracle(readings[:10], issued, [run]))
    with store.connect() as connection:
        leads = {row.lead for row in connection.execute(select(verification))}
    assert leads == set(LEADS)


def test_a_station_that_is_observed_only_by_models_takes_no_part(store: Engine) -> None:
    readings = [o for name in ("boston", "new-york") for o in observed(30, name)]
    issued = [forecast(MONDAY, name) for name in ("boston", "new-york")]
    runs = [a_run(MONDAY), a_run(MONDAY, "new-york", observed_only_by_model=True)]
    fill(store, readings, issued, runs)
    assert_same(verified(store), oracle(readings, issued, runs[:1]))


def test_simulated_and_real_guidance_are_scored_apart(store: Engine) -> None:
    readings = [o for name in ("boston", "new-york") for o in observed(30, name)]
    issued = [forecast(MONDAY, name) for name in ("boston", "new-york")]
    runs = [a_run(MONDAY), a_run(MONDAY, "new-york", model="simulated", simulated=True)]
    fill(store, readings, issued, runs)
    found = verified(store)
    assert_same(found, oracle(readings, issued, runs))
    assert {(key[2], key[4]) for key in found} == {("boston", False), ("new-york", True)}


def test_shadow_forecasts_are_compared_too_and_a_second_run_changes_nothing(store: Engine) -> None:
    readings, run = observed(30), a_run(MONDAY)
    issued, in_shadow = forecast(MONDAY), forecast(MONDAY, version="8", seed=1)
    fill(store, readings, [issued], [run])
    with store.begin() as connection:
        shadow.save(connection, [in_shadow], NOW, [None])
    found = verified(store)
    assert_same(found, oracle(readings, [issued, in_shadow], [run]))
    assert {key[0] for key in found} == {"7", "8"}
    fill(store, readings[3:4], [], [], at=NOW + HOUR)
    assert verified(store, NOW + HOUR) == found


def test_guidance_for_another_place_is_not_compared(store: Engine) -> None:
    fill(store, observed(30), [forecast(MONDAY)], [a_run(MONDAY, latitude=10.0)])
    assert verified(store) == {}
