"""
### What it does
Judges every station's day: what came of what was expected, how late it arrived, what failed its checks, the longest
gap, and when it was up, late, silent or suspect. The report, worst stations first, is a page to mail to who looks after
the stations, and a CSV file. Both lie in `reports` in the state folder; the figures are kept in the store.

### What its log shows
How many stations were up all day, the five worst with what was wrong, and where the files are.

### When it is red (triage)
Nothing else depends on it; a run for the same day makes it again.
- *The store cannot be read*: see `store_predictions`.
- *No space left*: the state folder's disk is full.
"""

from __future__ import annotations

import logging
from datetime import UTC, date, datetime, timedelta
from typing import Any

from airflow.sdk import DAG, Param, task

from plugins import assets, policy
from weatherglass.settings import load_settings

with DAG(
    dag_id="report_stations",
    description="How every station did yesterday: a page and a table",
    doc_md=__doc__,
    schedule="20 0 * * *",
    dagrun_timeout=timedelta(minutes=30),
    params={
        "day": Param(
            None, type=["null", "string"], format="date", description="UTC day, `2026-01-05`; empty: yesterday."
        )
    },
    tags=[policy.TAG, "monitoring", "stations"],
    **policy.COMMON,
):

    @task(inlets=[assets.STORE], execution_timeout=timedelta(minutes=15))
    def report(params: dict[str, Any] | None = None) -> list[str]:
        from weatherglass.monitor.station_report import make_report, summary

        now = datetime.now(UTC)
        asked = (params or {}).get("day")
        day = date.fromisoformat(asked) if asked else now.date() - timedelta(days=1)
        days, page, table = make_report(load_settings(), day, now)
        log = logging.getLogger("airflow.task")
        log.info("%s: %s", day, summary(days))
        for one in days[:5]:
            gap = timedelta(seconds=one.longest_gap)
            log.info("%s: %d of %d received, longest gap %s", one.station_id, one.received, one.expected, gap)
        log.info("written: %s and %s", page, table)
        return [str(page), str(table)]

    report()
