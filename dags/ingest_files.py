"""
### What it does
Watches the folder `WEATHERGLASS_INCOMING_DIR` (by default `incoming` in the state folder) for files of your own
stations and publishes their readings to `weather-raw`: CSV and other text files with a header, Parquet files, and
copies of weewx's archive database. The task `wait` waits in the triggerer, without a process, until a file has not
changed for ten seconds; `publish` then publishes it and moves it to `done`, or to `failed` if nothing of it could be
used. The next run begins immediately. docs/own-stations.md describes the files.

### What its log shows
`publish` shows for each file the number of observations published, and a `WARNING` for each kind of line or column that
is not used, with its lines. The report next to the moved file (`….report.json`) contains the same.

### When it fails (triage)
The files stay in the folder, and the next run processes them. After an interruption a file is processed again from its
beginning; the pipeline recognizes observations that it has received already.
- *A file is in `failed`*: its report says why. Correct the file or its mapping, and move it into the folder again.
- *`unknown_station`*: add the station with `weatherglass stations add`.
- *Observations were not acknowledged*: the broker does not respond; check that it runs.
- *A file cannot be moved*: make the folder writable for Weatherglass.
- *Stop*: pause the DAG and mark its run as failed.
"""

from __future__ import annotations

from airflow.sdk import DAG, task

from plugins import assets, policy
from plugins.incoming_files import WaitForFilesOperator
from plugins.tasks import own_files

with DAG(
    dag_id="ingest_files",
    dag_display_name="Ingest files",
    description="Watches a folder and publishes the files of your own stations to weather-raw",
    doc_md=__doc__,
    schedule="@continuous",
    tags=[policy.TAG, "kafka", "ingestion"],
    **policy.DAG_DEFAULTS,
):
    wait = WaitForFilesOperator(task_id="wait", task_display_name="Wait for files")
    publish = task(task_id="publish", task_display_name="Publish readings", outlets=[assets.RAW])(
        own_files.import_files
    )

    publish(wait.output)  # type: ignore[arg-type]
