"""The benchmark of single series: reproducible, and the counts against a series whose result is known."""

from __future__ import annotations

import numpy as np
import pytest

from weatherglass.evaluation.single_series_benchmark import (
    SERIES,
    LabelledFault,
    LabelledSeries,
    SeriesCounts,
    heated_room,
    machine,
)


@pytest.mark.parametrize("name", SERIES)
def test_a_series_follows_from_its_seed(name: str) -> None:
    first, second, other = (SERIES[name](np.random.default_rng(seed)) for seed in (4, 4, 5))
    np.testing.assert_array_equal(first.values, second.values)
    assert first.faults == second.faults
    assert not np.array_equal(first.values, other.values, equal_nan=True)
    assert all(0 <= fault.start < fault.end <= len(first.values) for fault in first.faults)


def test_counts_of_a_series_with_one_impossible_value() -> None:
    values = np.full((300, 4), np.nan)
    values[:, 0] = 10 + np.arange(300) % 7
    values[100, 0] = 80.0
    counts = SeriesCounts()
    counts.add(LabelledSeries("test", 3600, values, (LabelledFault("spike", 0, 100, 101),)), 1e-6)
    assert (counts.detected, counts.hits, counts.misses) == ({"spike": 1}, 1, 0)
    counts.add(LabelledSeries("test", 3600, values, ()), 1e-6)
    assert counts.false_events >= 1


@pytest.mark.integration
def test_heaters_and_failures_are_detected() -> None:
    for make, recall, reading_f1 in ((heated_room, 0.9, 0.75), (machine, 0.9, 0.3)):
        counts = SeriesCounts()
        for seed in range(3):
            counts.add(make(np.random.default_rng([900, seed])), 0.2)
        row = counts.row()
        assert row["recall"] >= recall
        assert row["reading F1"] >= reading_f1
