"""What holds for every DAG: who owns it, when time begins, how often something is tried again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.sdk import ExceptionRetryPolicy, RetryRule

OWNER = "weatherglass"
TAG = "weatherglass"
BEGINNING = datetime(2026, 1, 1, tzinfo=UTC)

HEAVY_POOL = "heavy"
"""One heavy task at a time (preparation, training), so that ingestion is never starved."""

COMMON: dict[str, Any] = {
    "start_date": BEGINNING,
    "catchup": False,
    "max_active_runs": 1,
    "default_args": {"owner": OWNER, "retries": 2, "retry_delay": timedelta(seconds=20)},
}
"""For every DAG."""

LONG_LIVED: dict[str, Any] = COMMON | {
    "schedule": "@once",
    "default_args": {
        "owner": OWNER,
        # More than a month of failures at the longest delay; nobody should have to start a job again by hand.
        "retries": 100_000,
        "retry_delay": timedelta(seconds=5),
        "retry_exponential_backoff": 2,
        "max_retry_delay": timedelta(seconds=30),
        # The delay above grows with every failure of the run's life, which is weeks; it is meant for one that repeats.
        "retry_policy": ExceptionRetryPolicy(
            rules=[RetryRule("plugins.supervision.operator.EndedAfterWork", retry_delay=timedelta(seconds=1))]
        ),
    },
}
"""For a job that never ends: always one run, tried again until a user stops it."""
