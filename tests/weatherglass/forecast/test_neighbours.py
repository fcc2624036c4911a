from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from tests.synthetic_history import stations
from weatherglass.forecast.neighbours import DIRECTIONS, KERNELS, distances, neighbour_kernels, neighbour_means
from weatherglass.stations import Station

DEGREE_KM = 6371 * math.pi / 180


def at(latitude: float, longitude: float) -> Station:
    return replace(stations(1)[0], latitude=latitude, longitude=longitude)


def test_distances_on_the_sphere() -> None:
    kilometres = distances([at(0, 0), at(0, 90), at(90, 0), at(45, 180), at(float("nan"), 0)])
    quarter = 6371 * math.pi / 2
    np.testing.assert_allclose(kilometres[0, :4], [0, quarter, quarter, 1.5 * quarter], rtol=1e-12)
    np.testing.assert_allclose(kilometres, kilometres.T)
    assert np.isnan(kilometres[4, :4]).all()


@pytest.mark.parametrize(
    ("direction", "latitude", "longitude"), [(0, 1, 0), (2, 0, 1), (4, -1, 0), (6, 0, -1)], ids=["N", "E", "S", "W"]
)
def test_a_neighbour_450_km_away_has_weight_1_in_the_inner_kernel_of_its_direction(
    direction: int, latitude: int, longitude: int
) -> None:
    degrees = 450 / DEGREE_KM
    weights = neighbour_kernels([at(0, 0), at(latitude * degrees, longitude * degrees)])[:, 0, 1]
    expected = np.zeros(KERNELS)
    for k in range(DIRECTIONS):
        angle = (k - direction) * math.pi / 4
        share = max(0.0, math.cos(angle)) ** 2
        expected[k] = share  # at the centre of the ring at 450 km, which is 225 km wide
        expected[DIRECTIONS + k] = share * math.exp(-0.5)  # one width of 450 km inside the ring at 900 km
    expected[-1] = math.exp(-0.5 * 9)  # three widths of 150 km
    np.testing.assert_allclose(weights, expected, atol=1e-6)


def test_a_station_has_no_weight_for_itself_and_none_without_coordinates() -> None:
    weights = neighbour_kernels([at(0, 0), at(0, 1), at(float("nan"), 1)])
    assert weights.shape == (KERNELS, 3, 3)
    np.testing.assert_array_equal(weights[:, range(3), range(3)], 0)
    np.testing.assert_array_equal(weights[:, 2], 0)
    np.testing.assert_array_equal(weights[:, :, 2], 0)
    assert weights[-1, 0, 1] == pytest.approx(math.exp(-0.5 * (DEGREE_KM / 150) ** 2))


def test_kernel_means_leave_out_missing_neighbours_and_need_a_weight_of_a_tenth() -> None:
    weights = np.array([[[0.0, 0.5, 0.25]], [[0.0, 0.08, 0.05]]], np.float32)
    anomalies = np.array([[9.0, 9.0], [1.0, np.nan], [4.0, 4.0]], np.float32)
    means = neighbour_means(weights, anomalies)
    assert means.shape == (1, 2, 2)
    np.testing.assert_allclose(means[0, 0], [(0.5 * 1 + 0.25 * 4) / 0.75, 4.0])
    np.testing.assert_allclose(means[0, 1], [(0.08 * 1 + 0.05 * 4) / 0.13, np.nan], rtol=1e-6)
