"""How long the state of a station is kept."""

from __future__ import annotations

from datetime import timedelta

from spark_jobs.stream_records import state_retention
from weatherglass.settings import Settings


def test_the_state_is_kept_for_the_past_horizon_the_retention_of_the_topic_and_the_tolerance() -> None:
    """`weather-raw` keeps messages for seven days."""
    settings = Settings(past_horizon_hours=120, future_tolerance_minutes=7.5)
    assert state_retention(settings) == timedelta(days=12, minutes=7.5)
