from __future__ import annotations

import numpy as np
import pytest

from weatherglass.anomaly import fit
from weatherglass.anomaly.fault_injection import Fault, FaultKind, InjectionResult


def test_faults_have_equal_weight_and_the_hours_after_them_none() -> None:
    faults = (Fault(FaultKind.BIAS, 0, 1, 2, 6), Fault(FaultKind.SWAPPED, 1, None, 4, 9))
    injected = InjectionResult(np.zeros((2, 12, 4), np.float32), faults, np.zeros((2, 12, 4), bool))
    weights = fit._weights(injected)
    assert weights[0, :, 1].tolist() == [1, 1, 5, 5, 5, 5, 0, 0, 0, 1, 1, 1]
    assert (weights[0, :, [0, 2, 3]] == 1).all()
    assert (weights[1, 4:9] == 1).all()
    assert (weights[1, 9:12] == 0).all()
    assert weights[1, 4:9].sum() == weights[0, 2:6, 1].sum() == 20


@pytest.mark.parametrize(
    ("missing", "starts"),
    [
        (slice(0, 0), [0, 24, 48, 72]),
        (slice(0, 10), [24, 48, 72]),
        (slice(0, 9), [0, 24, 48, 72]),  # 91 % complete
        (slice(0, 168, 2), [0, 24, 48, 72]),  # none is complete, all are the same
    ],
)
def test_segments_start_where_the_history_is_complete(missing: slice, starts: list[int]) -> None:
    present = np.ones(172, bool)
    present[missing] = False
    if missing.step:
        present[168:] = [False, True, False, True]
    assert fit._segment_starts(present, 96).tolist() == starts


@pytest.mark.parametrize(
    ("trained", "hours", "start"),
    [
        (5000, 9000, 9000 - 2880),
        (7000, 9000, 7000),
        (8279, 9000, 8279),
        (8280, 9000, 9000 - 2880),  # only a quarter of the hours remains
        (1000, 1000, 0),
    ],
)
def test_limits_are_fitted_after_the_training_hours_if_enough_remain(trained: int, hours: int, start: int) -> None:
    train = np.arange(hours) < trained
    assert fit._recent_start(train) == start
