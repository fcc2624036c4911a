"""The hourly verification against a plain oracle: loops over records, one pair after the other."""

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
from weatherglass.stations import Station, known_stations
from weatherglass.store import detection_scores, observations, predictions, shadow, verdicts, verification_queries
from weatherglass.store.detection_scores import WHOLE_STATION, InjectedFault
from weatherglass.store.schema import paired_losses, verification
from weatherglass.store.verdicts import Judgement, Verdict
from weatherglass.verification.baselines import ReferenceModel
from weatherglass.verification.verify import verify

NOW = MONDAY + 50 * HOUR
QUIET: Any = lambda _: None  # noqa: E731


def scores(store: Engine) -> dict[tuple[Any, ...], dict[str, Any]]:
    with store.connect() as connection:
        rows = [dict(row) for row in connection.execute(select(verification)).mappings()]
    identity = ("version", "day", "station_id", "variable", "lead")
    return {tuple(row.pop(name) for name in identity): row for row in rows}


def oracle(issued: Sequence[Prediction], truths: Sequence[Observation]) -> dict[tuple[Any, ...], list[tuple[Any, ...]]]:
    """Of each pair, by identity: error, whether the 90 % and the 80 % interval hold the truth, persistence's error."""
    came = {(o.station_id, o.timestamp): o for o in truths}
    found = defaultdict(list)
    for made in issued:
        said, sure = made.predictions, made.confidence
        base = said.valid_times[-1] - LEADS[-1] * HOUR
        version = said.model_version if said.method is Method.MODEL else said.method.value
        for i, valid in enumerate(said.valid_times):
            for name in VARIABLES:
                true = getattr(came.get((made.station_id, valid)), name, None)
                if true is None:
                    continue
                key = (version, valid.date(), made.station_id, name, round((valid - base) / HOUR))
                inside = [
                    getattr(one.lower, name)[i] - 1e-6 <= true <= getattr(one.upper, name)[i] + 1e-6
                    for one in (sure, *sure.others)
                ]
                last = getattr(came.get((made.station_id, base)), name, None)
                found[key].append((getattr(said, name)[i] - true, *inside, None if last is None else last - true))
    return found


def station_of(name: str) -> Station:
    return known_stations()[name]


def fill(store: Engine, truths: Sequence[Observation], issued: Sequence[Prediction], at: datetime) -> None:
    with store.begin() as connection:
        observations.save(connection, truths, at)
        predictions.save(connection, issued, at)


@pytest.fixture(scope="module")
def usual() -> ReferenceModel:
    grid = history(count=2, days=60)
    fitted = climatology.fit(grid)
    renamed = climatology.Climatology(("boston", "new-york"), fitted.coefficients)
    return ReferenceModel(renamed, damped_anomaly.fit(features.view(grid, fitted).anomalies))


def test_every_forecast_is_paired_with_what_came_true(store: Engine, usual: ReferenceModel) -> None:
    truths = [o for name in ("boston", "new-york") for o in observed(40, name) if o.timestamp.hour != 5]
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
    fill(store, truths, issued, NOW)
    verify(store, NOW, usual, None, station_of, QUIET)
    found, expected = scores(store), oracle(issued, truths)
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


def test_late_truth_changes_its_days_and_a_second_run_changes_nothing(store: Engine, usual: ReferenceModel) -> None:
    truths, issued = observed(40), [forecast(MONDAY + hour * HOUR) for hour in range(0, 30, 2)]
    fill(store, truths[:10], issued, NOW)
    verify(store, NOW, usual, None, station_of, QUIET)
    first = scores(store)
    assert max(row["n"] for row in first.values()) <= 5
    fill(store, truths[20:], [], NOW + HOUR)
    verify(store, NOW + HOUR, usual, None, station_of, QUIET)
    fill(store, truths[10:20], [], NOW + 2 * HOUR)  # the gap comes last
    verify(store, NOW + 2 * HOUR, usual, None, station_of, QUIET)
    late = scores(store)
    assert {key: row["n"] for key, row in late.items()} == {k: len(v) for k, v in oracle(issued, truths).items()}
    verify(store, NOW + 3 * HOUR, usual, None, station_of, QUIET)
    with store.begin() as connection:
        connection.execute(verification_queries.verification_runs.delete())
    done = verify(store, NOW + 3 * HOUR, usual, None, station_of, QUIET)
    assert len(done.days) == 3, "all days anew"
    assert scores(store) == late
    assert not verify(store, NOW + 9 * HOUR, usual, None, station_of, QUIET).days, "nothing new, nothing done"


