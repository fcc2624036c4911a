from __future__ import annotations

import numpy as np
import pytest

from weatherglass.anomaly.episodes import MERGE_HOURS, Episode, EpisodeCounts, find_episodes
from weatherglass.anomaly.fault_injection import Fault, FaultKind


def flags(*at: tuple[int, int, int], shape: tuple[int, int, int] = (2, 336, 4)) -> np.ndarray:
    made = np.zeros(shape, bool)
    for place in at:
        made[place] = True
    return made


def test_flags_close_together_are_one_event_and_variables_are_apart() -> None:
    near, far = 10 + MERGE_HOURS, 10 + MERGE_HOURS + MERGE_HOURS + 1
    found = find_episodes(flags((0, 10, 1), (0, near, 1), (0, far, 1), (0, 10, 2), (1, 10, 1)))
    assert found == [Episode(0, 1, 10, near), Episode(0, 1, far, far), Episode(0, 2, 10, 10), Episode(1, 1, 10, 10)]


def test_a_tally_counts_as_by_hand() -> None:
    faults = [
        Fault(FaultKind.BIAS, 0, 1, 20, 30),
        Fault(FaultKind.SWAPPED, 1, None, 50, 60),
        Fault(FaultKind.SPIKE, 0, 3, 80, 81),
    ]
    faulty = np.zeros((2, 336, 4), bool)
    faulty[0, 20:30, 1] = faulty[1, 50:60, :] = faulty[0, 80:81, 3] = True
    flagged = flags((0, 22, 1), (0, 23, 1), (1, 55, 2), (0, 200, 0), (0, 205, 0))
    tally = EpisodeCounts.empty()
    tally.add(flagged, faulty, faults, np.ones_like(flagged))
    assert tally.recall() == pytest.approx(2 / 3)
    assert (tally.recall(FaultKind.BIAS), tally.recall(FaultKind.SPIKE), tally.recall(variable=1)) == (1, 0, 1)
    assert tally.delays == {FaultKind.BIAS: [2], FaultKind.SWAPPED: [5]}
    assert tally.precision == pytest.approx(2 / 3)
    np.testing.assert_allclose(tally.false_alarms, [1 / 4, 0, 0, 0])
    precision, recall, f1 = tally.points
    assert (precision, recall) == pytest.approx((3 / 5, 3 / 51))
    assert f1 == pytest.approx(2 * precision * recall / (precision + recall))


def test_a_flag_just_after_a_fault_finds_it_and_cries_no_wolf_but_not_a_day_later() -> None:
    fault = Fault(FaultKind.SPIKE, 0, 0, 100, 101)
    faulty = flags((0, 100, 0))
    for hour, found in ((101, 1.0), (124, 0.0)):
        tally = EpisodeCounts.empty()
        tally.add(flags((0, hour, 0)), faulty, [fault], np.ones_like(faulty))
        assert (tally.recall(), tally.false_events[0]) == (found, 1 - found)
