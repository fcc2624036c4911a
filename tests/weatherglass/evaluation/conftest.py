from __future__ import annotations

from types import SimpleNamespace

import pytest

from tests.synthetic_history import history
from weatherglass.forecast import base_models, fit
from weatherglass.forecast.splits import split


@pytest.fixture(scope="session")
def model() -> SimpleNamespace:
    """A forecaster without trees, fitted on a synthetic climate."""
    grid = history(days=110)
    masks = split(grid, test_share=0.3)
    base = base_models.fit(grid, masks.train)
    return SimpleNamespace(grid=grid, split=masks, forecaster=fit.assemble(grid, masks, base, ()))
