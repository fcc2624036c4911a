"""
### What it does
Every hour it pairs the stored forecasts with what came true and keeps errors, coverage and skill against persistence
and the damped anomaly, per version, lead, variable, station and day. Late observations change the days they belong to;
a second run changes nothing. A new version is first scored on the last 30 days of history, marked as hindcast. Once a
day a challenger is tested against the champion, and promoted or withdrawn, and each station's intervals are made wider
or narrower by what came true in the last 60 days. Where a model in service has become worse,
an alert is raised. A training on all that has been gathered (`prepare_history`, then `train_models`) starts every
`WEATHERGLASS_RETRAIN_DAYS`, and on degradation, but not within `WEATHERGLASS_RETRAIN_COOLDOWN_HOURS` of the last.

### What its log shows
`verify`: the days that were scored anew, the table of the decision about a challenger, by how much the intervals have
been changed, and what is wrong, in a sentence each. `may_retrain`: whether a training is due, and why. `report` repeats
what is wrong, and fails while there is any.

### When it is red (triage)
Nothing in the pipeline waits for this; forecasts go on.
- *`report` is red*: a model in service is worse than it was. Its log names the rule, the version and the figures; the
  alert is in the API and on the dashboard until the rule finds it well again. `rollback_model` goes back to the
  previous version.
- *`verify` is red*: the store or the registry did not answer. The next run makes up for it.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta

from airflow.providers.standard.operators.trigger_dagrun import TriggerDagRunOperator
from airflow.sdk import DAG, task

from plugins import assets, policy
from weatherglass.settings import load_settings

with DAG(
    dag_id="verify_forecasts",
    description="Forecasts against what came true; finds models that have become worse",
    doc_md=__doc__,
    schedule="7 * * * *",
    dagrun_timeout=timedelta(minutes=50),
    tags=[policy.TAG, "models", "verification"],
    **policy.COMMON,
):

    @task(inlets=[assets.STORE, assets.MODELS], outlets=[assets.SCORES], execution_timeout=timedelta(minutes=30))
    def verify() -> list[str]:
        from weatherglass.verification.hourly_run import HourlyVerification

        look = HourlyVerification(load_settings(), logging.getLogger("airflow.task").info)
        now = datetime.now(UTC)
        look.verify(now)
        look.hindcast(now)
        look.recalibrate(now)
        look.compare(now)
        return [alert.words for alert in look.watch(now)]

    @task.short_circuit(ignore_downstream_trigger_rules=False)
    def may_retrain(wrong: list[str]) -> bool:
        from weatherglass.store.engine import open_store
        from weatherglass.verification.retraining import ask

        settings = load_settings()
        with open_store(settings.store_url).begin() as connection:
            wanted, why = ask(connection, settings, datetime.now(UTC), degraded=bool(wrong))
        logging.getLogger("airflow.task").info(why)
        return wanted

    @task
    def report(wrong: list[str]) -> None:
        from airflow.sdk.exceptions import AirflowFailException

        if wrong:
            raise AirflowFailException("A model in service is worse than it was. " + " ".join(wrong))

    found = verify()
    retrain = TriggerDagRunOperator(task_id="retrain", trigger_dag_id="prepare_history")

    may_retrain(found) >> retrain  # type: ignore[arg-type]
    report(found)  # type: ignore[arg-type]
