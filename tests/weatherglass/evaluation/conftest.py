from __future__ import annotations

from types import SimpleNamespace

import pytest

from tests.synthetic_history import history
from weatherglass.models import fitting, ground
from weatherglass.models.split import split


@pytest.fixture(scope="session")
def model() -> SimpleNamespace:
    """A forecaster without trees on a made-up climate: climatology, damped anomaly and network, really fitted."""
    grid = history(days=110)
    parts = split(grid.values.shape[1], test_share=0.3)
    base = ground.fit(grid, parts.train)
    return SimpleNamespace(grid=grid, parts=parts, forecaster=fitting.assemble(grid, parts, base, ()))
