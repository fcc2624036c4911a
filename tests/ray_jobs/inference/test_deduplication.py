from __future__ import annotations

import random
from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from ray_jobs.inference.deduplication import LastPredicted, is_leading
from tests.ray_jobs.windows import START, leading, window, windows_of

SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)


@given(st.integers(0, 24 * 3600))
def test_each_observation_has_exactly_one_leading_window(second: int) -> None:
    time = START + second * SECOND
    windows = windows_of("oslo", {time: 1.0})
    assert len(windows) == 5
    assert [w.window_end for w in windows if is_leading(w)] == [min(w.window_end for w in windows)]


def test_a_leading_window_ends_at_most_60_s_after_its_observation() -> None:
    end = START
    assert is_leading(window("oslo", end, end - 60 * SECOND))
    assert is_leading(window("oslo", end, end - timedelta(milliseconds=1)))
    assert not is_leading(window("oslo", end, end - 61 * SECOND))


def test_the_newest_leading_window_of_each_station_is_selected() -> None:
    first, second = leading("oslo", START), leading("oslo", START + 15 * MINUTE)
    other = leading("bergen", START)
    trailing = windows_of("oslo", {START + 30 * MINUTE: 1.0})[1:]
    selected = LastPredicted().select([second, first, other, *trailing])
    assert {(w.station_id, w.window_end) for w in selected} == {
        ("oslo", second.window_end),
        ("bergen", other.window_end),
    }


def test_a_revision_is_selected_and_a_repeat_or_an_older_record_is_not() -> None:
    last = LastPredicted()
    now, before = leading("oslo", START + 15 * MINUTE), leading("oslo", START)
    last.mark([now])
    assert last.select([now]) == []
    assert last.select([before]) == []
    revised = leading("oslo", START + 15 * MINUTE, 6.0)
    assert last.select([revised]) == [revised]
    last.mark([revised])
    assert last.select([revised, before]) == []


def test_the_last_revision_in_a_batch_is_selected() -> None:
    first, revised = leading("oslo", START), leading("oslo", START, 6.0)
    assert LastPredicted().select([first, revised]) == [revised]


@given(st.data())
def test_in_any_batches_a_record_is_selected_once_and_the_newest_of_a_station_always(
    data: st.DataObject,
) -> None:
    """Batches of any size that may be repeated, as after a crash."""
    times = data.draw(st.lists(st.integers(0, 40), min_size=1, max_size=30))
    stream = [leading("oslo" if n % 2 else "bergen", START + n * MINUTE, float(n)) for n in times]
    last, selected = LastPredicted(), []
    position = 0
    while position < len(stream):
        size = data.draw(st.integers(1, 7))
        batch = stream[position : position + size]
        for _ in range(data.draw(st.integers(1, 2))):
            new = last.select(batch)
            selected += new
            last.mark(batch)
        position += size
    assert len({(w.station_id, w.window_end, w.aggregated_features.temperature.mean) for w in selected}) == len(
        selected
    )
    for station in {w.station_id for w in stream}:
        newest = max(w.window_end for w in stream if w.station_id == station)
        assert max(w.window_end for w in selected if w.station_id == station) == newest


def test_marking_a_replayed_stream_restores_the_state() -> None:
    """A new process marks the records that the old one has processed and selects none of them again."""
    stream = [leading("oslo", START + n * MINUTE, float(n)) for n in (0, 15, 15, 30, 20)]
    old = LastPredicted()
    for record in stream:
        old.select([record])
        old.mark([record])
    new = LastPredicted()
    new.mark(stream)
    shuffled = random.Random(7).sample(stream, len(stream))
    assert new.select(shuffled) == old.select(shuffled) == []
