"""The benchmark on a synthetic climate, with all baselines."""

from __future__ import annotations

import numpy as np
import pytest

from tests.synthetic_history import history
from weatherglass.anomaly.fit import DetectorSize
from weatherglass.evaluation import anomaly_benchmark
from weatherglass.evaluation.anomaly_baselines import robust_z
from weatherglass.evaluation.anomaly_benchmark import COMBINED, DETECTORS, RULES, SCORED, AnomalyBenchmark
from weatherglass.history.grid import HourGrid

SPLIT = 130 * 24


@pytest.fixture(scope="module")
def benchmarks() -> list[AnomalyBenchmark]:
    """Benchmarks for budgets of 0.1 and 1 false alarms."""
    grid = history(count=5, days=170)
    early = HourGrid(grid.stations, grid.start, grid.values[:, :SPLIT])
    late = HourGrid(grid.stations, grid.start + SPLIT, grid.values[:, SPLIT:])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(anomaly_benchmark, "PASSES", 1)
        return anomaly_benchmark.anomaly_benchmark(early, late, (0.1, 1.0), print, 4, DetectorSize(200, 8, 40))


def test_the_combined_detector_has_the_highest_recall_which_grows_with_the_budget(
    benchmarks: list[AnomalyBenchmark],
) -> None:
    strict, lax = benchmarks
    recalls = {name: strict.counts[name].recall() for name in DETECTORS}
    assert recalls[COMBINED] >= max(recalls.values())
    assert recalls[COMBINED] > 0.5
    assert lax.counts[COMBINED].recall() >= recalls[COMBINED]
    assert 0 < strict.faulty_share < 0.2


def test_every_detector_flags_something(benchmarks: list[AnomalyBenchmark]) -> None:
    lax = benchmarks[1]
    flagged = {name: int(counts.hits.sum() + counts.false_rows.sum()) for name, counts in lax.counts.items()}
    assert all(flagged.values()), flagged
    assert all(np.isfinite(counts.false_alarms).all() for counts in lax.counts.values())


def test_the_tables_have_a_row_for_each_detector_kind_and_variable(benchmarks: list[AnomalyBenchmark]) -> None:
    text = benchmarks[0].markdown()
    for name in (*DETECTORS, "time shift", "wind speed"):
        assert f"| {name} |" in text


def test_limits_of_a_period_depend_on_earlier_hours_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(anomaly_benchmark, "LIMIT_PERIOD_HOURS", 100)
    rng = np.random.default_rng(3)
    before, during = (
        {name: rng.random((4, hours, 4), dtype=np.float32) for name in (*SCORED, RULES)} for hours in (400, 350)
    )
    for scores in (before, during):
        scores[RULES] = (scores[RULES] > 0.99).astype(np.float32)
    later = {name: scores.copy() for name, scores in during.items()}
    for scores in later.values():
        scores[:, 200:] += 5
    one, two = (anomaly_benchmark._period_limits(before, scores, [1.0])[0] for scores in (during, later))
    assert [(period.start, period.stop) for period, _ in one] == [(0, 100), (100, 200), (200, 300), (300, 350)]
    same = [all(np.array_equal(a[name], b[name]) for name in SCORED) for (_, a), (_, b) in zip(one, two, strict=True)]
    assert same == [True, True, True, False]


def test_the_robust_z_score_uses_median_and_mad_of_every_third_of_the_last_72_hours() -> None:
    values = np.random.default_rng(1).normal(size=(1, 100, 4)).astype(np.float32)
    scores = robust_z(values, 80)
    past = values[0, 90 - 72 : 90 : 3, 2].astype(float)
    deviation = 1.4826 * np.median(np.abs(past - np.median(past)))
    assert scores[0, 10, 2] == pytest.approx(abs(values[0, 90, 2] - np.median(past)) / deviation, rel=1e-5)
