"""Resolutions learned from values."""

from __future__ import annotations

import numpy as np
import pytest

from weatherglass.anomaly.resolution import resolution_of, resolutions


@pytest.mark.parametrize("step", [0.1, 0.5, 5 / 9, 1.0])
def test_the_step_of_rounded_values_is_found(step: float) -> None:
    rng = np.random.default_rng(1)
    series = np.round(np.cumsum(rng.normal(size=500)) / step) * step
    series[::50] = np.nan
    assert resolution_of(series) == pytest.approx(step, abs=1e-3)
    assert resolution_of(series.astype(np.float32)) == pytest.approx(step, abs=1e-3)
    series[7] = series[6] + 0.013
    assert resolution_of(series) == pytest.approx(step, abs=1e-3)


def test_a_series_of_two_values_or_none_has_no_resolution() -> None:
    values = np.full((2, 6, 4), np.nan)
    values[0, :, 1] = [1, 1, 2, 2, 1, 2]
    values[1, :, 2] = [1, 2, 3, 4, 5, 6]
    found = resolutions(values)
    assert found.shape == (2, 4)
    assert np.flatnonzero(np.isfinite(found)).tolist() == [6]
    assert found[1, 2] == 1
