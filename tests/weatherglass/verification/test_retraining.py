"""When a training is due."""

from __future__ import annotations

from datetime import datetime
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import Engine, select

from tests.weatherglass.verification.conftest import HOUR, MONDAY
from weatherglass.store.schema import retraining_requests
from weatherglass.verification import retraining
from weatherglass.verification.retraining import RetrainingCode, decide, request_if_due

NOW = MONDAY


def with_models(monkeypatch: pytest.MonkeyPatch, forecaster_hours: list[float]) -> None:
    """Registered forecasters of these ages, and a newer refit and anomaly detector."""
    models = [SimpleNamespace(kind="forecaster", created_at=NOW - hours * HOUR, tags={}) for hours in forecaster_hours]
    models.append(SimpleNamespace(kind="anomaly-detector", created_at=NOW - HOUR, tags={}))
    refit = {"trees_last_hour": "2026-01-01T00:00:00Z"}
    models += [SimpleNamespace(kind="forecaster", created_at=NOW - HOUR, tags=refit) for _ in forecaster_hours[:1]]
    monkeypatch.setattr(retraining, "registered_models", lambda _: models)


def settings(cool_down_hours: float) -> Any:
    return SimpleNamespace(retrain_cooldown_hours=cool_down_hours)


@pytest.mark.parametrize(
    ("age_hours", "degraded", "code", "due"),
    [
        (23, True, RetrainingCode.COOL_DOWN, False),
        (24, True, RetrainingCode.DEGRADED, True),
        (25, False, RetrainingCode.NOT_NEEDED, False),
        (365 * 24, False, RetrainingCode.NOT_NEEDED, False),
    ],
)
def test_a_training_is_due_on_degradation_after_the_cool_down(
    monkeypatch: pytest.MonkeyPatch, age_hours: float, degraded: bool, code: RetrainingCode, due: bool
) -> None:
    with_models(monkeypatch, [age_hours, 9000])
    decision = decide(settings(24.0), NOW, degraded, None)
    assert (decision.code, decision.due) == (code, due)


def test_without_a_forecaster_no_training_is_due(monkeypatch: pytest.MonkeyPatch) -> None:
    with_models(monkeypatch, [])
    decision = decide(settings(24.0), NOW, True, None)
    assert (decision.code, decision.due) == (RetrainingCode.NO_MODEL, False)


def test_a_failed_training_is_requested_again_only_after_the_cool_down(
    store: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No new model is registered, so the cool-down starts at the last request."""
    with_models(monkeypatch, [30 * 24])
    times: list[datetime] = [NOW + hour * HOUR for hour in range(7)]
    with store.begin() as connection:
        due = [request_if_due(connection, settings(3.0), time, degraded=True).due for time in times]
        requests = connection.execute(select(retraining_requests.c.at)).scalars().all()
    assert due == [True, False, False, True, False, False, True]
    assert requests == [time for time, is_due in zip(times, due, strict=True) if is_due]
