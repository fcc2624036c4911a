"""
### What it does
Trains the forecaster and the anomaly detector as a Ray job and registers them. Runs when there is new history, or by
hand. Where the registry has no champion yet, a first, smaller model is trained at once and the full one behind it
(unless `WEATHERGLASS_TRAIN_FULL_MODEL` is off).

### What its log shows
`wants_first` says what is trained and why. The training tasks show the Ray job's output: parts trained, errors against
the baselines, the version that was registered and which place it took: champion where there is none or where it is
better beyond chance on the same held-out hours, else challenger. The same, whole, is in Ray's dashboard; parameters,
errors by lead and variable, plots, environment and model card are in the registry. With `search_trials` so many sizes
of the full model are tried first; each takes about as long as two of the sixteen parts. While a part takes longer than
a minute, a line a minute tells what is waited for. A part that hangs (10 minutes in a first training, an hour in a full
one) is ended and begun anew, twice at most; the log then shows where it stood.

### When it is red (triage)
The inference service goes on with the champion it has; without any it forecasts from climatology and persistence.
- *The Ray head does not answer*: see whether it runs, and read its log (docs/troubleshooting.md, *Logs*). The task
  attaches to a training that still runs.
- *The Ray job FAILED*: its last lines are in the log. No history? Run `prepare_history`.
- *LOST*: the head was restarted; the next try goes on from what was finished.
- To stop a training, mark its task failed: the Ray job is stopped. Clear it, and it goes on where it was.
"""

from __future__ import annotations

import logging
import sys
from datetime import timedelta

from airflow.sdk import DAG, Param, TriggerRule, task

from plugins import assets, policy
from plugins.ray_submission.operator import RayJobOperator
from weatherglass.settings import load_settings

settings = load_settings()


def training(size: str, *options: str, **more: object) -> RayJobOperator:
    """A task that trains both models at this size."""
    return RayJobOperator(
        task_id=f"train_{size}",
        dashboard=settings.ray_dashboard,
        argv=[sys.executable, "-m", "ray_jobs.train", "--size", size, *options],
        pool=policy.HEAVY_POOL,
        execution_timeout=timedelta(hours=3),
        inlets=[assets.HISTORY],
        outlets=[assets.MODELS],
        **more,
    )


with DAG(
    dag_id="train_models",
    description="Trains the forecaster and the anomaly detector on Ray",
    doc_md=__doc__,
    schedule=[assets.HISTORY],
    params={
        "size": Param(
            "auto",
            type="string",
            enum=["auto", "first", "full"],
            title="Size of the models",
            description="auto: the first where there is no champion, then the full one where the settings want it.",
        ),
        "search_trials": Param(
            0,
            type="integer",
            minimum=0,
            maximum=40,
            title="Sizes to try",
            description="Random sizes of the full model that are tried on the hours of calibration first; 0: none.",
        ),
    },
    tags=[policy.TAG, "ray", "models"],
    **policy.DAG_DEFAULTS,
):

    @task.short_circuit(ignore_downstream_trigger_rules=False)
    def wants_first(params: dict[str, str] | None = None) -> bool:
        from weatherglass.history.prepared import history_source, read_manifest
        from weatherglass.registry.registry import FORECASTER, Registry

        say = logging.getLogger("airflow.task").info
        size = (params or {})["size"]
        if size != "auto":
            say("asked for by hand: %s", size)
            return size == "first"
        settings = load_settings()
        champion = Registry(settings).champion(FORECASTER)
        prepared = read_manifest(settings.history_dir)
        source = prepared.source if prepared else history_source(settings, settings.source)
        fits = champion is not None and champion.tags.get("data_source") == source
        found = f"champion {champion.version}, trained on {champion.tags.get('data_source')}" if champion else "none"
        say("champion: %s; history: %s; %s", found, source, "it fits" if fits else "the first model first")
        return not fits

    # Not a branch: Airflow never skips what lies behind a branch that was taken.
    @task.short_circuit(ignore_downstream_trigger_rules=False, trigger_rule=TriggerRule.NONE_FAILED)
    def wants_full(params: dict[str, str] | None = None) -> bool:
        size = (params or {})["size"]
        return size == "full" or (size == "auto" and load_settings().train_full_model)

    (wants_first() >> training("first") >> wants_full() >> training("full", "--trials", "{{ params.search_trials }}"))