def test_a_prediction_of_before_there_were_two_intervals_is_scored_by_the_one(
    store: Engine, usual: ReferenceModel
) -> None:
    made = forecast(MONDAY)
    old = made.model_copy(update={"confidence": made.confidence.model_copy(update={"others": []})})
    fill(store, observed(30), [old], NOW)
    verify(store, NOW, usual, None, station_of, QUIET)
    assert {row["coverage_80"] for row in scores(store).values()} == {None}
    assert None not in {row["coverage_90"] for row in scores(store).values()}


def test_a_value_that_was_disturbed_on_purpose_is_no_truth_and_the_others_of_its_reading_are(store: Engine) -> None:
    truths, issued = observed(30), [forecast(MONDAY)]
    fault = InjectedFault("boston", "humidity", "spike", MONDAY + 4 * HOUR, MONDAY + 6 * HOUR)
    broken = InjectedFault("boston", WHOLE_STATION, "swapped", MONDAY + 9 * HOUR, MONDAY + 9 * HOUR)
    with store.begin() as connection:
        detection_scores.note_faults(connection, [fault, broken])
    fill(store, truths, issued, NOW)
    verify(store, NOW, None, None, station_of, QUIET)
    paired = {(key[3], key[4]) for key in scores(store)}
    gone = {("humidity", lead) for lead in (4, 5, 6)} | {(variable, 9) for variable in VARIABLES}
    assert paired == {(variable, lead) for variable in VARIABLES for lead in LEADS} - gone


def test_a_reading_that_a_person_says_is_wrong_is_no_truth(store: Engine) -> None:
    truths, issued = observed(30), [forecast(MONDAY + 2 * HOUR, flagged="temperature")]
    fill(store, truths, issued, NOW)
    verify(store, NOW, None, None, station_of, QUIET)
    before = scores(store)
    wrong = MONDAY + 6 * HOUR
    with store.begin() as connection:
        verdicts.give(connection, "boston", wrong, Verdict(Judgement.CONFIRMED, "me", NOW + HOUR, "stuck"))
        verdicts.give(connection, "boston", wrong + HOUR, Verdict(Judgement.FALSE_ALARM, "me", NOW + HOUR, ""))
    verify(store, NOW + HOUR, None, None, station_of, QUIET)
    gone = set(before) - set(scores(store))
    assert gone == {("7", MONDAY.date(), "boston", name, 4) for name in VARIABLES}


def test_a_challenger_is_paired_with_the_champion_on_the_same_cases_whoever_served(store: Engine) -> None:
    truths = [o for name in ("boston", "new-york") for o in observed(30, name)]
    times = [MONDAY + hour * HOUR for hour in (0, 1, 2, 3)]
    mine = [forecast(time, "boston", "7") for time in times] + [forecast(times[0], "new-york", "8", seed=1)]
    aside = [forecast(time, "boston", "8", seed=1) for time in times[:3]] + [forecast(times[0], "new-york", "7")]
    fill(store, truths, mine, NOW)
    with store.begin() as connection:
        shadow.save(connection, aside, NOW, [None] * len(aside))
    verify(store, NOW, None, ("7", "8"), station_of, QUIET)
    with store.connect() as connection:
        rows = connection.execute(select(paired_losses).where(paired_losses.c.variable == "temperature")).all()
    expected = defaultdict(list)
    cases = [(time, "boston") for time in times[:3]] + [(times[0], "new-york")]
    came = {(o.station_id, o.timestamp): o.temperature for o in truths}
    for time, name in cases:
        one, other = (forecast(time, name, version, seed=seed).predictions for version, seed in (("7", 0), ("8", 1)))
        for i, valid in enumerate(one.valid_times):
            true = came[name, valid]
            assert true is not None
            expected[valid].append((abs(one.temperature[i] - true), abs(other.temperature[i] - true)))
    assert {row.valid_hour: row.n for row in rows} == {valid: len(losses) for valid, losses in expected.items()}
    for row in rows:
        losses = np.mean(expected[row.valid_hour], axis=0)
        assert (row.champion_mae, row.challenger_mae) == pytest.approx(tuple(losses), abs=1e-3)
    assert {(row.champion, row.challenger, row.hindcast) for row in rows} == {("7", "8", False)}
