"""Station files that tests write, and how they read them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from weatherglass.history.sources.refusal import Refusal, RefusedError
from weatherglass.history.sources.series_file import Statements, StationSeries, read_series

NOW = datetime(2026, 6, 1, tzinfo=UTC)
HOURS = [datetime(2021, 2, 20, tzinfo=UTC) + timedelta(hours=i) for i in range(24)]


def write(path: Path, *lines: str, encoding: str = "utf-8", end: str = "\n") -> Path:
    path.write_bytes((end.join(lines) + end).encode(encoding))
    return path


def hourly(path: Path, time_of: Callable[[datetime], str], header: str = "time", delimiter: str = ";") -> Path:
    """A file of 24 hours, the temperature is the hour of the day."""
    rows = [f"{time_of(time)}{delimiter}{i}.5" for i, time in enumerate(HOURS)]
    return write(path, f"{header}{delimiter}temperature (°C)", *rows)


def read(path: Path, stated: Statements | None = None) -> StationSeries:
    return read_series(path, NOW, stated)


def refusal_of(path: Path, stated: Statements | None = None) -> Refusal:
    with pytest.raises(RefusedError) as caught:
        read(path, stated)
    assert str(path) in str(caught.value)
    return caught.value.refusal


def seconds(times: list[datetime]) -> np.ndarray:
    return np.array([time.astimezone(UTC).replace(tzinfo=None) for time in times], dtype="datetime64[s]")
