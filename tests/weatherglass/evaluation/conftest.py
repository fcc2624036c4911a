from __future__ import annotations

from types import SimpleNamespace

import pytest

from tests.synthetic_history import history
from weatherglass.forecast import base_models, fit
from weatherglass.forecast.splits import split


@pytest.fixture(scope="session")
def model() -> SimpleNamespace:
    """A forecaster without trees on a made-up climate: climatology, damped anomaly and network, really fitted."""
    grid = history(days=110)
    parts = split(grid.values.shape[1], test_share=0.3)
    base = base_models.fit(grid, parts.train)
    return SimpleNamespace(grid=grid, parts=parts, forecaster=fit.assemble(grid, parts, base, ()))
