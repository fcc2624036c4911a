from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from weatherglass.history import HourGrid
from weatherglass.models.anomaly import CHECKS, AnomalyDetector, Case, Expected, Reading, expected_at
from weatherglass.models.split import bases
from weatherglass.records import VARIABLES, AggregatedFeatures, Quality, Statistics, Wind, WindowFeatures

Model = SimpleNamespace
MINUTES = timedelta(minutes=15)


def window(time: datetime, values: tuple[float | None, ...], failed: str | None = None) -> WindowFeatures:
    blocks = {
        name: Statistics(mean=v, std=None, min=v, max=v, last=v, rate_per_hour=None, trend=None)
        for name, v in zip(VARIABLES, values, strict=True)
    }
    quality = {n: Quality.NOT_CHECKED if v is None else Quality.OK for n, v in zip(VARIABLES, values, strict=True)}
    if failed:
        quality[failed] = Quality.FAILED
    features = AggregatedFeatures(
        count=1,
        last_observation=time,
        wind=Wind(u=None, v=None, direction=None, steadiness=None),
        dew_point=None,
        quality=quality,
        **blocks,
    )
    end = time + timedelta(minutes=1)
    return WindowFeatures(
        station_id="s0", window_start=end - timedelta(minutes=5), window_end=end, aggregated_features=features
    )


NOW = datetime(2014, 5, 1, 12, tzinfo=UTC)
USUAL = (10.0, 60.0, 1005.0, 3.0)
NO_GRID = HourGrid((), np.datetime64("2014-05-01T00", "h"), np.empty((0, 0, 6), np.float32))


def readings(count: int, change: float = 0.3) -> list[Reading]:
    """Readings every 15 minutes up to 15 minutes before now, each variable moving by `change`."""
    return [Reading(NOW - MINUTES * k, tuple(v + change * ((k % 5) + 1) for v in USUAL)) for k in range(count, 0, -1)]


def judged(values: tuple[float | None, ...] = USUAL, **given: object):
    case = {"recent": readings(4), "row": None, "expected": None, "failed": None, **given}
    made = Case(window(NOW, values, case["failed"]), case["recent"], case["row"], case["expected"])  # type: ignore[arg-type]
    return AnomalyDetector.rules_only().check(made, NO_GRID, None)


def test_an_ordinary_reading_is_no_anomaly_and_says_what_was_not_checked() -> None:
    anomaly = judged()
    assert not anomaly.is_anomaly
    assert anomaly.score == 0
    assert tuple(anomaly.checks) == CHECKS
    assert anomaly.checks["step"] is Quality.OK
    assert anomaly.checks["forecast_residual"] is anomaly.checks["isolation_forest"] is Quality.NOT_CHECKED


@pytest.mark.parametrize(("variable", "jump"), [(0, 15.0), (1, -40.0), (2, 12.0), (3, 9.0)])
def test_a_jump_is_flagged_and_named(variable: int, jump: float) -> None:
    values = list(USUAL)
    values[variable] += jump
    anomaly = judged(tuple(values))
    assert (anomaly.is_anomaly, anomaly.score, anomaly.checks["step"]) == (True, 1.0, Quality.FAILED)
    assert len(anomaly.reasons) == 1
    assert VARIABLES[variable].replace("_", " ") in anomaly.reasons[0]
    assert "15 minutes" in anomaly.reasons[0]


def test_readings_far_apart_say_nothing_about_a_step() -> None:
    old = [Reading(NOW - timedelta(hours=5), tuple(v + 20 for v in USUAL))]
    assert judged(recent=old).checks["step"] is Quality.NOT_CHECKED


def test_a_stuck_sensor_is_flagged_but_not_before_its_time() -> None:
    for hours, quality in ((5, Quality.OK), (7, Quality.FAILED)):
        stuck = [
            Reading(NOW - MINUTES * k, (USUAL[0], *(v + k * 0.3 for v in USUAL[1:]))) for k in range(hours * 4, 0, -1)
        ]
        anomaly = judged(recent=stuck)
        assert anomaly.checks["flat_line"] is quality
    assert "temperature has been 10.0 °C for 7 h" in anomaly.reasons[0]


