"""Scores aggregated over days and stations, against NumPy and pandas."""

from __future__ import annotations

from datetime import date

import numpy as np
import pandas as pd
import pytest
from sqlalchemy import Connection, insert

from weatherglass.store.schema import verification
from weatherglass.store.verification_queries import scores


def rows() -> pd.DataFrame:
    rng = np.random.default_rng(7)
    keys = [
        ("7", False, date(2026, 1, day), station, "temperature", lead)
        for day in (1, 2, 3)
        for station in ("boston", "new-york")
        for lead in (1, 6)
    ]
    frame = pd.DataFrame(keys, columns=["version", "hindcast", "day", "station_id", "variable", "lead"])
    frame["n"] = rng.integers(1, 50, len(frame))
    frame["n_baselines"] = frame["n"] // 2
    for name in ("mae", "rmse", "bias", "coverage_80", "coverage_90", "mae_compared", "mae_persistence", "mae_damped"):
        frame[name] = rng.uniform(0.1, 1, len(frame))
    frame.loc[frame["day"] == date(2026, 1, 1), "coverage_80"] = None
    return frame


def test_scores_by_lead_are_means_weighted_by_cases(connection: Connection) -> None:
    frame = rows()
    connection.execute(insert(verification), frame.astype(object).where(frame.notna(), None).to_dict("records"))
    aggregated = scores(connection, date(2026, 1, 1), by_lead=True, by_day=False)
    assert [score.lead for score in aggregated] == [1, 6]
    for score in aggregated:
        rows_of_lead = frame[frame["lead"] == score.lead]
        assert score.n == rows_of_lead["n"].sum()
        assert score.mae == pytest.approx(np.average(rows_of_lead["mae"], weights=rows_of_lead["n"]))
        assert score.rmse == pytest.approx(np.sqrt(np.average(rows_of_lead["rmse"] ** 2, weights=rows_of_lead["n"])))
        known = rows_of_lead[rows_of_lead["coverage_80"].notna()]
        assert score.coverage_80 == pytest.approx(np.average(known["coverage_80"].astype(float), weights=known["n"]))
        for name in ("mae_compared", "mae_persistence", "mae_damped"):
            expected = np.average(rows_of_lead[name], weights=rows_of_lead["n_baselines"])
            assert getattr(score, name) == pytest.approx(expected)
        assert score.n_baselines == rows_of_lead["n_baselines"].sum()
        assert score.bias == pytest.approx(np.average(rows_of_lead["bias"], weights=rows_of_lead["n"]))


def test_scores_are_filtered_by_day_station_and_version(connection: Connection) -> None:
    frame = rows()
    connection.execute(insert(verification), frame.astype(object).where(frame.notna(), None).to_dict("records"))
    aggregated = scores(connection, date(2026, 1, 2), by_lead=False, by_day=True, station_id="boston")
    assert [score.day for score in aggregated] == [date(2026, 1, 2), date(2026, 1, 3)]
    selected = frame[(frame["station_id"] == "boston") & (frame["day"] == date(2026, 1, 2))]
    assert aggregated[0].n == selected["n"].sum()
    assert scores(connection, date(2026, 1, 1), by_lead=False, by_day=False, version="8") == []
