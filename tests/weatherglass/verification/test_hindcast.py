"""A hindcast of two synthetic models."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from typing import Any

import numpy as np
import pytest
from sqlalchemy import Engine, select

from tests.synthetic_history import history
from weatherglass.forecast import climatology, damped_anomaly, features
from weatherglass.forecast.fallback import PersistenceForecaster
from weatherglass.forecast.forecaster import Forecast
from weatherglass.records import Method
from weatherglass.store import verification_rows
from weatherglass.store.schema import paired_losses, verification
from weatherglass.verification.baselines import ReferenceModel
from weatherglass.verification.hindcast import hindcast


class Shifted(PersistenceForecaster):
    """Persistence plus 1 in every variable, with the method of a model."""

    def forecast(self, *arguments: Any) -> Forecast:
        forecast = super().forecast(*arguments)
        return replace(forecast, values=forecast.values + 1, methods=(Method.MODEL,) * len(forecast.methods))


def mean_bias(rows: Sequence[Any], version: str, days: Sequence[date]) -> float:
    """Mean error of the temperature in these days."""
    chosen = [r for r in rows if (r["version"], r["variable"]) == (version, "temperature") and r["day"] in days]
    return float(np.average([row["bias"] for row in chosen], weights=[row["n"] for row in chosen]))


def test_a_hindcast_is_marked_and_repeating_it_changes_nothing(store: Engine) -> None:
    grid = history(days=90)
    fitted = climatology.fit(grid)
    reference = ReferenceModel(fitted, damped_anomaly.fit(features.model_inputs(grid, fitted).anomalies))
    contents = []
    for _ in range(2):
        with store.begin() as connection:
            hindcast(connection, {"7": Shifted(), "8": PersistenceForecaster()}, reference, grid, lambda _: None)
            rows = connection.execute(select(verification)).mappings().all()
            pairs = connection.execute(select(paired_losses)).mappings().all()
        contents.append((sorted(map(str, rows)), sorted(map(str, pairs))))
    assert contents[0] == contents[1]
    assert all(row["hindcast"] for row in rows)
    assert {row["version"] for row in rows} == {"7", "persistence"}
    fallback = [row for row in rows if row["version"] == "persistence" and row["n_baselines"]]
    assert fallback
    days = sorted({row["day"] for row in rows})
    assert 28 <= len(days) <= 32
    assert days[-1] == grid.hours[-1].astype("datetime64[D]").item()
    # Before there are errors of three days, and in all forecasts of the first three days, nothing is recalibrated.
    first = [row for row in fallback if row["day"] <= days[2]]
    assert all(row["mae_compared"] == pytest.approx(row["mae_persistence"], abs=1e-3) for row in first)
    assert mean_bias(rows, "7", days[:3]) - mean_bias(rows, "persistence", days[:3]) == pytest.approx(1, abs=0.01)
    # Up to half of the bias is removed: at most 10 days of 3.4 errors, by classes of six hours, are half of the weight.
    shift = mean_bias(rows, "7", days[-10:]) - mean_bias(rows, "persistence", days[-10:])
    assert 0.5 < shift < 0.75


def test_only_the_scores_of_the_newest_hindcast_are_kept(store: Engine) -> None:
    """With a refit each day, those of the versions before would fill the store."""
    grid = history(days=60)
    with store.begin() as connection:
        key = {"version": "3", "day": date(2014, 1, 1), "station_id": "s0", "variable": "humidity", "lead": 1}
        score = {"n": 1, "mae": 1.0, "rmse": 1.0, "bias": 0.0, "n_baselines": 0}
        verification_rows.replace_day(connection, key["day"], [key | score])
        for version in ("7", "8"):
            assert hindcast(connection, {version: Shifted()}, None, grid, lambda _: None)
        rows = connection.execute(select(verification.c.version, verification.c.hindcast).distinct())
        assert set(map(tuple, rows)) == {("8", True), ("3", False)}


def test_without_a_temperature_there_is_no_hindcast(store: Engine) -> None:
    grid = history(days=60)
    grid.values[..., 0] = np.nan
    with store.begin() as connection:
        assert hindcast(connection, {"7": Shifted()}, None, grid, lambda _: None) == 0
