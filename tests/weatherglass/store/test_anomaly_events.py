from __future__ import annotations

import random
from datetime import timedelta
from itertools import pairwise

import pytest

from tests.weatherglass.store.samples import NOON
from weatherglass.records import Quality
from weatherglass.store.anomalies import ScoredReading
from weatherglass.store.anomaly_events import MAX_GAP, group_events


def flagged(reading_id: int, minute: float, *kinds: str, station: str = "kiel", score: float = 0.9) -> ScoredReading:
    timestamp = NOON + timedelta(minutes=minute)
    anomaly = {"checks": dict.fromkeys(kinds, Quality.FAILED.value), "reasons": [], "model_version": None}
    return ScoredReading(reading_id, station, timestamp, True, score, anomaly, "7", None, timestamp)


GAP = MAX_GAP / timedelta(minutes=1)


@pytest.mark.parametrize(
    ("second", "together"),
    [
        (flagged(2, GAP, "step"), True),
        (flagged(2, GAP + 1, "step"), False),
        (flagged(2, 5, "step", "range"), True),
        (flagged(2, 5, "range"), False),
        (flagged(2, 5, "step", station="bonn"), False),
    ],
)
def test_flags_are_one_event_if_station_and_a_check_agree_and_the_gap_is_short(
    second: ScoredReading, together: bool
) -> None:
    assert len(group_events([flagged(1, 0, "step"), second])) == (1 if together else 2)


def test_an_event_has_onset_end_all_kinds_and_the_worst_reading() -> None:
    readings = [
        flagged(1, 0, "flat_line", score=0.5),
        flagged(2, 60, "flat_line", "forecast_residual", score=0.95),
        flagged(3, 120, "forecast_residual", score=0.95),
    ]
    (event,) = group_events(reversed(readings))
    assert (event.id, event.onset, event.end) == (1, readings[0].timestamp, readings[2].timestamp)
    assert (event.kinds, event.worst.id) == ({"flat_line", "forecast_residual"}, 2)


def test_two_faults_of_a_station_at_the_same_time_stay_apart() -> None:
    readings = [flagged(number, 5 * number, ("step", "range")[number % 2]) for number in range(10)]
    assert [{r.id for r in event.readings} for event in group_events(readings)] == [{1, 3, 5, 7, 9}, {0, 2, 4, 6, 8}]


def test_the_order_of_the_readings_does_not_matter_and_none_is_lost() -> None:
    rng = random.Random(5)
    kinds = ("step", "range", "flat_line")
    readings = [
        flagged(number, 20 * rng.randrange(200), *rng.sample(kinds, rng.randint(1, 2)), station=rng.choice("ab"))
        for number in range(200)
    ]
    events = group_events(readings)
    assert sorted(r.id for event in events for r in event.readings) == list(range(200))
    assert [event.end for event in events] == sorted((event.end for event in events), reverse=True)
    for event in events:
        times = [reading.timestamp for reading in event.readings]
        assert all(later - earlier <= MAX_GAP for earlier, later in pairwise(times))
    shuffled = rng.sample(readings, len(readings))
    assert [event.readings for event in group_events(shuffled)] == [event.readings for event in events]
