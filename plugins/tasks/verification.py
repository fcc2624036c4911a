"""Tasks of the DAG `verify_forecasts`."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import Any

from plugins.run_notes import summarize
from weatherglass.formatting import count_noun
from weatherglass.settings import load_settings

log = logging.getLogger("airflow.task")


def verify(ti: Any = None) -> list[str]:
    """Run the verification and return the messages of its open alerts."""
    from weatherglass.verification.sequential_test import Decision
    from weatherglass.verification.verification_run import VerificationRun

    run = VerificationRun(load_settings(), log.info)
    now = datetime.now(UTC)
    result = run.verify(now)
    run.hindcast(now)
    run.recalibrate(now)
    test = run.compare(now)
    alerts = run.check_degradation(now)
    summary = [f"{count_noun(result.pairs, 'forecast value')} verified"]
    if test and run.versions.pair and test.decision is not Decision.WAIT:
        action = "promoted" if test.decision is Decision.PROMOTE else "withdrawn"
        summary.append(f"version {run.versions.pair[1]} {action}")
    if alerts:
        summary.append(f"{count_noun(len(alerts), 'alert')} about models in service")
    summarize(ti, ", ".join(summary))
    return [alert.message for alert in alerts]


def should_retrain(alerts: list[str]) -> bool:
    """Whether a training is due because of alerts; records the request if it is."""
    from weatherglass.store.engine import open_store
    from weatherglass.verification.retraining import request_if_due

    settings = load_settings()
    with open_store(settings.store_url).begin() as connection:
        decision = request_if_due(connection, settings, datetime.now(UTC), degraded=bool(alerts))
    log.info(decision.reason)
    return decision.due


def fail_if_degraded(alerts: list[str]) -> None:
    """Fail if there are alerts about a model in service.

    Raises:
        AirflowFailException: with the messages of the alerts.
    """
    from airflow.sdk.exceptions import AirflowFailException

    if alerts:
        raise AirflowFailException("A model in service is degraded. " + " ".join(alerts))
