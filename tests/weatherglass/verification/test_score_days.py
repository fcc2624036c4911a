"""The verification of stored forecasts against an oracle that loops over single records."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pytest
from sqlalchemy import Engine, select

from tests.synthetic_history import history
from tests.weatherglass.verification.conftest import HOUR, MONDAY, forecast, observed
from weatherglass.forecast import climatology, damped_anomaly, features
from weatherglass.records import LEADS, VARIABLES, Method, Observation, Prediction
from weatherglass.stations import Station, bundled_stations
from weatherglass.store import detection_scores, observations, predictions, shadow, verdicts, verification_queries
from weatherglass.store.detection_scores import WHOLE_STATION, InjectedFault
from weatherglass.store.schema import paired_losses, verification
from weatherglass.store.verdicts import Judgement, Verdict
from weatherglass.verification import score_days
from weatherglass.verification.baselines import ReferenceModel
from weatherglass.verification.score_days import RESCORED_DAYS, verify

NOW = MONDAY + 50 * HOUR


def no_log(_: str) -> None:
    """Discard log lines."""


def scores(store: Engine) -> dict[tuple[Any, ...], dict[str, Any]]:
    with store.connect() as connection:
        rows = [dict(row) for row in connection.execute(select(verification)).mappings()]
    identity = ("version", "day", "station_id", "variable", "lead")
    return {tuple(row.pop(name) for name in identity): row for row in rows}


def oracle(
    issued: Sequence[Prediction], observed_: Sequence[Observation]
) -> dict[tuple[Any, ...], list[tuple[Any, ...]]]:
    """Identity of a score -> of each case: error, inside the 90 % and the 80 % interval, error of persistence."""
    by_time = {(o.station_id, o.timestamp): o for o in observed_}
    cases = defaultdict(list)
    for issue in issued:
        forecasts, confidence = issue.predictions, issue.confidence
        base = forecasts.valid_times[-1] - LEADS[-1] * HOUR
        version = forecasts.model_version if forecasts.method is Method.MODEL else forecasts.method.value
        for i, valid in enumerate(forecasts.valid_times):
            for name in VARIABLES:
                value = getattr(by_time.get((issue.station_id, valid)), name, None)
                if value is None:
                    continue
                key = (version, valid.date(), issue.station_id, name, round((valid - base) / HOUR))
                inside = [
                    getattr(interval.lower, name)[i] - 1e-6 <= value <= getattr(interval.upper, name)[i] + 1e-6
                    for interval in (confidence, *confidence.others)
                ]
                last = getattr(by_time.get((issue.station_id, base)), name, None)
                persistence_error = None if last is None else last - value
                cases[key].append((getattr(forecasts, name)[i] - value, *inside, persistence_error))
    return cases


def station_of(name: str) -> Station:
    return bundled_stations()[name]


def fill(store: Engine, readings: Sequence[Observation], issued: Sequence[Prediction], at: datetime) -> None:
    with store.begin() as connection:
        observations.save(connection, readings, at)
        predictions.save(connection, issued, at)


@pytest.fixture(scope="module")
def reference() -> ReferenceModel:
    grid = history(count=2, days=60)
    fitted = climatology.fit(grid)
    renamed = climatology.Climatology(("boston", "new-york"), fitted.coefficients)
    return ReferenceModel(renamed, damped_anomaly.fit(features.model_inputs(grid, fitted).anomalies))


def test_every_forecast_is_scored_like_the_oracle(store: Engine, reference: ReferenceModel) -> None:
    readings = [o for name in ("boston", "new-york") for o in observed(40, name) if o.timestamp.hour != 5]
    issued = [
        forecast(MONDAY + minutes * timedelta(minutes=1), name, method=method, version=version)
        for name in ("boston", "new-york")
        for minutes, method, version in (
            (3, Method.MODEL, "7"),
            (200, Method.MODEL, "7"),
            (215, Method.MODEL, "8"),
            (300, Method.PERSISTENCE, "8"),
            (1500, Method.MODEL, "8"),
        )
    ]
    fill(store, readings, issued, NOW)
    verify(store, NOW, reference, None, station_of, no_log)
    found, expected = scores(store), oracle(issued, readings)
    assert set(found) == set(expected)
    for key, pairs in expected.items():
        error = np.array([pair[0] for pair in pairs])
        row = found[key]
        assert row["n"] == len(pairs)
        assert row["mae"] == pytest.approx(np.abs(error).mean(), abs=1e-3)
        assert row["rmse"] == pytest.approx(np.sqrt((error**2).mean()), abs=1e-3)
        assert row["bias"] == pytest.approx(error.mean(), abs=1e-3)
        assert row["coverage_90"] == pytest.approx(np.mean([pair[1] for pair in pairs]))
        assert row["coverage_80"] == pytest.approx(np.mean([pair[2] for pair in pairs]))
        compared = [(pair[0], pair[3]) for pair in pairs if pair[3] is not None]
        assert row["n_baselines"] == len(compared)
        if compared:
            assert row["mae_persistence"] == pytest.approx(np.mean([abs(other) for _, other in compared]), abs=1e-3)
            assert row["mae_compared"] == pytest.approx(np.mean([abs(own) for own, _ in compared]), abs=1e-3)
            assert row["mae_damped"] is not None
    assert {key[0] for key in found} == {"7", "8", "persistence"}
    assert not any(row["hindcast"] for row in found.values())


def test_late_observations_change_their_days_and_a_second_run_changes_nothing(
    store: Engine, reference: ReferenceModel
) -> None:
    readings, issued = observed(40), [forecast(MONDAY + hour * HOUR) for hour in range(0, 30, 2)]
    fill(store, readings[:10], issued, NOW)
    verify(store, NOW, reference, None, station_of, no_log)
    first = scores(store)
    assert max(row["n"] for row in first.values()) <= 5
    fill(store, readings[20:], [], NOW + HOUR)
    verify(store, NOW + HOUR, reference, None, station_of, no_log)
    fill(store, readings[10:20], [], NOW + 2 * HOUR)  # the gap is filled last
    verify(store, NOW + 2 * HOUR, reference, None, station_of, no_log)
    late = scores(store)
    assert {key: row["n"] for key, row in late.items()} == {k: len(v) for k, v in oracle(issued, readings).items()}
    verify(store, NOW + 3 * HOUR, reference, None, station_of, no_log)
    with store.begin() as connection:
        connection.execute(verification_queries.verification_runs.delete())
    result = verify(store, NOW + 3 * HOUR, reference, None, station_of, no_log)
    assert len(result.days) == 3, "all days are scored again"
    assert scores(store) == late
    assert not verify(store, NOW + 9 * HOUR, reference, None, station_of, no_log).days, "nothing new"


def test_a_prediction_with_one_interval_has_no_coverage_of_the_other(store: Engine, reference: ReferenceModel) -> None:
    made = forecast(MONDAY)
    old = made.model_copy(update={"confidence": made.confidence.model_copy(update={"others": []})})
    fill(store, observed(30), [old], NOW)
    verify(store, NOW, reference, None, station_of, no_log)
    assert {row["coverage_80"] for row in scores(store).values()} == {None}
    assert None not in {row["coverage_90"] for row in scores(store).values()}


def test_a_value_with_an_injected_fault_is_not_used_but_the_other_values_are(store: Engine) -> None:
    readings, issued = observed(30), [forecast(MONDAY)]
    fault = InjectedFault("boston", "humidity", "spike", MONDAY + 4 * HOUR, MONDAY + 6 * HOUR)
    broken = InjectedFault("boston", WHOLE_STATION, "swapped", MONDAY + 9 * HOUR, MONDAY + 9 * HOUR)
    with store.begin() as connection:
        detection_scores.save_faults(connection, [fault, broken])
    fill(store, readings, issued, NOW)
    verify(store, NOW, None, None, station_of, no_log)
    scored = {(key[3], key[4]) for key in scores(store)}
    gone = {("humidity", lead) for lead in (4, 5, 6)} | {(variable, 9) for variable in VARIABLES}
    assert scored == {(variable, lead) for variable in VARIABLES for lead in LEADS} - gone


def test_a_reading_with_a_confirmed_flag_is_not_used(store: Engine) -> None:
    readings, issued = observed(30), [forecast(MONDAY + 2 * HOUR, flagged="temperature")]
    fill(store, readings, issued, NOW)
    verify(store, NOW, None, None, station_of, no_log)
    before = scores(store)
    wrong = MONDAY + 6 * HOUR
    with store.begin() as connection:
        verdicts.save(connection, "boston", wrong, Verdict(Judgement.CONFIRMED, "me", NOW + HOUR, "stuck"))
        verdicts.save(connection, "boston", wrong + HOUR, Verdict(Judgement.FALSE_ALARM, "me", NOW + HOUR, ""))
    verify(store, NOW + HOUR, None, None, station_of, no_log)
    gone = set(before) - set(scores(store))
    assert gone == {("7", MONDAY.date(), "boston", name, 4) for name in VARIABLES}


def test_losses_are_paired_on_the_same_cases_served_or_in_shadow(store: Engine) -> None:
    readings = [o for name in ("boston", "new-york") for o in observed(30, name)]
    times = [MONDAY + hour * HOUR for hour in (0, 1, 2, 3)]
    served = [forecast(time, "boston", "7") for time in times] + [forecast(times[0], "new-york", "8", seed=1)]
    shadow_issues = [forecast(time, "boston", "8", seed=1) for time in times[:3]] + [
        forecast(times[0], "new-york", "7")
    ]
    fill(store, readings, served, NOW)
    with store.begin() as connection:
        shadow.save(connection, shadow_issues, NOW, [None] * len(shadow_issues))
    verify(store, NOW, None, ("7", "8"), station_of, no_log)
    with store.connect() as connection:
        rows = connection.execute(select(paired_losses).where(paired_losses.c.variable == "temperature")).all()
    expected = defaultdict(list)
    cases = [(time, "boston") for time in times[:3]] + [(times[0], "new-york")]
    by_time = {(o.station_id, o.timestamp): o.temperature for o in readings}
    for time, name in cases:
        one, other = (forecast(time, name, version, seed=seed).predictions for version, seed in (("7", 0), ("8", 1)))
        for i, valid in enumerate(one.valid_times):
            value = by_time[name, valid]
            assert value is not None
            expected[valid].append((abs(one.temperature[i] - value), abs(other.temperature[i] - value)))
    assert {row.valid_hour: row.n for row in rows} == {valid: len(losses) for valid, losses in expected.items()}
    for row in rows:
        losses = np.mean(expected[row.valid_hour], axis=0)
        assert (row.champion_mae, row.challenger_mae) == pytest.approx(tuple(losses), abs=1e-3)
    assert {(row.champion, row.challenger, row.hindcast) for row in rows} == {("7", "8", False)}


def test_days_are_scored_again_for_thirty_days_and_with_the_day_after() -> None:
    """An observation at 23:41 belongs to the first hour of the next day."""
    today = np.datetime64("2026-01-05", "D")
    now = MONDAY + 13 * HOUR
    oldest, too_old = MONDAY - RESCORED_DAYS * 24 * HOUR, MONDAY - (RESCORED_DAYS + 2) * 24 * HOUR
    late = MONDAY - 48 * HOUR - timedelta(minutes=19)
    assert RESCORED_DAYS == 30
    assert score_days._days([], [], now) == []
    assert score_days._days([now], [], now) == [today]
    assert score_days._days([too_old], [oldest], now) == [today - 30, today - 29]
    assert score_days._days([late - timedelta(seconds=1)], [late], now) == [today - 3, today - 2, today - 1]


def test_several_versions_are_listed_in_the_plural() -> None:
    assert [score_days._listed(versions) for versions in (["7"], ["7", "8"])] == ["version 7", "versions 7, 8"]
