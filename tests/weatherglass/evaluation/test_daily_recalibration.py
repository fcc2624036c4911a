from __future__ import annotations

import numpy as np

from weatherglass.evaluation.daily_recalibration import recalibrate_daily
from weatherglass.evaluation.held_out import BASELINES, HeldOut
from weatherglass.forecast import recalibration
from weatherglass.forecast.recalibration import Forecasts
from weatherglass.records import LEADS, VARIABLES
from weatherglass.verification.held_out_scores import MODEL


def test_the_model_is_recalibrated_as_in_service_and_the_baselines_are_not() -> None:
    """Errors are 3 half-widths for 20 days, then the intervals are wide enough."""
    base = np.arange(np.datetime64("2016-03-01T00", "h"), np.datetime64("2016-03-31T00", "h"), 6)
    shape = (len(base), len(LEADS), len(VARIABLES))
    observed = np.full(shape, 50, np.float32)
    observed[..., VARIABLES.index("pressure")] = 1000
    early = (base < np.datetime64("2016-03-21"))[:, None, None]
    forecast = np.where(early, observed + 3, observed + 0.5).astype(np.float32)
    forecasts = dict.fromkeys((MODEL, *BASELINES), forecast)
    lower, upper = ({level: forecast + sign * level / 0.8 for level in (0.8, 0.9)} for sign in (-1, 1))
    stations = np.arange(len(base)) % 2
    held_out = HeldOut(("b", "a"), stations, base, observed, forecasts, lower, upper)
    served = recalibrate_daily(held_out)
    names = [("b", "a")[row] for row in stations]
    values, low, high = recalibration.recalibrate_daily(names, base, Forecasts(forecast, lower, upper), observed)
    np.testing.assert_array_equal(served.forecasts[MODEL], values)
    np.testing.assert_array_equal(served.lower[0.8], low[0.8])
    np.testing.assert_array_equal(served.upper[0.9], high[0.9])
    assert all(served.forecasts[name] is forecast for name in BASELINES)
    assert served.observed is observed
    assert (values[60] < forecast[60] - 0.5).all()
    assert held_out.forecasts[MODEL] is forecast
