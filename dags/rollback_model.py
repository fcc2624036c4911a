"""
### What it does
Makes the previous champion serve again, of the forecaster or of the anomaly detector, by hand and with a reason. The
inference actors take it up within seconds, between two batches. Who, why and which versions is written to the log of
promotions, which nobody can change.

### What its log shows
The version that served and the one that serves now. The promotions are in the API (`/weatherglass/models`), the swap
itself in the task log of `serve_predictions`.

### When it is red (triage)
Nothing has changed then: the champion is the same as before.
- *No version served before*: there is nothing to go back to, or all earlier ones are in quarantine. Train a new one
  with `train_models`.
- *The registry or the store cannot be reached*: see whether the disk is full or the database down; then clear the task.
"""

from __future__ import annotations

import logging
from datetime import timedelta

from airflow.sdk import DAG, Param, task

from plugins import assets, policy
from weatherglass.settings import load_settings

with DAG(
    dag_id="rollback_model",
    description="Makes the previous champion serve again",
    doc_md=__doc__,
    schedule=None,
    dagrun_timeout=timedelta(minutes=10),
    params={
        "reason": Param(
            type="string", minLength=5, title="Reason", description="Why; kept in the log of promotions for good."
        ),
        "kind": Param(
            "forecaster",
            type="string",
            enum=["forecaster", "anomaly-detector"],
            title="Model",
            description="Which of the two models goes back.",
        ),
    },
    tags=[policy.TAG, "models"],
    **policy.COMMON,
):

    @task(outlets=[assets.MODELS])
    def roll_back(params: dict[str, str] | None = None, dag_run: object = None) -> str:
        from weatherglass.registry.registry import NothingToRollBackTo, Registry

        chosen = params or {}
        who = getattr(dag_run, "triggering_user_name", None) or "rollback_model"
        try:
            done = Registry(load_settings()).roll_back(chosen["kind"], str(who), chosen["reason"])
        except NothingToRollBackTo as error:
            from airflow.sdk.exceptions import AirflowFailException

            raise AirflowFailException(str(error)) from None
        logging.getLogger("airflow.task").info(
            "%s: version %s serves again instead of %s (%s)",
            *(done.kind, done.to_version, done.from_version, done.why),
        )
        return str(done.to_version)

    roll_back()
