from __future__ import annotations

import numpy as np
import pytest

from weatherglass.anomaly.episodes import MERGE_HOURS, Episode, EpisodeCounts, find_episodes
from weatherglass.anomaly.fault_injection import Fault, FaultKind


def flags(*at: tuple[int, int, int], shape: tuple[int, int, int] = (2, 336, 4)) -> np.ndarray:
    array = np.zeros(shape, bool)
    for index in at:
        array[index] = True
    return array


def test_flags_within_the_merge_time_are_one_episode_per_station_and_variable() -> None:
    near, far = 10 + MERGE_HOURS, 10 + MERGE_HOURS + MERGE_HOURS + 1
    episodes = find_episodes(flags((0, 10, 1), (0, near, 1), (0, far, 1), (0, 10, 2), (1, 10, 1)))
    assert episodes == [Episode(0, 1, 10, near), Episode(0, 1, far, far), Episode(0, 2, 10, 10), Episode(1, 1, 10, 10)]


def test_counts_and_scores_equal_those_computed_by_hand() -> None:
    faults = [
        Fault(FaultKind.BIAS, 0, 1, 20, 30),
        Fault(FaultKind.SWAPPED, 1, None, 50, 60),
        Fault(FaultKind.SPIKE, 0, 3, 80, 81),
    ]
    faulty = np.zeros((2, 336, 4), bool)
    faulty[0, 20:30, 1] = faulty[1, 50:60, :] = faulty[0, 80:81, 3] = True
    flagged = flags((0, 22, 1), (0, 23, 1), (1, 55, 2), (0, 200, 0), (0, 205, 0))
    counts = EpisodeCounts.empty()
    counts.add(flagged, faulty, faults, np.ones_like(flagged))
    assert counts.recall() == pytest.approx(2 / 3)
    assert (counts.recall(FaultKind.BIAS), counts.recall(FaultKind.SPIKE), counts.recall(variable=1)) == (1, 0, 1)
    assert counts.delays == {FaultKind.BIAS: [2], FaultKind.SWAPPED: [5]}
    assert counts.precision == pytest.approx(2 / 3)
    np.testing.assert_allclose(counts.false_alarms, [1 / 4, 0, 0, 0])
    precision, recall, f1 = counts.row_scores
    assert (precision, recall) == pytest.approx((3 / 5, 3 / 51))
    assert f1 == pytest.approx(2 * precision * recall / (precision + recall))


def test_only_a_flag_shortly_after_a_fault_counts_as_its_detection() -> None:
    fault = Fault(FaultKind.SPIKE, 0, 0, 100, 101)
    faulty = flags((0, 100, 0))
    for hour, detected in ((101, 1.0), (124, 0.0)):
        counts = EpisodeCounts.empty()
        counts.add(flags((0, hour, 0)), faulty, [fault], np.ones_like(faulty))
        assert (counts.recall(), counts.false_episodes[0]) == (detected, 1 - detected)


def test_flags_twelve_hours_apart_are_one_episode_and_thirteen_hours_apart_two() -> None:
    assert find_episodes(flags((0, 10, 0), (0, 22, 0))) == [Episode(0, 0, 10, 22)]
    assert find_episodes(flags((0, 10, 0), (0, 23, 0))) == [Episode(0, 0, 10, 10), Episode(0, 0, 23, 23)]


@pytest.mark.parametrize(("hours_after_the_end", "recall"), [(2, 1.0), (3, 0.0)])
def test_a_flag_counts_for_a_fault_until_three_hours_after_its_end(hours_after_the_end: int, recall: float) -> None:
    fault = Fault(FaultKind.SPIKE, 0, 0, 100, 101)
    counts = EpisodeCounts.empty()
    flagged = flags((0, 101 + hours_after_the_end, 0))
    counts.add(flagged, flags((0, 100, 0)), [fault], np.ones_like(flagged))
    assert counts.recall() == recall


def test_f1_is_the_harmonic_mean_and_without_flags_there_is_no_precision() -> None:
    fault, other = Fault(FaultKind.BIAS, 0, 1, 20, 30), Fault(FaultKind.BIAS, 0, 1, 250, 260)
    counts = EpisodeCounts.empty()
    faulty = np.zeros((2, 336, 4), bool)
    faulty[0, 20:30, 1] = faulty[0, 250:260, 1] = True
    counts.add(flags(), faulty, [fault, other], np.ones_like(faulty))
    assert np.isnan(counts.precision)
    assert (counts.recall(), counts.f1, counts.row_scores[1:]) == (0, 0, (0, 0))
    assert np.isnan(counts.recall(FaultKind.SPIKE))
    counts.add(flags((0, 25, 1), (1, 5, 0), (1, 99, 3)), faulty, [fault, other], np.ones_like(faulty))
    assert counts.precision == pytest.approx(1 / 3)
    assert counts.recall() == 1 / 4
    assert counts.f1 == pytest.approx(2 / (3 + 4))
    assert counts.true_episodes.tolist() == [0, 1, 0, 0]
    assert counts.false_episodes.tolist() == [1, 0, 0, 1]
    np.testing.assert_allclose(counts.station_weeks, 2 * 2 * 336 / 168)
    np.testing.assert_allclose(counts.false_alarms, [1 / 8, 0, 0, 1 / 8])
    assert counts.delays == {FaultKind.BIAS: [5]}
