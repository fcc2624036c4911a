"""Forecasts from stored rows."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tests.weatherglass.store.samples import NOON, a_prediction
from weatherglass.verification.forecasts import from_rows


def row(**changes: Any) -> Any:
    document = a_prediction().model_dump(mode="json")
    names = ("predictions", "confidence")
    columns = {"station_id": "new-york", "timestamp": NOON, "model_version": "7", "method": "model"}
    return SimpleNamespace(**{**columns, **{name: document[name] for name in names}, **changes})


@pytest.mark.parametrize(
    "changes",
    [
        {"predictions": {}},
        {"predictions": {**row().predictions, "humidity": [1.0]}},
        {"predictions": {**row().predictions, "valid_times": []}},
        {"predictions": {**row().predictions, "valid_times": ["2026-01-05T13:00:00Z"] * 25}},
        {"confidence": None},
        {"confidence": {**row().confidence, "lower": {}}},
    ],
)
def test_a_row_that_cannot_be_read_has_no_values_and_the_others_have_theirs(changes: dict[str, Any]) -> None:
    expected, forecasts = from_rows([row()]), from_rows([row(), row(**changes), row()])
    assert np.isnan(forecasts.values[1]).all()
    for i in (0, 2):
        np.testing.assert_array_equal(forecasts.values[i], expected.values[0])
        np.testing.assert_array_equal(forecasts.lower[0.9][i], expected.lower[0.9][0])
        assert forecasts.base[i] == expected.base[0]
    assert np.isfinite(expected.values).all()
