"""
### What it does
Runs every hour, and every five minutes with the replay, whose first day passes in 24 minutes. Compares the stored
forecasts with observations and stores errors, coverage and skill against persistence and the damped anomaly, by
version, lead, variable, station and day, and errors next to those of raw guidance, where the observations are not from
Open-Meteo. Late observations update the days they belong to; a second run changes
nothing. A new version is first scored on the last 30 days of history, marked as hindcast. Once a day the challenger is
tested against the champion and promoted or withdrawn, and the values and intervals of each station are recalibrated
with the errors of the last 60 days. An alert is raised when a model in service degrades.
A training on all data (`prepare_history`, then `train_models`) is started after degradation, but not within
`WEATHERGLASS_RETRAIN_COOLDOWN_HOURS` hours of the last one.

### What its log shows
`verify`: the days scored, the table behind the decision about a challenger, changes of the recalibration, and one
sentence per alert. `should_retrain`: whether a training is due, and why. `fail_if_degraded` repeats the alerts, and
fails if there are any.

### When it fails (triage)
No other DAG depends on it; forecasts continue.
- *`fail_if_degraded` failed*: a model in service has degraded. The log names the rule, the version and the values. The
  alert stays in the API and on the dashboard until it is resolved. `rollback_model` returns to the previous version.
- *`verify` failed*: the store or the registry did not respond. The next run catches up.
"""

from __future__ import annotations

from datetime import timedelta

from airflow.providers.standard.operators.trigger_dagrun import TriggerDagRunOperator
from airflow.sdk import DAG, task

from plugins import assets, policy
from plugins.tasks import verification
from weatherglass.settings import Source, load_settings

with DAG(
    dag_id="verify_forecasts",
    dag_display_name="Verify forecasts",
    description="Compares forecasts with observations and detects degraded models",
    doc_md=__doc__,
    schedule="*/5 * * * *" if load_settings().source is Source.REPLAY else "7 * * * *",
    dagrun_timeout=timedelta(minutes=50),
    tags=[policy.TAG, "models", "verification"],
    **policy.DAG_DEFAULTS,
):
    verify = task(
        task_display_name="Score forecasts",
        inlets=[assets.STORE, assets.MODELS],
        outlets=[assets.SCORES],
        execution_timeout=timedelta(minutes=30),
    )(verification.verify)
    should_retrain = task.short_circuit(task_display_name="Retraining due?", ignore_downstream_trigger_rules=False)(
        verification.should_retrain
    )
    fail_if_degraded = task(task_display_name="Fail if a model is degraded")(verification.fail_if_degraded)
    retrain = TriggerDagRunOperator(
        task_id="retrain", task_display_name="Start a retraining", trigger_dag_id="prepare_history"
    )

    alerts = verify()
    should_retrain(alerts) >> retrain  # type: ignore[arg-type]
    fail_if_degraded(alerts)  # type: ignore[arg-type]
