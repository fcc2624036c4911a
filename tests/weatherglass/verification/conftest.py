"""A store, and synthetic forecasts and observations."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import Engine

from weatherglass.records import (
    LEADS,
    VARIABLES,
    Anomaly,
    Bounds,
    Confidence,
    Flag,
    Interval,
    Method,
    Observation,
    Prediction,
    Predictions,
)
from weatherglass.store.engine import open_store
from weatherglass.store.migrate import migrate

MONDAY = datetime(2026, 1, 5, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Engine]:
    url = f"sqlite:///{tmp_path / 'state' / 'weatherglass.db'}"
    migrate(url)
    engine = open_store(url)
    yield engine
    engine.dispose()


def observed(
    hours: int, station_id: str = "boston", start: datetime = MONDAY, seed: int = 0, random_walk: bool = True
) -> list[Observation]:
    """Observations at every full hour: a random walk, or noise around fixed values."""
    rng = np.random.default_rng([seed, len(station_id)])
    walk = rng.normal(size=(hours, 4))
    walk = walk.cumsum(axis=0) if random_walk else walk
    return [
        Observation(
            station_id=station_id,
            timestamp=start + hour * HOUR,
            temperature=round(5 + step[0], 1),
            humidity=round(float(np.clip(60 + step[1], 0, 100)), 1),
            pressure=round(1010 + step[2], 1),
            wind_speed=round(abs(4 + step[3]), 1),
            wind_direction=220.0,
        )
        for hour, step in enumerate(walk)
    ]


def forecast(
    time: datetime,
    station_id: str = "boston",
    version: str = "7",
    method: Method = Method.MODEL,
    seed: int = 0,
    half_width: float = 3.0,
    flagged: str = "",
) -> Prediction:
    """A forecast around fixed values; the base hour is the hour that contains `time`.

    Args:
        half_width: of the 90 % interval; the 80 % interval is half as wide.
        flagged: the variable with an anomaly flag, if any.
    """
    rng = np.random.default_rng([seed, int(time.timestamp())])
    base = time.replace(minute=0)
    valid = [base + lead * HOUR for lead in LEADS]
    values = np.round(np.array([5.0, 60.0, 1010.0, 4.0]) + rng.normal(size=(len(LEADS), 4)), 2)

    def paths(shift: float) -> dict[str, list[float]]:
        return {name: (values[:, i] + shift).tolist() for i, name in enumerate(VARIABLES)}

    return Prediction(
        station_id=station_id,
        timestamp=time,
        predictions=Predictions(valid_times=valid, **paths(0), model_version=version, method=method),
        anomaly=Anomaly(
            is_anomaly=bool(flagged),
            score=0.9 if flagged else 0.1,
            checks={},
            reasons=[],
            flags=[Flag(variable=flagged, check="step", severity=0.9, reason="", onset=time)] if flagged else [],
            model_version="3",
        ),
        confidence=Confidence(
            level=0.9,
            lower=Bounds(**paths(-half_width)),
            upper=Bounds(**paths(half_width)),
            history_hours=72,
            others=[Interval(level=0.8, lower=Bounds(**paths(-half_width / 2)), upper=Bounds(**paths(half_width / 2)))],
        ),
    )
