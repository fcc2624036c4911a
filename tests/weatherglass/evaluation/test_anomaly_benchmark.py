"""The benchmark end to end on a made-up climate, with all baselines."""

from __future__ import annotations

import numpy as np
import pytest

from tests.synthetic_history import history
from weatherglass.anomaly.fit import Effort
from weatherglass.evaluation import anomaly_benchmark
from weatherglass.evaluation.anomaly_benchmark import DETECTORS, OURS, RULES, SCORED, AnomalyBenchmark
from weatherglass.history.grid import HourGrid

SPLIT = 130 * 24


@pytest.fixture(scope="module")
def made() -> list[AnomalyBenchmark]:
    grid = history(count=5, days=170)
    early = HourGrid(grid.stations, grid.start, grid.values[:, :SPLIT])
    late = HourGrid(grid.stations, grid.start + SPLIT, grid.values[:, SPLIT:])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(anomaly_benchmark, "PASSES", 1)
        return anomaly_benchmark.anomaly_benchmark(early, late, (0.1, 1.0), print, 4, Effort(200, 8, 40))


def test_ours_finds_more_than_any_single_detector_and_more_alarms_find_more(made: list[AnomalyBenchmark]) -> None:
    strict, lax = made
    recalls = {name: strict.tallies[name].recall() for name in DETECTORS}
    assert recalls[OURS] >= max(recalls.values())
    assert recalls[OURS] > 0.5
    assert lax.tallies[OURS].recall() >= recalls[OURS]
    assert 0 < strict.faulty_share < 0.2


def test_every_baseline_says_something(made: list[AnomalyBenchmark]) -> None:
    lax = made[1]
    flagged = {name: int(tally.hits.sum() + tally.false_rows.sum()) for name, tally in lax.tallies.items()}
    assert all(flagged.values()), flagged
    assert all(np.isfinite(tally.false_alarms).all() for tally in lax.tallies.values())


def test_the_tables_have_a_line_for_each_detector_and_kind(made: list[AnomalyBenchmark]) -> None:
    text = made[0].markdown()
    for word in (*DETECTORS, "time shift", "wind speed"):
        assert f"| {word} |" in text


def test_limits_know_nothing_of_what_comes_after_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(anomaly_benchmark, "RENEWED_HOURS", 100)
    rng = np.random.default_rng(3)
    before, during = (
        {name: rng.random((4, hours, 4), dtype=np.float32) for name in (*SCORED, RULES)} for hours in (400, 350)
    )
    for scores in (before, during):
        scores[RULES] = (scores[RULES] > 0.99).astype(np.float32)
    later = {name: scores.copy() for name, scores in during.items()}
    for scores in later.values():
        scores[:, 200:] += 5
    one, two = (anomaly_benchmark._renewed(before, scores, [1.0])[0] for scores in (during, later))
    assert [(at.start, at.stop) for at, _ in one] == [(0, 100), (100, 200), (200, 300), (300, 350)]
    same = [all(np.array_equal(a[name], b[name]) for name in SCORED) for (_, a), (_, b) in zip(one, two, strict=True)]
    assert same == [True, True, True, False]
