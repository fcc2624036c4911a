from __future__ import annotations

import numpy as np
import pytest

from tests.synthetic_history import history
from weatherglass.anomaly import expected_values
from weatherglass.forecast import climatology
from weatherglass.forecast.variables import model_variables

GRID = history(count=3, days=120)
USUAL = climatology.fit(GRID)
ANOMALIES = model_variables(GRID.values)[..., :4] - USUAL.at(np.arange(3), GRID.hours)[..., :4]
IDS = [station.station_id for station in GRID.stations]


def test_residuals_have_unit_scale_and_predictions_do_not_use_the_reading_itself() -> None:
    expected = expected_values.fit(IDS, ANOMALIES, seed=0)
    residuals = expected.residuals(ANOMALIES, expected_values.LOOK_BACK)
    scale = 1.4826 * np.nanmedian(np.abs(residuals), axis=(0, 1))
    np.testing.assert_allclose(scale, 1, atol=0.25)
    changed = ANOMALIES.copy()
    changed[0, -1, 0] += 30
    before, after = (expected.predict(anomalies, ANOMALIES.shape[1] - 1) for anomalies in (ANOMALIES, changed))
    np.testing.assert_array_equal(before[0, -1, 0], after[0, -1, 0])


def test_the_prediction_does_not_depend_on_hours_before_the_look_back() -> None:
    expected = expected_values.fit(IDS, ANOMALIES, seed=0)
    whole = expected.predict(ANOMALIES, ANOMALIES.shape[1] - 1)
    short = expected.predict(ANOMALIES[:, -expected_values.LOOK_BACK - 1 :], expected_values.LOOK_BACK)
    np.testing.assert_allclose(whole, short, rtol=1e-4, atol=1e-4)


def test_shorter_leads_have_smaller_residuals() -> None:
    scale = np.nanmean(expected_values.fit(IDS, ANOMALIES, seed=0).scale, axis=(0, 1))
    hour, half_day, day = (scale[expected_values.VIEWS.index(f"lead{lead}")] for lead in (1, 12, 24))
    assert hour < half_day < day


def test_a_variable_without_history_has_no_prediction() -> None:
    without = ANOMALIES.copy()
    without[1, :, 3] = np.nan
    residuals = expected_values.fit(IDS, without, seed=0).residuals(ANOMALIES, expected_values.LOOK_BACK)
    assert np.isnan(residuals[1, :, 3]).all()
    assert np.isfinite(residuals[1, :, 0]).all()


def test_neighbours_are_the_best_correlated_stations_and_uncorrelated_ones_are_none() -> None:
    rng = np.random.default_rng(3)
    common, unrelated = rng.normal(size=(2, 5000))
    noisy = common + rng.normal(scale=0.5, size=5000)
    noisier = common + rng.normal(scale=1.0, size=5000)
    scaled = np.stack([common, noisy, noisier, unrelated])[..., None].repeat(4, axis=2) / 3
    best = expected_values._correlated_neighbours(scaled)
    for variable in range(4):
        correlation = np.corrcoef(scaled[..., variable])
        for station in range(4):
            others = [other for other in np.argsort(-correlation[station]) if other != station]
            expected = [other for other in others if correlation[station, other] > 0.1]
            assert best[station, variable].tolist() == expected + [-1] * (best.shape[2] - len(expected))
    assert best[0, 0, :3].tolist() == [1, 2, -1]
    assert set(best[3].ravel().tolist()) == {-1}


@pytest.mark.parametrize(
    ("view", "own_lags", "nearby", "others"),
    [
        ("lead1", 14, 16, 0),
        ("lead3", 12, 16, 0),
        ("lead6", 10, 16, 0),
        ("lead12", 8, 16, 0),
        ("lead24", 5, 16, 0),
        ("past", 14, 0, 0),
        ("neighbours", 0, 8, 0),
        ("others", 12, 8, 3),
    ],
)
def test_a_view_uses_own_hours_before_its_lead_and_two_hours_of_eight_neighbours(
    view: str, own_lags: int, nearby: int, others: int
) -> None:
    """Columns: 14 lags of 4 variables, 6 hours of 8 neighbours, the 4 variables now."""
    columns = expected_values._columns(view, 2).tolist()
    assert len(set(columns)) == len(columns)
    assert [column // 4 for column in columns if column < 56] == [
        lag for lag in range(14 - own_lags, 14) for _ in range(4)
    ]
    assert sum(56 <= column < 104 for column in columns) == nearby
    hour = {"lead1": 1, "lead3": 2, "lead6": 3, "lead12": 4, "lead24": 5}.get(view, 0)
    assert {(column - 56) // 8 for column in columns if 56 <= column < 104} == ({0, hour} if nearby else set())
    assert [column for column in columns if column >= 104] == [104, 105, 107][:others]


def test_a_gap_is_filled_for_three_hours_with_the_last_value_and_then_with_the_usual_one() -> None:
    series = np.array([np.nan, 5.0, np.nan, np.nan, np.nan, np.nan, 7.0, np.nan])[None, :, None]
    assert expected_values._filled(series)[0, :, 0].tolist() == [0, 5, 5, 5, 5, 0, 7, 7]
