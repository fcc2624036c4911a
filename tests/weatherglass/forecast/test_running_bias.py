"""The running bias, compared with its definition in plain Python."""

from __future__ import annotations

from statistics import median

import numpy as np
import pytest

from weatherglass.forecast.error_window import MIN_DAYS, WINDOW_DAYS
from weatherglass.forecast.running_bias import CLASSES, base_class, running_bias, stack_bias
from weatherglass.records import LEADS, VARIABLES

START = np.datetime64("2026-01-01T00", "h")
SHAPE = (len(LEADS), len(VARIABLES))


def test_the_bias_is_half_of_the_median_shrunk_by_the_number_of_errors() -> None:
    """Against a loop over all forecasts of a station, lead, class and variable, with missing errors."""
    rng = np.random.default_rng(5)
    base = START + np.sort(rng.integers(0, 24 * 90, 700))
    names = rng.choice(["a", "b", "c"], 700).tolist()
    errors = rng.gamma(2, size=(700, *SHAPE)) - 1
    errors[rng.random(errors.shape) < 0.3] = np.nan
    errors[(base.astype(np.int64) % 24 < 6), :, 3] = np.nan
    now = START + 24 * 88 + 5
    bias = running_bias(names, base, errors, now)
    assert set(bias) == {"a", "b", "c"}
    for name, lead, variable, hours in (("a", 1, 0, 0), ("b", 24, 1, 3), ("c", 13, 2, 2), ("a", 7, 3, 0)):
        known = [
            float(errors[i, lead - 1, variable])
            for i in range(700)
            if names[i] == name
            and int(base[i].astype(int)) % 24 // 6 == hours
            and np.timedelta64(0, "h") <= now - (base[i] + lead) < np.timedelta64(24 * 60, "h")
            and np.isfinite(errors[i, lead - 1, variable])
        ]
        expected = 0.5 * median(known) * len(known) / (len(known) + 8) if known else 0.0
        assert bias[name][lead - 1, hours, variable] == pytest.approx(expected, rel=1e-12)


def test_errors_after_now_have_no_influence() -> None:
    base = START + 5 * np.arange(100)
    errors = np.ones((100, *SHAPE))
    now = START + 24 * 10
    changed = errors.copy()
    changed[base[:, None] + np.array(LEADS) > now] = 99
    before, after = (running_bias(["a"] * 100, base, e, now)["a"] for e in (errors, changed))
    assert (before > 0).any()
    np.testing.assert_array_equal(before, after)


def test_too_few_days_give_no_bias() -> None:
    base = START + np.arange(24)
    errors = np.ones((24, *SHAPE))
    hours = 24 * MIN_DAYS
    assert running_bias(["a"] * 24, base, errors, START + hours) == {}
    assert set(running_bias(["a"] * 24, base, errors, START + hours + 1)) == {"a"}
    assert running_bias(["a"] * 24, base, errors, START + 24 * (WINDOW_DAYS + 3)) == {}
    assert running_bias([], base[:0], errors[:0], START) == {}


def test_one_faulty_day_does_not_move_the_bias() -> None:
    base = START + np.arange(24 * 30)
    errors = np.random.default_rng(1).normal(size=(len(base), *SHAPE))
    faulty = errors.copy()
    faulty[24 * 20 : 24 * 21] = 500
    names, now = ["a"] * len(base), START + 24 * 32
    before, after = (running_bias(names, base, e, now)["a"] for e in (errors, faulty))
    assert np.abs(after - before).max() < 0.1


def test_the_class_is_that_of_the_base_hour_and_a_missing_station_has_no_bias() -> None:
    hours = START + np.arange(24)
    assert base_class(hours).tolist() == [k for k in range(CLASSES) for _ in range(6)]
    bias = {"a": np.arange(CLASSES)[None, :, None] * np.ones((len(LEADS), 1, len(VARIABLES)))}
    stacked = stack_bias(bias, ["a", "b", "a"], START + np.array([7, 7, 23]))
    assert stacked.shape == (3, *SHAPE)
    assert [set(row.ravel()) for row in stacked] == [{1.0}, {0.0}, {3.0}]
    assert stack_bias(bias, [], START + np.arange(0)).shape == (0, *SHAPE)
