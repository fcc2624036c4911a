"""Forecasts of held-out hours against loops over single values of the grid."""

from __future__ import annotations

import numpy as np
import pytest

from tests.synthetic_history import history
from weatherglass.evaluation import held_out
from weatherglass.forecast import climatology, damped_anomaly, features
from weatherglass.forecast.fallback import PersistenceForecaster
from weatherglass.records import LEADS

GRID = history(count=3, days=60)
HOURS = np.arange(GRID.values.shape[1]) >= 24 * 40
CLIMATE = climatology.fit(GRID)
DAMPING = damped_anomaly.fit(features.model_inputs(GRID, CLIMATE).anomalies)


@pytest.mark.parametrize("chunk", [7, 1000])
def test_every_case_has_its_observations_and_the_simple_baselines(monkeypatch: pytest.MonkeyPatch, chunk: int) -> None:
    monkeypatch.setattr(held_out, "CHUNK", chunk)
    rows, base = held_out.choose_cases(GRID, HOURS, 50)
    assert len(rows) > 20
    found = held_out.forecast(GRID, rows, base, PersistenceForecaster(), CLIMATE, DAMPING)
    persistence = PersistenceForecaster().forecast(GRID, rows.tolist(), base.tolist())
    np.testing.assert_array_equal(found.base, GRID.start + base)
    np.testing.assert_array_equal(found.forecasts["model"], persistence.values.astype(np.float32))
    for level in found.lower:
        np.testing.assert_array_equal(found.lower[level], persistence.lower[level].astype(np.float32))
        np.testing.assert_array_equal(found.upper[level], persistence.upper[level].astype(np.float32))
    values = GRID.values[..., :3]
    for case, (row, hour) in enumerate(zip(rows, base, strict=True)):
        for i, lead in enumerate(LEADS):
            np.testing.assert_array_equal(found.observed[case, i, :3], values[row, hour + lead])
            np.testing.assert_array_equal(found.forecasts["seasonal_naive"][case, i, :3], values[row, hour + lead - 24])
            np.testing.assert_array_equal(found.forecasts["persistence"][case, i, :3], values[row, hour])
    normal = CLIMATE.at_pairs(rows, GRID.start + base + LEADS[5])[:, 0]
    np.testing.assert_allclose(found.forecasts["climatology"][:, 5, 0], normal, rtol=1e-4, atol=1e-4)
    present = values[rows, base, 0] - CLIMATE.at_pairs(rows, GRID.start + base)[:, 0]
    damped = found.forecasts["damped_anomaly"][:, 0, 0] - found.forecasts["climatology"][:, 0, 0]
    assert np.corrcoef(present, damped)[0, 1] > 0.99


def test_cases_are_of_stations_with_a_temperature_at_the_base_hour() -> None:
    grid = history(count=3, days=60)
    grid.values[0, :, 0] = np.nan
    grid.values[1, :, 1] = np.nan
    rows, base = held_out.choose_cases(grid, HOURS, 10**6)
    assert set(rows.tolist()) == {1, 2}
    assert (base.min(), base.max()) == (24 * 40 + 72, 24 * 60 - 25)
