"""Scores compared with raw guidance, aggregated over days and stations, against NumPy."""

from __future__ import annotations

from datetime import date
from typing import Any

import numpy as np
import pytest
from sqlalchemy import Connection

from weatherglass.store.guidance_verification import GuidanceScore, replace_day, scores

FIRST, SECOND = date(2026, 1, 1), date(2026, 1, 2)


def a_row(day: date, n: int, own: float, raw: float, **changed: Any) -> dict[str, Any]:
    usual = {"version": "7", "station_id": "boston", "model": "best_match", "simulated": False}
    usual |= {"variable": "temperature", "lead": 6}
    return {**usual, "day": day, "n": n, "mae_compared": own, "mae_guidance": raw, **changed}


def test_means_are_weighted_by_the_number_of_cases(connection: Connection) -> None:
    replace_day(connection, FIRST, [a_row(FIRST, 3, 1.0, 2.0), a_row(FIRST, 1, 3.0, 6.0, station_id="new-york")])
    replace_day(connection, SECOND, [a_row(SECOND, 4, 0.5, 0.25), a_row(SECOND, 9, 8.0, 9.0, lead=7)])
    (six, seven) = scores(connection, FIRST, by_lead=True, by_day=False)
    assert (six.lead, six.n, seven.lead, seven.n) == (6, 8, 7, 9)
    assert six.mae_compared == pytest.approx(np.average([1.0, 3.0, 0.5], weights=[3, 1, 4]))
    assert six.mae_guidance == pytest.approx(np.average([2.0, 6.0, 0.25], weights=[3, 1, 4]))
    by_day = scores(connection, FIRST, by_lead=False, by_day=True)
    assert [(score.day, score.n) for score in by_day] == [(FIRST, 4), (SECOND, 13)]
    assert by_day[0].mae_compared == pytest.approx(1.5)


def test_models_and_kinds_of_guidance_are_kept_apart(connection: Connection) -> None:
    rows = [
        a_row(FIRST, 1, 1.0, 2.0),
        a_row(FIRST, 2, 1.0, 3.0, model="gfs_seamless"),
        a_row(FIRST, 3, 1.0, 4.0, simulated=True),
        a_row(FIRST, 4, 1.0, 5.0, version="8"),
        a_row(FIRST, 5, 1.0, 6.0, variable="pressure"),
    ]
    replace_day(connection, FIRST, rows)
    found = scores(connection, FIRST, by_lead=False, by_day=False)
    assert {(s.version, s.model, s.simulated, s.variable): (s.n, s.mae_guidance) for s in found} == {
        (row["version"], row["model"], row["simulated"], row["variable"]): (row["n"], row["mae_guidance"])
        for row in rows
    }


def test_scores_are_filtered_and_a_day_is_replaced(connection: Connection) -> None:
    replace_day(connection, FIRST, [a_row(FIRST, 1, 1.0, 2.0)])
    replace_day(connection, SECOND, [a_row(SECOND, 2, 1.0, 2.0), a_row(SECOND, 7, 1.0, 2.0, station_id="new-york")])
    replace_day(connection, SECOND, [a_row(SECOND, 3, 1.5, 2.0), a_row(SECOND, 5, 1.0, 2.0, variable="pressure")])
    (found,) = scores(connection, SECOND, False, False, "boston", "7", "temperature")
    assert found == GuidanceScore("7", "best_match", False, "temperature", None, None, 3, 1.5, 2.0)
    assert scores(connection, SECOND, False, False, station_id="new-york") == []
    assert scores(connection, SECOND, False, False, version="8") == []
    assert [score.n for score in scores(connection, FIRST, False, False, variable="temperature")] == [4]
