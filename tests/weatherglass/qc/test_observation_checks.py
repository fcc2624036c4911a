from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from weatherglass.qc.observation_checks import RejectionReason, check_timestamp
from weatherglass.settings import Settings

ARRIVED = datetime(2026, 1, 5, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)


@pytest.mark.parametrize(
    ("offset", "reason"),
    [
        (timedelta(0), None),
        (timedelta(minutes=7), None),
        (timedelta(minutes=7) + SECOND, RejectionReason.FUTURE),
        (-timedelta(hours=100), None),
        (-timedelta(hours=100) - SECOND, RejectionReason.PAST),
    ],
)
def test_a_timestamp_too_far_from_its_arrival_is_rejected(offset: timedelta, reason: RejectionReason | None) -> None:
    settings = Settings(future_tolerance_minutes=7, past_horizon_hours=100)
    assert check_timestamp(ARRIVED + offset, ARRIVED, settings) is reason
