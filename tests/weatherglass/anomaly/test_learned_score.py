"""Soft flags with exact scores, p-values and durations, from a stub in place of the classifier."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from tests.weatherglass.anomaly.test_features import CLIMATE, COUNT, GRID, NORMAL, TRUE, train_statistics
from weatherglass.anomaly import features
from weatherglass.anomaly.expected_values import VIEWS
from weatherglass.anomaly.features import NAMES, AnomalyFeatures
from weatherglass.anomaly.learned_score import LearnedScore, SoftFlag
from weatherglass.history.grid import HourGrid

LIMITS = np.array([0.2, 0.5, 0.6, 0.8])
NEIGHBOURS = VIEWS.index("neighbours")


@dataclass
class Stub:
    """Returns the same scores (4,) for every reading."""

    scores: tuple[float, ...]

    def score(self, computed: np.ndarray) -> np.ndarray:
        return np.broadcast_to(np.array(self.scores, np.float32), computed.shape[:-1])


@pytest.fixture(scope="module")
def learned() -> LearnedScore:
    """99 reference residuals of 0.1, 0.2, … 9.9 in every view, so that p-values are hundredths."""
    residuals = np.broadcast_to(np.arange(1, 100) / 10, (4, len(VIEWS), 99))
    stub: Any = Stub((0.0, 0.0, 0.0, 0.0))
    return LearnedScore(CLIMATE, train_statistics(), stub, LIMITS, residuals, np.full(99, 2.0))


def evaluate(learned: LearnedScore, scores: tuple[float, ...], values: np.ndarray, hours: int = 0) -> list[SoftFlag]:
    """The soft flags of station 1 at the last hour, `hours` of which are changed by 30 °C."""
    stub: Any = Stub(scores)
    grid_values = GRID.values.copy()
    if hours:
        grid_values[1, -1 - hours : -1, 0] += 30
    grid = HourGrid(GRID.stations, GRID.start, grid_values)
    now = grid.hours[-1].astype("datetime64[s]").astype(datetime).replace(tzinfo=UTC)
    [flags] = replace(learned, classifier=stub).evaluate(
        grid, np.array([1]), [now + timedelta(minutes=10)], values[None]
    )
    assert flags is not None
    return flags


def test_a_score_is_scaled_to_one_half_at_the_limit(learned: LearnedScore) -> None:
    flags = evaluate(learned, (0.1, 0.5, 0.7, 0.9), TRUE[1, -1])
    assert [flag.variable for flag in flags] == [0, 1, 2, 3]
    assert [flag.score for flag in flags] == pytest.approx([0.25, 0.5, 0.5 + 0.5 * 0.1 / 0.4, 0.5 + 0.5 * 0.1 / 0.2])
    assert [bool(flag.reason) for flag in flags] == [False, False, True, True]


def test_a_missing_score_gives_no_flag(learned: LearnedScore) -> None:
    assert [flag.variable for flag in evaluate(learned, (np.nan, 0.1, np.nan, 0.1), TRUE[1, -1])] == [1, 3]


@pytest.mark.parametrize(("hours", "before"), [(0, 0), (1, 1), (4, 4)])
def test_the_duration_counts_the_hours_before_on_the_same_side(learned: LearnedScore, hours: int, before: int) -> None:
    values = TRUE[1, -1].astype(float)
    values[0] += 30
    assert evaluate(learned, (0.9, 0, 0, 0), values, hours)[0].hours == before


def test_checks_fail_whose_p_value_is_below_the_limit(learned: LearnedScore) -> None:
    """With 99 references the smallest p-value is 0.01, above the limit; with 999 it is 0.001."""
    values = TRUE[1, -1].astype(float)
    values[0] += 40
    assert evaluate(learned, (0.9, 0, 0, 0), values)[0].checks == ()
    residuals = np.broadcast_to(np.arange(1, 1000) / 100, (4, len(VIEWS), 999))
    more = replace(learned, residual_quantiles=residuals, isolation_quantiles=np.full(999, 2.0))
    assert evaluate(more, (0.9, 0, 0, 0), values)[0].checks == ("forecast_residual", "neighbours")
    unusual = replace(more, isolation_quantiles=np.full(999, 0.1))
    assert evaluate(unusual, (0.9, 0, 0, 0), values)[0].checks == (
        "forecast_residual",
        "neighbours",
        "isolation_forest",
    )


def test_a_reason_states_value_and_distance_from_the_expected_value(learned: LearnedScore) -> None:
    values = TRUE[1, -1].astype(float)
    values[0] += 30
    recent = TRUE[:, -features.LOOK_BACK - 1 :].copy()
    recent[1, -1, 0] = values[0]
    computed = features.compute_latest(recent, NORMAL[:, -recent.shape[1] :], learned.statistics)
    reason = evaluate(learned, (0.9, 0, 0, 0), values)[0].reason
    distances = {f"{abs(values[0] - expected):.1f} °C" for expected in computed.expected[1, -1, 0].tolist()}
    assert f"temperature of {values[0]:.1f} °C" in reason
    assert any(distance in reason for distance in distances)


def test_unknown_stations_and_older_hours_are_not_checked(learned: LearnedScore) -> None:
    now = GRID.hours[-1].astype("datetime64[s]").astype(datetime).replace(tzinfo=UTC)
    times = [now - timedelta(hours=hours) for hours in (0, 1, 2, 3, 0)]
    rows = np.array([0, 1, 2, 3, -1])
    flags = learned.evaluate(GRID, rows, times, np.tile(TRUE[0, -1], (5, 1)))
    assert [one is not None for one in flags] == [True, True, True, False, False]


def test_station_values_are_in_the_order_of_the_trained_stations(learned: LearnedScore) -> None:
    reversed_grid = HourGrid(GRID.stations[::-1], GRID.start, GRID.values[::-1])
    np.testing.assert_array_equal(learned.station_values(reversed_grid), TRUE)
    assert learned.station_rows(["s2", "unknown"]).tolist() == [2, -1]
    assert learned.normal(GRID.hours).shape == (COUNT, len(GRID.hours), 4)


def test_recent_values_of_every_station_end_at_the_hour_and_are_missing_after_the_grid(learned: LearnedScore) -> None:
    recent = learned._recent_values(GRID, GRID.hours[-1])
    np.testing.assert_array_equal(recent, TRUE[:, -features.LOOK_BACK - 1 :])
    later = learned._recent_values(GRID, GRID.hours[-1] + 2)
    np.testing.assert_array_equal(later[:, :-2], recent[:, 2:])
    assert np.isnan(later[:, -2:]).all()
    first = learned._recent_values(GRID, GRID.hours[0])
    np.testing.assert_array_equal(first[:, -1], TRUE[:, 0])
    assert np.isnan(first[:, :-1]).all()


@pytest.mark.parametrize(
    ("residuals", "before", "words"),
    [
        ([9, 0, 0, 2.5], 0, ["above"]),
        ([9, 2.5, 2.1, 2.5], 3, ["above", "for 4 h"]),
        ([9, 2.0, 2.1, 2.5], 1, ["above", "for 2 h"]),  # 2.0 is not larger than the limit
        ([9, 2.5, -2.5, 2.5], 0, ["above"]),
        ([-9, -2.5, -2.5, -2.5], 3, ["below", "for 4 h"]),
    ],
)
def test_an_episode_has_the_hours_before_with_a_large_residual_on_the_same_side(
    learned: LearnedScore, residuals: list[float], before: int, words: list[str]
) -> None:
    assert reason_of(learned, residuals, {}) == (before, words)


@pytest.mark.parametrize(
    ("by_name", "words"),
    [
        ({"flat_share": 1.0, "flat_hours": 5.0}, ["above", "constant for 5 h"]),
        ({"flat_share": 0.99, "flat_hours": 5.0}, ["above"]),
        ({"other_unit": 1.0}, ["above"]),
        ({"other_unit": 1.1, "time_shift_station": np.nan}, ["above", "another unit"]),
        ({"other_unit": np.nan, "time_shift_station": 1.2, "swapped_station": 1.1}, ["above", "hours ago"]),
        ({"other_unit": 1.1, "time_shift_station": 1.2, "swapped_station": 1.3}, ["above", "nearby station"]),
    ],
)
def test_a_reason_adds_a_constant_value_and_the_most_likely_cause(
    learned: LearnedScore, by_name: dict[str, float], words: list[str]
) -> None:
    assert reason_of(learned, [0, 0, 0, 2.5], by_name) == (0, words)


def reason_of(learned: LearnedScore, residuals: list[float], by_name: dict[str, float]) -> tuple[int, list[str]]:
    """Hours before the reading, and the parts of its reason, for residuals of one view; 12.0 °C are expected."""
    view = VIEWS.index("lead1")
    computed = AnomalyFeatures(
        np.zeros((1, 1, 4, len(NAMES))), np.full((1, 4, 4, len(VIEWS)), 12.0), np.zeros((1, 4, 4, len(VIEWS)))
    )
    computed.residuals[0, :, 0, view] = residuals
    unknown = dict.fromkeys(("flat_share", "flat_hours", "other_unit", "time_shift_station", "swapped_station"), 0.0)
    reason, before = learned._reason(computed, 0, 0, view, 15.5, unknown | by_name)
    assert reason.startswith("temperature of 15.5 °C is 3.5 °C ")
    parts = ("above", "below", "for 2 h", "for 4 h", "constant for 5 h", "another unit", "hours ago", "nearby station")
    return before, [part for part in parts if part in reason]
