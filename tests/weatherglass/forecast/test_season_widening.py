from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from tests.weatherglass.conftest import Model
from weatherglass.forecast import base_models, season_widening
from weatherglass.forecast.base_models import BaseModels
from weatherglass.forecast.season_widening import widening_factors
from weatherglass.history.grid import HourGrid
from weatherglass.records import LEADS, VARIABLES


@pytest.mark.parametrize(
    ("errors_of_thirds", "factor"),
    [((1.0, 3.0, 2.0), 1.5), ((1.0, 1.0, 1.0), 1.0), ((1.0, 2.0, 9.0), 2.5), ((np.nan, np.nan, np.nan), 1.0)],
    ids=["worst third", "never narrower", "limit", "unknown"],
)
def test_the_factor_is_the_error_of_the_worst_third_relative_to_that_of_the_folds(
    model: Model, monkeypatch: pytest.MonkeyPatch, errors_of_thirds: tuple[float, ...], factor: float
) -> None:
    """The folds have errors of 2."""
    hours = ~model.split.test
    first_third = np.flatnonzero(hours)[-1] / 3

    def refit(base: BaseModels, grid: HourGrid, used: np.ndarray) -> int:
        left_out = np.flatnonzero(hours & ~used)
        assert left_out[-1] - left_out[0] == pytest.approx(first_third, abs=2)
        return round(left_out[0] / first_third)

    def errors(grid: HourGrid, mask: np.ndarray, fitted: object) -> Iterator[np.ndarray]:
        size = errors_of_thirds[fitted] if isinstance(fitted, int) else 2.0
        yield np.full((5, len(LEADS), len(VARIABLES)), size)

    monkeypatch.setattr(base_models, "refit", refit)
    monkeypatch.setattr(season_widening, "_errors", errors)
    factors = widening_factors(model.grid, hours, model.base)
    np.testing.assert_array_equal(factors, np.full((len(LEADS), len(VARIABLES)), factor))


def test_quantiles_pool_the_two_leads_before_and_after() -> None:
    rng = np.random.default_rng(1)
    errors = [rng.random((30, len(LEADS), len(VARIABLES))) for _ in range(2)]
    errors[0][:, :, 3] = np.nan
    errors[1][:, :, 3] = np.nan
    quantiles = season_widening._quantiles(errors)
    pooled = np.concatenate(errors)
    for lead, leads in [(0, [0, 1, 2]), (1, [0, 1, 2, 3]), (10, [8, 9, 10, 11, 12]), (23, [21, 22, 23])]:
        assert quantiles[lead, 1] == pytest.approx(np.quantile(pooled[:, leads, 1], 0.85))
    assert np.isnan(quantiles[:, 3]).all()
