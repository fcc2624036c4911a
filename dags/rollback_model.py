"""
### What it does
Makes the previous champion of the forecaster, the anomaly detector or the guidance model the champion again. A
reason is required. The inference actors load that version within seconds, between two batches. User, reason and
versions are written to the promotion log, which cannot be changed afterwards.

### What its log shows
The version that was replaced and the version that is champion now. The promotion log is in the API
(`/weatherglass/models`); the activation of the model is in the task log of `serve_predictions`.

### When it fails (triage)
A failed run changes nothing: the champion is the same as before.
- *No previous champion*: there is none, or all of them are in quarantine. Train a new version with `train_models`.
- *The registry or the store cannot be reached*: check whether the disk is full or the database is down, then clear the
  task.
"""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG, Param, task

from plugins import assets, policy
from plugins.tasks import models

with DAG(
    dag_id="rollback_model",
    dag_display_name="Roll back a model",
    description="Makes the previous champion the champion again",
    doc_md=__doc__,
    schedule=None,
    dagrun_timeout=timedelta(minutes=10),
    params={
        "reason": Param(
            type="string",
            minLength=5,
            examples=["worse than persistence since Monday", "biased at coastal stations"],
            title="Reason",
            description="Required, at least 5 characters. It is stored in the promotion log permanently.",
        ),
        "kind": Param(
            "forecaster", type="string", enum=models.KINDS, title="Model", description="The model to roll back."
        ),
    },
    tags=[policy.TAG, "models"],
    **policy.DAG_DEFAULTS,
):
    roll_back = task(task_display_name="Restore the previous champion", outlets=[assets.MODELS])(models.roll_back)

    roll_back()
