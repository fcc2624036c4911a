from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy.exc import OperationalError

from weatherglass.formatting import count_noun, first_line, format_duration


@pytest.mark.parametrize(("number", "expected"), [(0, "0 alerts"), (1, "1 alert"), (20, "20 alerts")])
def test_only_the_number_one_takes_the_singular(number: int, expected: str) -> None:
    assert count_noun(number, "alert") == expected


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0, "0 s"),
        (119.4, "119 s"),
        (120, "2 min"),
        (7 * 60, "7 min"),
        (7140, "119 min"),
        (7200, "2 h"),
        (3.5 * 3600, "3.5 h"),
        (47.9 * 3600, "47.9 h"),
        (48 * 3600, "2 d"),
        (3.2 * 86400, "3.2 d"),
        (30 * 86400, "30 d"),
        (-42, "-42 s"),
        (-7200, "-2 h"),
        (-48 * 3600, "-2 d"),
    ],
)
def test_a_duration_is_formatted_in_the_unit_that_fits(seconds: float, expected: str) -> None:
    assert format_duration(timedelta(seconds=seconds)) == expected


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (ValueError("first\nsecond"), "first"),
        (ValueError(), "ValueError()"),
        (OperationalError("SELECT 1", {"password": "x"}, Exception("database is locked\nmore")), "database is locked"),
    ],
)
def test_first_line_of_an_error_has_no_sql_and_is_never_empty(error: Exception, expected: str) -> None:
    assert first_line(error) == expected
