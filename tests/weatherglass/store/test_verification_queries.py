"""Scores aggregated over days and stations, against NumPy and pandas."""

from __future__ import annotations

from datetime import UTC, date, datetime

import numpy as np
import pandas as pd
import pytest
from sqlalchemy import Connection, insert

from weatherglass.store.schema import verification, verification_runs
from weatherglass.store.verification_queries import last_run, scores, verified_until


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
    frame["n_mape"] = frame["n"] // 3
    for name in (
        *("mae", "rmse", "bias", "mape", "crps", "coverage_80", "coverage_90"),
        *("mae_compared", "mae_persistence", "mae_damped"),
    ):
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
        assert score.n_mape == rows_of_lead["n_mape"].sum()
        assert score.mape == pytest.approx(np.average(rows_of_lead["mape"], weights=rows_of_lead["n_mape"]))
        assert score.crps == pytest.approx(np.average(rows_of_lead["crps"], weights=rows_of_lead["n"]))
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


def test_scores_are_grouped_by_version_hindcast_and_variable_and_days_without_cases_do_not_count(
    connection: Connection,
) -> None:
    empty = rows().iloc[[0]].assign(n=0, n_baselines=0, version="9")
    groups = [rows(), rows().assign(hindcast=True), rows().assign(variable="pressure", coverage_80=None), empty]
    frame = pd.concat([group.astype(object) for group in groups])
    frame.loc[frame["variable"] == "pressure", "n_baselines"] = 0
    connection.execute(insert(verification), frame.where(frame.notna(), None).to_dict("records"))
    found = scores(connection, date(2026, 1, 1), by_lead=False, by_day=False)
    assert [(score.version, score.hindcast, score.variable, score.lead, score.day) for score in found] == [
        ("7", False, "pressure", None, None),
        ("7", False, "temperature", None, None),
        ("7", True, "temperature", None, None),
    ]
    assert (found[0].coverage_80, found[0].mae_compared, found[0].n_baselines) == (None, None, 0)
    assert {score.n for score in found} == {rows()["n"].sum()}
    (pressure,) = scores(connection, date(2026, 1, 1), False, False, variable="pressure")
    assert (pressure.variable, pressure.n) == ("pressure", found[0].n)


def test_the_last_run_tells_until_when_records_are_verified(connection: Connection) -> None:
    assert (last_run(connection), verified_until(connection)) == (None, None)
    for hour in (3, 2):  # the newest row counts, not the newest time
        at = datetime(2026, 1, 5, hour, tzinfo=UTC)
        connection.execute(insert(verification_runs).values(at=at, through=at, days=1, pairs=5, seconds=1.0))
    assert verified_until(connection) == datetime(2026, 1, 5, 2, tzinfo=UTC)
