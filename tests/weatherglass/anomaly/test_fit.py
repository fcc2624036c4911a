from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from weatherglass.anomaly import fit
from weatherglass.anomaly.fault_injection import Fault, FaultKind, InjectionResult
from weatherglass.anomaly.features import LOOK_BACK, NAMES, AnomalyFeatures
from weatherglass.anomaly.fit import DetectorSize


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


@pytest.mark.parametrize(("faults", "segments"), [(1, 1), (2, 1), (3, 2), (100, 5)])
def test_the_classifier_is_trained_on_segments_until_there_are_enough_faults(
    monkeypatch: pytest.MonkeyPatch, faults: int, segments: int
) -> None:
    """Each segment gets two faults, of 10 and of 4 x 5 values; two values of the first are missing."""
    injections: list[tuple[tuple[int, ...], int]] = []
    trained: list[Any] = []

    def inject(values: np.ndarray, spread: Any, nearest: Any, per_kind: int, rng: Any) -> InjectionResult:
        injections.append((values.shape, per_kind))
        injected = (Fault(FaultKind.BIAS, 0, 1, 200, 210), Fault(FaultKind.SWAPPED, 1, None, 300, 305))
        faulty = np.zeros(values.shape, bool)
        for fault in injected:
            faulty[fault.station, fault.start : fault.end, list(fault.variables)] = True
        return InjectionResult(values, injected, faulty)

    def compute(values: np.ndarray, normal: Any, statistics: Any, first: int) -> AnomalyFeatures:
        computed = np.zeros((*values[:, first:].shape, len(NAMES)), np.float32)
        computed[0, 200 - first : 202 - first, 1, NAMES.index("anomaly")] = np.nan
        return AnomalyFeatures(computed, computed, computed)

    monkeypatch.setattr(fit.fault_injection, "inject", inject)
    monkeypatch.setattr(fit.features, "compute", compute)
    monkeypatch.setattr(fit.classifier, "fit", lambda *arguments: trained.extend(arguments))
    monkeypatch.setattr(fit, "CLEAN_ROWS", 100)
    known = np.zeros((2, 1300, 4), np.float32)
    statistics: Any = SimpleNamespace(expected=SimpleNamespace(spread=np.ones((2, 4))), nearest=None)
    fit._fit_classifier(known, known, statistics, DetectorSize(faults, 5, 7), 3)
    # 0.1 faults per day for two stations and 50 days, spread over nine kinds
    assert injections == [((2, 1200, 4), 1)] * segments
    rows, labels, weights, trees, seed = trained
    assert (trees, seed) == (7, 3)
    assert len(rows) == len(labels) == len(weights) == segments * (8 + 20 + 100)
    assert labels.sum() == segments * (8 + 20)
    assert weights[~labels].sum() == pytest.approx(100 * segments)
    assert weights[labels].sum() == pytest.approx(segments * (20 * 8 / 10 + 20))
    assert LOOK_BACK < 200
