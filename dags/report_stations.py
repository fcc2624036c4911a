"""
### What it does
Writes a report on every station's day: observations received and expected, delay, longest gap, failed checks, and the
periods in which the station was up, late, silent or suspect. The report, worst stations first, is an HTML page and a
CSV file. Both are in `reports` in the state folder; the values are saved in the store. The page is sent by e-mail if
the connection `alerts_email` exists.

### What its log shows
How many stations were up all day, the five worst stations with their figures, and the paths of the files.

### When it fails (triage)
No other DAG depends on it. A run for the same day replaces the report.
- *The store cannot be read*: see `store_predictions`.
- *No space left*: the disk of the state folder is full.
- *The mail server did not accept it*: the report is written; correct the connection `alerts_email` and clear the task.
"""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG, task

from plugins import assets, policy
from plugins.tasks import station_report

with DAG(
    dag_id="report_stations",
    dag_display_name="Report on stations",
    description="Daily report on all stations",
    doc_md=__doc__,
    schedule="20 0 * * *",
    dagrun_timeout=timedelta(minutes=30),
    params={"day": policy.optional_text("Day", "Day in UTC. Empty: yesterday.", ["2026-01-05"], "date")},
    tags=[policy.TAG, "monitoring", "stations"],
    **policy.DAG_DEFAULTS,
):
    report = task(task_display_name="Write the report", inlets=[assets.STORE], execution_timeout=timedelta(minutes=15))(
        station_report.report
    )

    report()
