from __future__ import annotations

from datetime import timedelta

import pytest

from weatherglass.formatting import count_noun, format_duration


@pytest.mark.parametrize(("number", "expected"), [(0, "0 alerts"), (1, "1 alert"), (20, "20 alerts")])
def test_only_the_number_one_takes_the_singular(number: int, expected: str) -> None:
    assert count_noun(number, "alert") == expected


def test_durations_use_the_unit_that_fits() -> None:
    durations = [
        timedelta(seconds=42),
        timedelta(minutes=7),
        timedelta(hours=3),
        timedelta(hours=3.5),
        timedelta(days=3.2),
        timedelta(days=30),
    ]
    assert [format_duration(duration) for duration in durations] == ["42 s", "7 min", "3 h", "3.5 h", "3.2 d", "30 d"]
