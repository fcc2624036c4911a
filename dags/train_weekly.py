"""
### What it does
Starts the weekly training, at `WEATHERGLASS_WEEKLY_TRAINING_CRON`: `prepare_history` adds the observations of complete
days, and `train_models` trains the forecaster and the anomaly detector in the configured size.

### What its log shows
`new_observations`: how many observations have been stored since the last preparation, or why nothing is started.

### When it fails (triage)
Models in service do not change. *The store or the registry did not respond*: clear the task, or trigger
`prepare_history`.
"""

from __future__ import annotations

from airflow.providers.standard.operators.trigger_dagrun import TriggerDagRunOperator
from airflow.sdk import DAG, task

from plugins import policy
from plugins.tasks import retraining
from weatherglass.settings import load_settings

with DAG(
    dag_id="train_weekly",
    dag_display_name="Train models weekly",
    description="Starts the weekly training of the models",
    doc_md=__doc__,
    schedule=load_settings().weekly_training_cron or None,
    tags=[policy.TAG, "models"],
    **policy.DAG_DEFAULTS,
):
    new_observations = task.short_circuit(task_display_name="New observations?")(retraining.new_observations)
    prepare = TriggerDagRunOperator(
        task_id="prepare",
        task_display_name="Start the preparation",
        trigger_dag_id="prepare_history",
        conf={"training": "auto"},
    )

    new_observations(training="auto") >> prepare
