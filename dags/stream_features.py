"""
### What it does
Runs the Spark job that turns `weather-raw` into windowed features on `weather-features`, and what cannot be used into
`weather-rejected` with its reason. It never ends: there is always one run, and never two processes of it.

### What its log shows
Every few seconds a line of progress: batch, rows a second, lag, watermark. After a restart of Airflow it goes on with
the same process. All of the job's own output is in `jobs/stream_features/job.log` in the state folder.

### When it is red, or tried again (triage)
A failed try shows the job's last words, and the next try goes on from the checkpoint: nothing is lost or doubled. A
run that is *failed* as a whole was stopped by somebody.
- *To stop it*: mark the run failed; it finishes its batch first. *To start it again*: clear the task, or trigger.
- *No job host took the request*: see whether it runs, and read its log (docs/troubleshooting.md, *Logs*).
- *Made no progress*: the job hung and was killed. If that repeats, see whether the broker answers.
- *OutOfMemoryError*: raise `WEATHERGLASS_SPARK_MEMORY_MB`.
- Try after try with the same words: it is a fault that a restart does not cure; the words name it.
"""

from __future__ import annotations

from airflow.sdk import DAG

from plugins import assets, policy
from plugins.supervision.spark_stream import SparkStreamOperator
from spark_jobs.spark_conf import environment, stream_conf
from weatherglass.settings import PROJECT_ROOT, load_settings

settings = load_settings()

with DAG(
    dag_id="stream_features",
    description="Long-lived: windowed features from observations, with Spark",
    doc_md=__doc__,
    tags=[policy.TAG, "spark", "long-lived"],
    **policy.LONG_LIVED,
):
    SparkStreamOperator(
        task_id="stream_features",
        folder=settings.jobs_dir / "stream_features",
        application=PROJECT_ROOT / "spark_jobs" / "stream_features.py",
        conf=stream_conf(settings),
        environment=environment(settings),
        inlets=[assets.RAW],
        outlets=[assets.FEATURES, assets.REJECTED],
    )
