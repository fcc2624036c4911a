from __future__ import annotations

from dataclasses import replace

import numpy as np

from tests.synthetic_history import stations
from weatherglass.forecast.climatology import TERMS, Climatology
from weatherglass.forecast.damped_anomaly import DampedAnomaly
from weatherglass.forecast.unseen_stations import introduce, own_level
from weatherglass.forecast.variables import MODEL_VARIABLES

KNOWN = stations(3)
RNG = np.random.default_rng(4)
USUAL = Climatology(tuple(s.station_id for s in KNOWN), RNG.normal(size=(3, TERMS, len(MODEL_VARIABLES))))
DAMPING = DampedAnomaly(RNG.uniform(size=(3, 37, 4)))


def test_a_stranger_next_door_borrows_most_from_next_door() -> None:
    new = replace(KNOWN[2], station_id="new", longitude=KNOWN[2].longitude + 0.1)
    usual, damping = introduce(USUAL, DAMPING, KNOWN, [*KNOWN, new])
    assert usual.station_ids == (*USUAL.station_ids, "new")
    np.testing.assert_array_equal(usual.coefficients[:3], USUAL.coefficients)
    to = [np.abs(usual.coefficients[3] - USUAL.coefficients[row]).mean() for row in range(3)]
    assert to[2] < to[1] < to[0] or to[2] < min(to[:2]) / 2
    assert ((damping.rho[3] >= DAMPING.rho.min(axis=0)) & (damping.rho[3] <= DAMPING.rho.max(axis=0))).all()


def test_what_a_neighbour_does_not_know_is_borrowed_from_the_others() -> None:
    holed = USUAL.coefficients.copy()
    holed[2, :, 3] = np.nan
    new = replace(KNOWN[2], station_id="new")
    usual, _ = introduce(Climatology(USUAL.station_ids, holed), DAMPING, KNOWN, [new])
    assert np.isfinite(usual.coefficients[3]).all()


def test_nobody_new_nothing_new_and_none_from_the_other_side_of_the_world() -> None:
    assert introduce(USUAL, DAMPING, KNOWN, KNOWN) == (USUAL, DAMPING)
    far = replace(KNOWN[0], station_id="far", latitude=-40.0)
    assert introduce(USUAL, DAMPING, KNOWN, [far]) == (USUAL, DAMPING)


def test_the_own_level_counts_the_more_the_longer_it_is_known_and_pressures_at_once() -> None:
    past = np.full((2, 73, len(MODEL_VARIABLES)), 4.0, np.float32)
    past[0, 1:] = np.nan
    level = own_level(past)
    np.testing.assert_allclose(level[:, MODEL_VARIABLES.index("pressure")], 4.0)
    temperature = level[:, MODEL_VARIABLES.index("temperature")]
    assert 0 < temperature[0] < 0.2
    assert 1.5 < temperature[1] < 4.0
    assert not own_level(np.full((1, 73, len(MODEL_VARIABLES)), np.nan, np.float32)).any()
