"""Held-out forecasts as in service: recalibrated every day from the forecasts whose valid times have passed."""

from __future__ import annotations

from dataclasses import replace

from weatherglass.evaluation.held_out import HeldOut
from weatherglass.forecast import recalibration
from weatherglass.forecast.recalibration import Forecasts
from weatherglass.verification.held_out_scores import MODEL


def recalibrate_daily(held_out: HeldOut) -> HeldOut:
    """Return the same cases with the model's forecasts of each UTC day as recalibrated at its first hour."""
    station_ids = [held_out.station_ids[row] for row in held_out.stations]
    as_trained = Forecasts(held_out.forecasts[MODEL], held_out.lower, held_out.upper)
    served = recalibration.recalibrate_daily(station_ids, held_out.base, as_trained, held_out.observed)
    forecasts = {**held_out.forecasts, MODEL: served.values}
    return replace(held_out, forecasts=forecasts, lower=dict(served.lower), upper=dict(served.upper))
