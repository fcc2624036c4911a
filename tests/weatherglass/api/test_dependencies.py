from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.conftest import make_settings
from weatherglass.api.dependencies import resolve_range, source_of
from weatherglass.api.problems import Problem
from weatherglass.record_headers import Origin
from weatherglass.settings import Source

NOW = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)
DAY, WEEK, SECOND = timedelta(days=1), timedelta(days=7), timedelta(seconds=1)


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        (None, None, (NOW + SECOND - DAY, NOW + SECOND)),
        (None, NOW - DAY, (NOW - 2 * DAY, NOW - DAY)),
        (NOW - 3 * DAY, None, (NOW - 3 * DAY, NOW + SECOND)),
        (NOW - WEEK, NOW, (NOW - WEEK, NOW)),
    ],
)
def test_range_defaults_end_now_and_span_a_day(
    start: datetime | None, end: datetime | None, expected: tuple[datetime, datetime]
) -> None:
    assert resolve_range(start, end, NOW, default_span=DAY, max_span=WEEK) == expected


@pytest.mark.parametrize(("start", "end"), [(NOW, NOW), (NOW, NOW - SECOND), (NOW - WEEK - SECOND, NOW)])
def test_an_empty_or_too_long_range_is_invalid(start: datetime, end: datetime) -> None:
    with pytest.raises(Problem) as error:
        resolve_range(start, end, NOW, default_span=DAY, max_span=WEEK)
    assert error.value.kind.code == "invalid_range"


@pytest.mark.parametrize(
    ("stored", "configured", "expected"),
    [
        (Origin.REPLAY, Source.OPEN_METEO, Origin.REPLAY),
        (None, Source.OPEN_METEO, Origin.OPEN_METEO),
        (None, Source.AUTO, None),
    ],
)
def test_stored_source_has_precedence_over_the_configured_one(
    tmp_path: Path, stored: Origin | None, configured: Source, expected: Origin | None
) -> None:
    settings = make_settings(tmp_path).model_copy(update={"source": configured})
    assert source_of(stored, settings) == expected
