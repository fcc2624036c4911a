from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from weatherglass.evaluation import figures
from weatherglass.evaluation.held_out import BASELINES, HeldOut
from weatherglass.forecast.features import PAST_HOURS
from weatherglass.records import LEADS, VARIABLES
from weatherglass.verification.held_out_scores import MODEL

ERRORS = {MODEL: 1.0, "persistence": 4.0, "seasonal_naive": 5.0, "climatology": 2.5, "damped_anomaly": 2.0}


@pytest.fixture
def held_out() -> HeldOut:
    """Two stations, a case a month for a year; constant errors, twice as large for all at station b."""
    base = np.array([f"2016-{month:02d}-15T00" for month in range(1, 13) for _ in "ab"], dtype="datetime64[h]")
    stations = np.tile([0, 1], 12)
    shape = (len(base), len(LEADS), len(VARIABLES))
    scale = np.where(stations == 0, 1.0, 2.0)[:, None, None]
    observed = np.full(shape, 50, np.float32)
    forecasts = {name: (observed + ERRORS[name] * scale).astype(np.float32) for name in (MODEL, *BASELINES)}
    lower = {0.8: forecasts[MODEL] - 1.5, 0.9: forecasts[MODEL] - 3}
    upper = {0.8: forecasts[MODEL] + 1.5, 0.9: forecasts[MODEL] + 3}
    return HeldOut(("a", "b"), stations, base, observed, forecasts, lower, upper)


def test_errors_skill_bias_and_gain_of_constant_errors(held_out: HeldOut) -> None:
    result = figures.summarize(held_out)
    assert (result["cases"], result["first"], result["last"]) == (24, "2016-01-15T00", "2016-12-15T00")
    for variable in VARIABLES:
        for name, error in ERRORS.items():
            assert result["mae"][name][variable] == pytest.approx([1.5 * error] * len(LEADS))
        for name in BASELINES:
            assert result["skill"][name][variable] == pytest.approx([1 - 1 / ERRORS[name]] * 3, abs=1e-5)
        assert result["bias"][variable] == pytest.approx([1.5] * len(LEADS))
        assert result["gain_over_best"][variable] == pytest.approx([0.5] * len(LEADS))
        assert result["coverage"]["80%"][variable] == pytest.approx([0.5] * len(LEADS))
        assert result["coverage"]["90%"][variable] == pytest.approx([1.0] * len(LEADS))
        assert result["width"]["80%"][variable] == pytest.approx([3.0] * len(LEADS))


def test_groups_by_station_and_season(held_out: HeldOut) -> None:
    result = figures.summarize(held_out)
    assert {name: group["cases"] for name, group in result["by_season"].items()} == dict.fromkeys(figures.SEASONS, 6)
    by_station = result["by_station"]
    assert {name: group["mae"]["pressure"] for name, group in by_station.items()} == {"a": 1.0, "b": 2.0}
    assert {name: group["coverage"]["80%"]["humidity"] for name, group in by_station.items()} == {"a": 1.0, "b": 0.0}
    assert by_station["b"]["skill"]["wind_speed"] == pytest.approx(0.5)


def test_months_belong_to_their_meteorological_season(held_out: HeldOut) -> None:
    december_to_february = np.isin(held_out.base.astype("datetime64[M]").astype(int) % 12, [11, 0, 1])
    forecasts = {**held_out.forecasts}
    forecasts[MODEL] = np.where(december_to_february[:, None, None], held_out.observed + 9, held_out.forecasts[MODEL])
    by_season = figures.summarize(replace(held_out, forecasts=forecasts))["by_season"]
    assert {name: group["mae"]["temperature"] for name, group in by_season.items()} == pytest.approx(
        {"DJF": 9.0, "MAM": 1.5, "JJA": 1.5, "SON": 1.5}
    )


def test_an_extra_baseline_without_forecasts_is_left_out(held_out: HeldOut) -> None:
    held_out.forecasts["unknown"] = np.full(held_out.observed.shape, np.nan, np.float32)
    held_out.forecasts["extra"] = held_out.observed + 8 * held_out.forecasts[MODEL] / held_out.forecasts[MODEL]
    assert set(figures.summarize(held_out, ("unknown", "extra"))["skill"]) == {*BASELINES, "extra"}


def test_separate_base_hours_share_neither_past_nor_leads() -> None:
    rng = np.random.default_rng(4)
    for step in (1, 7, 17, 29, 97, 200):
        candidates = 500 + step * np.arange(4000 // step)
        base = figures.separate_base_hours(rng.permutation(candidates))
        assert len(base) > 3
        removed = [set(range(hour - PAST_HOURS, hour)) for hour in base.tolist()]
        used = [set(range(hour, hour + LEADS[-1] + 1)) for hour in base.tolist()]
        for i, hours in enumerate(removed):
            assert not any(hours & used[k] for k in range(len(base)) if k != i)
            assert not any(hours & removed[k] for k in range(len(base)) if k != i)


def test_separate_base_hours_are_the_earliest_possible() -> None:
    np.testing.assert_array_equal(figures.separate_base_hours(np.arange(10, 310)), [10, 107, 204, 301])