def test_fog_and_calm_may_stand_still() -> None:
    still = (10.0, 99.0, 1005.0, 0.0)
    held = [Reading(NOW - MINUTES * k, (10 + k * 0.3, 99.0, 1005 + k * 0.1, 0.0)) for k in range(30 * 4, 0, -1)]
    assert judged(still, recent=held).checks["flat_line"] is Quality.OK


def test_a_value_outside_the_physical_range_is_flagged_though_its_number_is_gone() -> None:
    anomaly = judged((None, *USUAL[1:]), failed="temperature")
    assert anomaly.checks["range"] is Quality.FAILED
    assert "temperature" in anomaly.reasons[0]


def test_the_distance_from_the_forecast_counts_in_half_widths() -> None:
    middle = np.array(USUAL)
    expected = Expected(middle, middle - 1, middle + 1)
    near, far = (judged((USUAL[0] + d, *USUAL[1:]), expected=expected) for d in (2.5, 3.5))
    assert (near.is_anomaly, far.is_anomaly) == (False, True)
    assert near.score < 0.5 < far.score
    assert "above its forecast" in far.reasons[0]


def test_a_reading_without_any_value_is_not_checked() -> None:
    assert set(judged((None,) * 4).checks.values()) == {Quality.NOT_CHECKED}


def test_expected_lies_between_the_valid_hours(model: Model) -> None:
    base = int(bases(model.parts.test)[5])
    forecast = model.forecaster.forecast(model.grid, [0], [base])
    start = forecast.base_hours[0].astype("datetime64[s]").astype(datetime).replace(tzinfo=UTC)
    at_two = expected_at(forecast, 0, start + timedelta(hours=2))
    between = expected_at(forecast, 0, start + timedelta(hours=2, minutes=30))
    last = expected_at(forecast, 0, start + timedelta(hours=24))
    assert at_two is not None
    assert between is not None
    assert last is not None
    np.testing.assert_allclose(at_two.values, forecast.values[0, 1])
    np.testing.assert_allclose(between.values, forecast.values[0, 1:3].mean(axis=0))
    np.testing.assert_allclose(last.upper, forecast.upper[0.9][0, 23])
    assert expected_at(forecast, 0, start + timedelta(minutes=30)) is None
    assert expected_at(forecast, 0, start + timedelta(hours=25)) is None


def test_the_forest_is_scikit_learns_survives_saving_and_finds_the_odd(model: Model, tmp_path: Path) -> None:
    model.detector.save(tmp_path / "d")
    again = AnomalyDetector.load(tmp_path / "d")
    base = int(bases(model.parts.test)[5])
    time = (model.grid.start + base).astype("datetime64[s]").astype(datetime).replace(tzinfo=UTC)
    t, h, p, u, v = model.grid.values[0, base, :5].astype(float)
    cases = [
        Case(window(time, values), [], 0, None)
        for values in ((t, h, p, float(np.hypot(u, v))), (t + 60, 0.0, p - 60, 40.0))
    ]
    found = again.check_many(cases, model.grid, "3")
    assert found == model.detector.check_many(cases, model.grid, "3")
    assert [one.checks["isolation_forest"] for one in found] == [Quality.OK, Quality.FAILED]
    assert found[0].score < found[1].score
    assert found[1].model_version == "3"


def test_the_plain_arrays_score_as_scikit_learn_does() -> None:
    from sklearn.ensemble import IsolationForest

    from weatherglass.models import isolation

    rows = np.random.default_rng(0).normal(size=(1000, 6)).astype(np.float32)
    theirs = IsolationForest(n_estimators=isolation.TREES, max_samples=isolation.SAMPLES, random_state=5).fit(rows)
    np.testing.assert_allclose(isolation.fit(rows, 5).score(rows), -theirs.score_samples(rows), atol=1e-12)
