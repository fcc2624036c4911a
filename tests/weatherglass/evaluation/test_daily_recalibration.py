from __future__ import annotations

import numpy as np

from weatherglass.evaluation.daily_recalibration import recalibrate_daily
from weatherglass.evaluation.held_out import BASELINES, HeldOut
from weatherglass.forecast.interval_factors import interval_factors, normalized_errors
from weatherglass.records import LEADS, VARIABLES
from weatherglass.verification.held_out_scores import MODEL


def test_the_intervals_of_a_day_have_the_factors_at_its_first_hour() -> None:
    """Errors are 3 half-widths for 20 days, then the intervals are wide enough."""
    base = np.arange(np.datetime64("2016-03-01T00", "h"), np.datetime64("2016-03-31T00", "h"), 6)
    shape = (len(base), len(LEADS), len(VARIABLES))
    observed = np.full(shape, 50, np.float32)
    observed[..., VARIABLES.index("pressure")] = 1000
    early = (base < np.datetime64("2016-03-21"))[:, None, None]
    forecast = np.where(early, observed + 3, observed + 0.5).astype(np.float32)
    forecasts = dict.fromkeys((MODEL, *BASELINES), forecast)
    lower, upper = ({level: forecast + sign * level / 0.8 for level in (0.8, 0.9)} for sign in (-1, 1))
    held_out = HeldOut(("a",), np.zeros(len(base), int), base, observed, forecasts, lower, upper)
    recalibrated = recalibrate_daily(held_out)
    assert recalibrated.forecasts is forecasts
    errors = normalized_errors(forecast, lower, upper, observed)
    for day, case in [("2016-03-02", 4), ("2016-03-15", 59), ("2016-03-30", 118)]:
        factors = interval_factors(["a"] * len(base), base, errors, np.datetime64(f"{day}T00", "h"))
        expected = factors["a"][..., 0] if factors else np.ones((len(LEADS), len(VARIABLES)))
        assert base[case].astype("datetime64[D]") == np.datetime64(day)
        np.testing.assert_allclose(recalibrated.upper[0.8][case] - forecast[case], expected, rtol=1e-4)
        np.testing.assert_allclose(forecast[case] - recalibrated.lower[0.8][case], expected, rtol=1e-4)
    assert (recalibrated.upper[0.8][59] > upper[0.8][59] + 0.5).all()
    np.testing.assert_array_equal(recalibrated.upper[0.8][:8], upper[0.8][:8])
