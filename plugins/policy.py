"""Common arguments of all DAGs: owner, start date, retries."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.sdk import Param

OWNER = "weatherglass"
TAG = "weatherglass"
START_DATE = datetime(2026, 1, 1, tzinfo=UTC)

HEAVY_POOL = "heavy"
"""Pool with one slot for heavy tasks (preparation, training), so that they do not slow down ingestion."""

DAG_DEFAULTS: dict[str, Any] = {
    "start_date": START_DATE,
    "catchup": False,
    "max_active_runs": 1,
    "default_args": {"owner": OWNER, "retries": 2, "retry_delay": timedelta(seconds=20)},
}
"""Arguments of DAGs whose runs end."""

LONG_LIVED_DEFAULTS: dict[str, Any] = DAG_DEFAULTS | {
    "schedule": "@once",
    "default_args": {
        "owner": OWNER,
        # More than a month of failures at the longest delay, so that a job never has to be restarted by hand.
        "retries": 100_000,
        "retry_delay": timedelta(seconds=5),
        "retry_exponential_backoff": 2,
        "max_retry_delay": timedelta(seconds=30),
    },
}
"""Arguments of DAGs of long-lived jobs: always one run, retried until a user stops it."""


def optional_text(title: str, description: str, examples: list[str], text_format: str | None = None) -> Param:
    """A DAG parameter that may stay empty in the trigger form.

    Its default is null: Airflow's form treats an empty string as a missing value and disables the button.

    Args:
        examples: the form suggests them, unless `text_format` gives the field a calendar.
        text_format: a format of JSON Schema, such as `date` or `date-time`.
    """
    schema: dict[str, Any] = {"format": text_format} if text_format else {}
    return Param(None, type=["null", "string"], title=title, description=description, examples=examples, **schema)
