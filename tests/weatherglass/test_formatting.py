from __future__ import annotations

from datetime import timedelta

import pytest

from weatherglass.formatting import count_noun, format_duration


@pytest.mark.parametrize(("number", "said"), [(0, "0 alerts"), (1, "1 alert"), (20, "20 alerts")])
def test_one_is_not_many(number: int, said: str) -> None:
    assert count_noun(number, "alert") == said


def test_ages_in_words() -> None:
    ages = [
        timedelta(seconds=42),
        timedelta(minutes=7),
        timedelta(hours=3),
        timedelta(hours=3.5),
        timedelta(days=3.2),
        timedelta(days=30),
    ]
    assert [format_duration(age) for age in ages] == ["42 s", "7 min", "3 h", "3.5 h", "3.2 d", "30 d"]
