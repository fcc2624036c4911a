"""
### What it does
Starts the daily refit, at `WEATHERGLASS_DAILY_TRAINING_CRON`: `prepare_history` adds the observations of complete days,
and then `train_models` fits climatology, damped anomaly and spatial regression again, calibrates the intervals and sets
the limits of flags. The trees are those of the champion. A refit becomes champion unless it is significantly worse on
the same held-out hours, or the champion is being compared with a challenger; then only the limits of flags change.

### What its log shows
`new_observations`: how many observations have been stored since the last preparation, or why nothing is started.

### When it fails (triage)
Models in service do not change. *The store or the registry did not respond*: clear the task, or wait for the next day.
"""

from __future__ import annotations

from airflow.providers.standard.operators.trigger_dagrun import TriggerDagRunOperator
from airflow.sdk import DAG, task

from plugins import policy
from plugins.tasks import retraining
from weatherglass.settings import load_settings

with DAG(
    dag_id="train_daily",
    dag_display_name="Train models daily",
    description="Starts the daily refit of the models",
    doc_md=__doc__,
    schedule=load_settings().daily_training_cron or None,
    tags=[policy.TAG, "models"],
    **policy.DAG_DEFAULTS,
):
    new_observations = task.short_circuit(task_display_name="New observations?")(retraining.new_observations)
    prepare = TriggerDagRunOperator(
        task_id="prepare",
        task_display_name="Start the preparation",
        trigger_dag_id="prepare_history",
        conf={"training": "refit"},
    )

    new_observations(training="refit") >> prepare
