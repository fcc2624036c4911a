"""Forecasts from stored rows."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tests.weatherglass.store.samples import NOON, a_prediction
from weatherglass.records import VARIABLES
from weatherglass.verification.forecasts import from_rows, is_of_version


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


@pytest.mark.parametrize("count", [1, 23, 24])
def test_the_base_hour_is_24_hours_before_the_last_valid_time_and_the_first_leads_may_be_missing(count: int) -> None:
    """The observation of 12:15 is based on 12:00, so the last valid time is 12:00 on the next day."""
    whole = row()
    names = ("valid_times", *VARIABLES)
    predictions = {name: whole.predictions[name][-count:] for name in names}
    bounds = {side: {name: whole.confidence[side][name][-count:] for name in VARIABLES} for side in ("lower", "upper")}
    confidence = {"level": 0.9, **bounds}
    forecasts = from_rows([row(predictions=predictions, confidence=confidence)])
    assert forecasts.base[0] == np.datetime64("2026-01-05T12", "h")
    assert forecasts.observed_at[0] == np.datetime64("2026-01-05T12:15", "us")
    for array, document in (
        (forecasts.values[0], whole.predictions),
        (forecasts.lower[0.9][0], whole.confidence["lower"]),
        (forecasts.upper[0.9][0], whole.confidence["upper"]),
    ):
        assert np.isnan(array[:-count]).all()
        for v, name in enumerate(VARIABLES):
            assert array[-count:, v].tolist() == document[name][-count:]


@pytest.mark.parametrize(
    ("used", "method", "name"),
    [
        (None, "model", "7"),
        (None, "persistence", "persistence"),
        ({"simulated": False}, "model", "7"),
        ({"simulated": False}, "persistence", "persistence"),
        ({"simulated": True}, "persistence", "persistence"),
        ({"simulated": True}, "model", "7-simulated-guidance"),
        ("damaged", "model", "7"),
    ],
)
def test_forecasts_with_simulated_guidance_are_scored_under_a_name_of_their_own(
    used: Any, method: str, name: str
) -> None:
    issued = from_rows([row(predictions={**row().predictions, "guidance": used}, method=method)])
    assert issued.versions == (name,)
    assert is_of_version(name, "7") == (method == "model")
    assert not is_of_version(name, "77")
