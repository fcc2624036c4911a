"""The clock of the replay: never in the future, never backwards."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from producer.replay.clock import ReplayClock, clock_file, open_clock
from weatherglass.files import DamagedFileError
from weatherglass.settings import Settings

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
MINUTES = st.floats(0, 100_000)


@given(hours=st.floats(0, 96), speed=st.floats(1, 3600), first=MINUTES, then=MINUTES)
def test_the_clock_is_never_ahead_and_never_goes_back(hours: float, speed: float, first: float, then: float) -> None:
    clock = ReplayClock(START, START - timedelta(hours=hours), speed)
    early = START + timedelta(minutes=first)
    late = early + timedelta(minutes=then)
    assert clock.time(early) <= early
    assert clock.time(early) <= clock.time(late)


def test_the_clock_runs_fast_until_it_has_caught_up_and_then_in_real_time() -> None:
    clock = ReplayClock(START, START - timedelta(hours=24), 60)
    assert clock.time(START) == START - timedelta(hours=24)
    assert clock.time(START + timedelta(minutes=10)) == START - timedelta(hours=14)
    assert not clock.caught_up(START + timedelta(minutes=24))
    later = START + timedelta(minutes=25)  # 24 h and 24 minutes at 60 times the speed take 24.4 minutes
    assert clock.caught_up(later)
    assert clock.time(later) == later


def test_the_clock_follows_a_real_clock_that_is_set_back() -> None:
    clock = ReplayClock(START, START - timedelta(hours=1), 60)
    assert clock.time(START - timedelta(hours=5)) == START - timedelta(hours=5)


def test_a_restart_continues_with_the_same_clock(tmp_path: Path) -> None:
    settings = Settings(state_dir=tmp_path)
    clock = open_clock(settings, START)
    later = START + timedelta(minutes=7)
    assert open_clock(settings, later) == clock
    assert clock.time(START) == START - timedelta(hours=settings.replay_start_hours)


@given(speeds=st.lists(st.floats(1, 3600), min_size=2, max_size=4), pause=st.floats(0, 60))
def test_changed_settings_never_set_the_clock_back(
    tmp_path_factory: pytest.TempPathFactory, speeds: list[float], pause: float
) -> None:
    folder, now, times = tmp_path_factory.mktemp("clock"), START, []
    for speed in speeds:
        clock = open_clock(Settings(state_dir=folder, replay_speed=speed), now)
        times.append(clock.time(now))
        now += timedelta(minutes=pause)
        times.append(clock.time(now))
    assert times == sorted(times)


@pytest.mark.parametrize(
    "content", ["", '{"sta', "[]", '{"started": 3}', '{"started": "x", "origin": "x", "speed": 1}']
)
def test_a_damaged_file_is_named_and_removing_it_starts_a_new_clock(tmp_path: Path, content: str) -> None:
    settings = Settings(state_dir=tmp_path)
    open_clock(settings, START)
    clock_file(settings).write_text(content)
    with pytest.raises(DamagedFileError) as error:
        open_clock(settings, START)
    assert error.value.file == clock_file(settings)
    clock_file(settings).unlink()
    open_clock(settings, START)


def test_a_clock_is_kept_in_a_state_folder_that_does_not_exist_yet(tmp_path: Path) -> None:
    settings = Settings(state_dir=tmp_path / "new" / "state")
    clock = open_clock(settings, START)
    assert open_clock(settings, START + timedelta(minutes=7)) == clock
