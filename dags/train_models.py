"""
### What it does
Trains the forecaster and the anomaly detector as a Ray job and registers them. It runs when there is new history, or
when triggered. If the registry has no champion for this history, a first, smaller model is trained before the full one.
If `WEATHERGLASS_TRAIN_FULL_MODEL` is off, every training has the size of the first model. Nothing is trained if the
history, the size and the code are those of an earlier training. The daily refit (`train_daily`) keeps the trees of the
champion.

### What its log shows
`needs_first_model` and `needs_full_model` show which models are trained and why: how many hours of which stations are
new since the last training, or that nothing is. The training tasks show the output of the Ray job: steps
completed, errors compared with the baselines, the registered version and its role. A forecaster becomes champion if
there is none, or if it is significantly better on the same held-out hours; it becomes challenger if it is not
significantly worse. A new anomaly detector always becomes champion. Ray's dashboard has the complete output; the
registry has parameters, errors by lead and variable, plots, environment and model card. With `search_trials`, that many
sizes of the full model are tried first; each takes about as long as two of the sixteen training steps. A step that
takes longer than a minute is reported every minute. A step that hangs (10 minutes in a first training, an hour in a
full one) is stopped and repeated at most twice; the log shows its stack trace.

### When it fails (triage)
The inference service continues with the current champion. Without any, it forecasts by persistence.
- *The Ray head does not respond*: check that it runs and read its log (docs/troubleshooting.md, *Logs*). A retry
  reattaches to a training that is still running.
- *The Ray job ended as FAILED*: see its last lines in the log. Without history, run `prepare_history`.
- *The Ray job ended as LOST*: the head was restarted; the next try continues with the steps that were not completed.
- To stop a training, mark its task as failed: the Ray job is stopped. Clear the task to continue.
"""

from __future__ import annotations

from airflow.sdk import DAG, Param, TriggerRule, task

from plugins import assets, policy
from plugins.ray_submission.training import TrainingOperator
from plugins.tasks import models

with DAG(
    dag_id="train_models",
    dag_display_name="Train models",
    description="Trains the forecaster and the anomaly detector, with Ray",
    doc_md=__doc__,
    schedule=[assets.HISTORY],
    params={
        "size": Param(
            "auto",
            type="string",
            enum=models.SIZES,
            title="Size",
            description="auto: the first model if there is no champion, the full model unless the settings disable it. "
            "refit: keep the trees of the champion.",
        ),
        "search_trials": Param(
            0,
            type="integer",
            minimum=0,
            maximum=40,
            examples=[0, 5],
            title="Search trials",
            description="Number of random sizes of the full model to try on the calibration hours first, for "
            "example 5. Each takes about as long as two of the sixteen training steps. 0: none.",
        ),
    },
    tags=[policy.TAG, "ray", "models"],
    **policy.DAG_DEFAULTS,
):
    # Short circuits instead of a branch, because Airflow does not skip tasks downstream of a branch that was taken.
    needs_first_model = task.short_circuit(
        task_display_name="First model needed?", ignore_downstream_trigger_rules=False
    )(models.needs_first_model)
    needs_full_model = task.short_circuit(
        task_display_name="Full model needed?",
        ignore_downstream_trigger_rules=False,
        trigger_rule=TriggerRule.NONE_FAILED,
    )(models.needs_full_model)
    train_first = TrainingOperator(size="first", task_display_name="Train the first model")
    train_full = TrainingOperator(
        size="full", task_display_name="Train the full model", options=["--trials", "{{ params.search_trials }}"]
    )

    needs_refit = task.short_circuit(task_display_name="Refit needed?", ignore_downstream_trigger_rules=False)(
        models.needs_refit
    )
    train_refit = TrainingOperator(size="refit", task_display_name="Refit the models")

    needs_first_model() >> train_first >> needs_full_model() >> train_full
    needs_refit() >> train_refit
