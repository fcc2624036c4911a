"""The simulated weather has the structure that forecasts and checks rely on, and is a function of place and time."""

from __future__ import annotations

import math

import numpy as np
import pytest

from producer.simulation.weather import HOUR, VARIABLES, YEAR, SimulatedWeather
from weatherglass.meteorology import standard_pressure
from weatherglass.qc.limits import range_limits
from weatherglass.simulated_stations import simulated_stations
from weatherglass.station_table import Station

STATIONS = simulated_stations(40, 3)
WEATHER = SimulatedWeather(STATIONS, 3)
START = 1.7e9
HOURS = START + HOUR * np.arange(2 * 365 * 24)
TEMPERATURE, HUMIDITY, PRESSURE, WIND, DIRECTION = range(len(VARIABLES))


def series(station: int, seconds: np.ndarray = HOURS) -> np.ndarray:
    return WEATHER.values(np.full(len(seconds), station), seconds)


def at(name: str, latitude: float, longitude: float, elevation: float = 0.0) -> Station:
    return Station(name, name, "", latitude, longitude, elevation, "UTC", frozenset())


def test_values_depend_on_seed_place_and_time_only() -> None:
    rng = np.random.default_rng(0)
    station, seconds = rng.integers(0, len(STATIONS), 200), START + rng.uniform(0, YEAR, 200)
    together = WEATHER.values(station, seconds)
    again = SimulatedWeather(STATIONS, 3)
    alone = np.vstack([again.values(station[i : i + 1], seconds[i : i + 1]) for i in range(200)])
    np.testing.assert_array_equal(alone, together)
    assert not np.array_equal(SimulatedWeather(STATIONS, 4).values(station, seconds), together, equal_nan=True)


@pytest.mark.parametrize("station", range(0, 40, 8))
def test_values_are_plausible_in_every_hour_of_two_years(station: int) -> None:
    values = series(station)
    limits = range_limits(STATIONS[station].latitude, STATIONS[station].elevation)
    for column, name in enumerate(VARIABLES[:4]):
        assert limits[name].low <= values[:, column].min() <= values[:, column].max() <= limits[name].high
    assert np.isfinite(values[:, :4]).all()
    calm = values[:, WIND] < 0.25
    assert np.isnan(values[calm, DIRECTION]).all()
    windy = values[values[:, WIND] > 0.35, DIRECTION]
    assert ((windy >= 0) & (windy < 360)).all()


def test_summer_and_afternoon_are_warm() -> None:
    temperature = series(0)[:, TEMPERATURE]
    month = (HOURS.astype("datetime64[s]").astype("datetime64[M]").astype(int)) % 12
    means = [temperature[month == number].mean() for number in range(12)]
    assert np.argmax(means) in (6, 7)
    assert np.argmin(means) in (0, 1)
    assert 12 < max(means) - min(means) < 25
    solar = (HOURS / HOUR + STATIONS[0].longitude / 15) % 24
    by_hour = [temperature[(solar // 1).astype(int) == hour].mean() for hour in range(24)]
    assert np.argmax(by_hour) in range(13, 17)
    assert 3 < max(by_hour) - min(by_hour) < 12


def test_neighbours_have_similar_weather_and_distant_stations_less() -> None:
    near, far = at("b", 50.05, 8.05), at("c", 53.5, 18.5)
    weather = SimulatedWeather([at("a", 50, 8), near, far], 3)
    days = HOURS[::7]
    first, second, third = (weather.values(np.full(len(days), i), days)[:, PRESSURE] for i in range(3))
    assert np.corrcoef(first, second)[0, 1] > 0.99
    assert np.corrcoef(first, third)[0, 1] < 0.8


def test_weather_arrives_from_the_west() -> None:
    weather = SimulatedWeather([at("west", 50, 6), at("east", 50, 16)], 3)
    west, east = (weather.values(np.full(len(HOURS), i), HOURS)[:, PRESSURE] for i in range(2))
    lags = range(-36, 37)
    match = [np.corrcoef(west[100:-100], np.roll(east, -lag)[100:-100])[0, 1] for lag in lags]
    assert lags[int(np.argmax(match))] > 3


def test_a_higher_station_is_colder_and_has_less_pressure() -> None:
    weather = SimulatedWeather([at("low", 50, 8, 0), at("high", 50, 8, 900)], 3)
    low, high = (weather.values(np.full(len(HOURS), i), HOURS) for i in range(2))
    assert (low - high)[:, TEMPERATURE].mean() == pytest.approx(0.0065 * 900, abs=0.3)
    ratio = high[:, PRESSURE] / low[:, PRESSURE]
    np.testing.assert_allclose(ratio, standard_pressure(900) / standard_pressure(0), atol=6e-4)


def test_values_change_slowly_within_minutes() -> None:
    minutes = series(1, START + 60 * np.arange(20_000))
    steps = np.abs(np.diff(minutes[:, :4], axis=0)).max(axis=0)
    assert (steps < [1.5, 8, 0.6, 4]).all()
    assert len(np.unique(minutes[:, TEMPERATURE])) > 50


def test_tomorrow_is_like_today_more_than_like_next_week() -> None:
    temperature = series(2)[:, TEMPERATURE]
    yearly = np.cos(2 * math.pi * HOURS / YEAR)[:, None] ** [0, 1], np.sin(2 * math.pi * HOURS / YEAR)[:, None]
    design = np.hstack(yearly)
    anomaly = temperature - design @ np.linalg.lstsq(design, temperature, rcond=None)[0]
    day, week = (float(np.corrcoef(anomaly[: -24 * n], anomaly[24 * n :])[0, 1]) for n in (1, 7))
    assert 0.3 < day < 0.95
    assert week < day - 0.2
