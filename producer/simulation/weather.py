"""A simulated weather: a function of seed, place and time, so that it continues after any interruption.

It has what forecasts and checks rely on: yearly and daily cycles, pressure systems that move eastwards with the wind
that belongs to them, fronts that pass one station after the other, local noise, and the effects of elevation. It is not
physics: the amplitudes are rough values for the middle latitudes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from producer.simulation.hashed import noise, normal, uniform
from weatherglass.meteorology import STANDARD_SEA_LEVEL, relative_humidity, standard_pressure, wind_direction
from weatherglass.station_table import Station

Array = npt.NDArray[np.float64]

VARIABLES = ("temperature", "humidity", "pressure", "wind_speed", "wind_direction")
"""The columns of simulated values."""

METRES_PER_DEGREE = 111_195.0
HOUR, DAY, YEAR = 3600.0, 86_400.0, 365.2425 * 86_400.0
AIR_DENSITY, CORIOLIS = 1.2, 1.1e-4
"""kg/m³, and 1/s at 50 degrees north, for the wind that balances the pressure gradient."""
SURFACE_WIND = 0.4 * np.exp(1j * np.deg2rad(20))
"""Friction makes the wind weaker, and turns it towards the low pressure."""
SYSTEMS = 24
"""Waves whose sum is the field of the pressure systems."""
WAVELENGTH = (1.2e6, 4.0e6)
SYSTEM_SPEED = (7.0, 14.0)
"""Metres, and metres per second eastwards."""
PRESSURE_SPREAD, AIR_MASS_SPREAD = 7.0, 3.0
"""Standard deviations of the pressure, hPa, and of the temperature of the air masses, °C."""
FRONT_INTERVAL = 60 * HOUR
FRONT_SPEED = (8.0, 16.0)
LOCAL = ((600.0, 0.15), (HOUR, 0.35), (6 * HOUR, 0.6))
"""Local noise of the temperature: scale in seconds and standard deviation in °C."""
CALM = 0.3
"""Below this speed, in m/s, there is no wind direction."""


@dataclass(frozen=True)
class _Fronts:
    """Effects of the fronts near each place and time."""

    temperature: Array
    pressure: Array
    moisture: Array
    wind: Array
    veer: Array


class SimulatedWeather:
    """The weather at some stations."""

    def __init__(self, stations: Sequence[Station], seed: int):
        self._seed = seed
        self.latitude = np.array([station.latitude for station in stations])
        self.longitude = np.array([station.longitude for station in stations])
        self.elevation = np.array([station.elevation or 0.0 for station in stations])
        self._x = METRES_PER_DEGREE * np.cos(np.deg2rad(50)) * (self.longitude - 10)
        self._y = METRES_PER_DEGREE * (self.latitude - 50)
        self._standard = np.array([standard_pressure(height) for height in self.elevation]) / STANDARD_SEA_LEVEL
        length, angle, speed, phase, size = (uniform(seed, 10 + number, np.arange(SYSTEMS)) for number in range(5))
        waves = 2 * np.pi / (WAVELENGTH[0] + (WAVELENGTH[1] - WAVELENGTH[0]) * length)
        direction = np.pi * (angle - 0.5)
        self._wave_x, self._wave_y = waves * np.cos(direction), waves * np.sin(direction)
        self._frequency = self._wave_x * (SYSTEM_SPEED[0] + (SYSTEM_SPEED[1] - SYSTEM_SPEED[0]) * speed)
        self._phase = 2 * np.pi * phase
        self._weight = (0.5 + size) / np.sqrt(np.sum((0.5 + size) ** 2) / 2)

    def values(self, station: npt.NDArray[np.int64], seconds: Array) -> Array:
        """Values of stations at times.

        Args:
            station: (n,) indices of stations.
            seconds: (n,) Unix seconds.

        Returns:
            (n, 5), columns as `VARIABLES`, in the units and with the resolution of observations; the wind direction is
            NaN in calm air.
        """
        pressure, gradient = self._systems(station, seconds)
        fronts = self._fronts(station, seconds)
        moisture = fronts.moisture - pressure / PRESSURE_SPREAD + 0.5 * self._noise(station, seconds, 9)
        cloud = 0.5 + 0.5 * np.tanh(moisture)
        air = self._climate(station, seconds) + self._air_mass(station, seconds) + fronts.temperature
        local = np.sum(
            [size * noise(seconds, scale, self._seed, 20, int(scale), station) for scale, size in LOCAL], axis=0
        )
        temperature = air + self._daily(station, seconds, cloud) + local
        dryness = 2 + 6 * (1 - cloud) + np.abs(self._noise(station, seconds, 3))
        dew_point = np.minimum(temperature, air - dryness)
        sea_level = STANDARD_SEA_LEVEL + pressure + fronts.pressure
        at_station = sea_level * self._standard[station] + 0.05 * noise(seconds, 600.0, self._seed, 32, station)
        wind = gradient * SURFACE_WIND * np.exp(1j * fronts.veer)
        speed = np.maximum(0, np.abs(wind) * (1 + 0.15 * noise(seconds, 300.0, self._seed, 30, station)) + fronts.wind)
        direction = wind_direction(wind.real, wind.imag) + 8 * noise(seconds, 300.0, self._seed, 31, station)
        return np.column_stack(
            [
                np.round(temperature, 1),
                np.round(np.clip(relative_humidity(temperature, dew_point), 5, 100), 0),
                np.round(at_station, 1),
                np.round(speed, 1),
                np.where(speed < CALM, np.nan, np.round(direction) % 360),
            ]
        )

    def _noise(self, station: npt.NDArray[np.int64], seconds: Array, number: int) -> Array:
        return noise(seconds, 3 * HOUR, self._seed, 40, number, station)

    def _systems(self, station: npt.NDArray[np.int64], seconds: Array) -> tuple[Array, npt.NDArray[np.complex128]]:
        """Deviation of the pressure, hPa, and the geostrophic wind, m/s, as eastward + i northward component."""
        pressure, wind = np.zeros(len(seconds)), np.zeros(len(seconds), complex)
        scale = 100 * PRESSURE_SPREAD / (AIR_DENSITY * CORIOLIS)
        for wave in range(SYSTEMS):
            along = (self._wave_x[wave] * self._x + self._wave_y[wave] * self._y + self._phase[wave])[station]
            angle = along - self._frequency[wave] * seconds
            pressure += self._weight[wave] * np.cos(angle)
            slope = -self._weight[wave] * np.sin(angle)
            wind += scale * slope * (-self._wave_y[wave] + 1j * self._wave_x[wave])
        return PRESSURE_SPREAD * pressure, wind

    def _air_mass(self, station: npt.NDArray[np.int64], seconds: Array) -> Array:
        """Deviation of the temperature, °C: waves like those of the pressure, but twice as long and half as fast."""
        total = np.zeros(len(seconds))
        for wave in range(SYSTEMS):
            along = (self._wave_x[wave] * self._x + self._wave_y[wave] * self._y)[station] / 2 + self._phase[wave]
            total += self._weight[wave] * np.sin(along - self._frequency[wave] / 4 * seconds)
        return AIR_MASS_SPREAD * total

    def _fronts(self, station: npt.NDArray[np.int64], seconds: Array) -> _Fronts:
        """The fronts of the last and the next days; one passes about every `FRONT_INTERVAL`."""
        temperature, pressure, moisture, wind, veer = np.zeros((5, len(seconds)))
        near = np.floor(seconds / FRONT_INTERVAL).astype(np.int64)
        for number in (near + step for step in range(-2, 3)):
            tilt = np.deg2rad(40 * (uniform(self._seed, 50, number) - 0.5))
            speed = FRONT_SPEED[0] + (FRONT_SPEED[1] - FRONT_SPEED[0]) * uniform(self._seed, 51, number)
            strength = np.clip(1 + 0.5 * normal(self._seed, 52, number), 0.1, 2)
            starts = (number + uniform(self._seed, 53, number)) * FRONT_INTERVAL
            way = self._x[station] * np.cos(tilt) + self._y[station] * np.sin(tilt)
            hours = (seconds - starts - way / speed) / HOUR  # since the front has passed the place
            passed = 0.5 + 0.5 * np.tanh(hours / 0.7)
            behind = passed * np.exp(-np.maximum(hours, 0) / 30)
            near_front = np.exp(-((hours / 3) ** 2))
            temperature += strength * (2 * np.exp(-((hours / 8) ** 2)) * (1 - passed) - 4 * behind)
            pressure -= strength * 4 * np.exp(-np.abs(hours) / 5)
            moisture += strength * 2 * near_front
            wind += strength * 4 * np.exp(-((hours / 1.5) ** 2))
            veer -= np.deg2rad(40) * passed * np.exp(-np.maximum(hours, 0) / 12)
        return _Fronts(temperature, pressure, moisture, wind, veer)

    def _climate(self, station: npt.NDArray[np.int64], seconds: Array) -> Array:
        """Mean temperature of the season, °C; the warmest day is about 20 July."""
        latitude, height = np.abs(self.latitude[station]), self.elevation[station]
        season = np.cos(2 * np.pi * (seconds / YEAR - 0.55))
        return 28 - 0.37 * latitude + 0.19 * latitude * season - 0.0065 * height

    def _daily(self, station: npt.NDArray[np.int64], seconds: Array, cloud: Array) -> Array:
        """Deviation in the course of the day, °C; highest at 15 h local solar time, smaller below clouds."""
        solar = seconds / DAY + self.longitude[station] / 360
        season = np.cos(2 * np.pi * (seconds / YEAR - 0.47))
        return (3.5 + 2 * season) * (1 - 0.6 * cloud) * np.cos(2 * np.pi * (solar - 15 / 24))
