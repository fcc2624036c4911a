from __future__ import annotations

import numpy as np

from tests.synthetic_history import history
from weatherglass.anomaly import expected_values
from weatherglass.forecast import climatology
from weatherglass.forecast.variables import model_variables

GRID = history(count=3, days=120)
USUAL = climatology.fit(GRID)
ANOMALIES = model_variables(GRID.values)[..., :4] - USUAL.at(np.arange(3), GRID.hours)[..., :4]
IDS = [station.station_id for station in GRID.stations]


def test_residuals_are_one_wide_and_see_nothing_of_the_reading_itself() -> None:
    expected = expected_values.fit(IDS, ANOMALIES, seed=0)
    left = expected.residuals(ANOMALIES, expected_values.LOOK_BACK)
    width = 1.4826 * np.nanmedian(np.abs(left), axis=(0, 1))
    np.testing.assert_allclose(width, 1, atol=0.25)
    changed = ANOMALIES.copy()
    changed[0, -1, 0] += 30
    before, after = (expected.expected(one, ANOMALIES.shape[1] - 1) for one in (ANOMALIES, changed))
    np.testing.assert_array_equal(before[0, -1, 0], after[0, -1, 0])


def test_the_last_hour_is_the_same_however_much_past_comes_with_it() -> None:
    expected = expected_values.fit(IDS, ANOMALIES, seed=0)
    whole = expected.expected(ANOMALIES, ANOMALIES.shape[1] - 1)
    short = expected.expected(ANOMALIES[:, -expected_values.LOOK_BACK - 1 :], expected_values.LOOK_BACK)
    np.testing.assert_allclose(whole, short, rtol=1e-4, atol=1e-4)


def test_shorter_leads_know_more() -> None:
    scale = np.nanmean(expected_values.fit(IDS, ANOMALIES, seed=0).scale, axis=(0, 1))
    hour, half_day, day = (scale[expected_values.VIEWS.index(f"lead{lead}")] for lead in (1, 12, 24))
    assert hour < half_day < day


def test_a_variable_without_history_has_no_expectation() -> None:
    without = ANOMALIES.copy()
    without[1, :, 3] = np.nan
    left = expected_values.fit(IDS, without, seed=0).residuals(ANOMALIES, expected_values.LOOK_BACK)
    assert np.isnan(left[1, :, 3]).all()
    assert np.isfinite(left[1, :, 0]).all()
