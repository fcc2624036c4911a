"""Sets the pipeline going, through Airflow: opens the DAGs in their order and starts what does not run."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Protocol

from weatherglass.alerts.health import JOBS, HealthState, pipeline_health
from weatherglass.history.prepared import matches_source, read_manifest
from weatherglass.jobs.folder import JobFolder
from weatherglass.launcher.airflow_api import ACTIVE, AirflowApi
from weatherglass.launcher.errors import PipelineError
from weatherglass.registry.registry import FORECASTER, Registry
from weatherglass.settings import Settings, Source
from weatherglass.store.engine import open_store

TOPICS = "bootstrap_topics"
INGEST = "ingest_observations"
HISTORY = "prepare_history"
TRAIN = "train_models"
FEATURES = "stream_features"
SERVE = "serve_predictions"
STORE = "store_predictions"
WATCH = "monitor_pipeline"
REPORT = "report_stations"
VERIFY = "verify_forecasts"
BY_HAND = ("rollback_model", "replay_rejected", "backfill_features")
DAGS = (TOPICS, INGEST, HISTORY, TRAIN, FEATURES, SERVE, STORE, WATCH, REPORT, VERIFY, *BY_HAND)

HEAVY_POOL = "heavy"
NOTE = "started by make up"

PARSED_LIMIT = 180.0
RUN_LIMIT = 900.0
GREEN_LIMIT = 300.0
"""Seconds; generous, since a first start on a busy machine is slow and ends by itself."""


class Wait(Protocol):
    """Wait until something is done; TimeoutError if it is not within the seconds, `what` naming it."""

    def __call__(self, done: Callable[[], bool], seconds: float, what: Callable[[], str]) -> None: ...


class PipelineStart:
    """The order of the start. `source` is settled; the settings' own may still be `auto`."""

    def __init__(self, settings: Settings, source: Source, api: AirflowApi, say: Callable[[str], None], wait: Wait):
        self.settings = settings
        self.source = source
        self.api = api
        self.say = say
        self.wait = wait
        self.registry = Registry(settings)

    def run(self) -> bool:
        """Return whether every part is green; which is not has been said.

        Raises:
            PipelineError: the DAGs cannot be read, or the topics cannot be made.
            TimeoutError: Airflow does not get a step done.
        """
        self._wait_for_dags()
        self.api.ensure_pool(HEAVY_POOL, 1, "one heavy task at a time, so that ingestion is never starved")
        if why := self._run_to_end(TOPICS):
            raise PipelineError(f"the topics could not be made:\n{why}")
        self.say("topics are there")
        for dag_id in (FEATURES, STORE):
            self._keep_running(dag_id)
        self._ingest()
        self._models()
        self._keep_running(SERVE)
        self._keep_running(WATCH)  # last, so that a start is no alarm
        for dag_id in BY_HAND:
            self.api.unpause(dag_id)
        green = self._wait_for_green()
        for dag_id in (REPORT, VERIFY):  # their first run follows at once
            self.api.unpause(dag_id)
        return green

    def _wait_for_dags(self) -> None:
        def there() -> bool:
            if errors := self.api.import_errors():
                raise PipelineError("Airflow cannot read a DAG:\n" + "\n".join(errors))
            return set(DAGS) <= set(self.api.dags())

        self.wait(there, PARSED_LIMIT, lambda: f"the DAGs {', '.join(set(DAGS) - set(self.api.dags()))}")

    def _run_to_end(self, dag_id: str) -> str | None:
        """Run a DAG once, or see the run through that is under way; None when it succeeded, else its last words."""
        self.api.unpause(dag_id)
        active = self.api.runs(dag_id, *ACTIVE)
        run_id = active[0]["dag_run_id"] if active else self.api.trigger(dag_id, NOTE)
        self.wait(lambda: self._ended(dag_id, run_id), RUN_LIMIT, lambda: f"the end of {dag_id}")
        if self.api.run(dag_id, run_id)["state"] == "success":
            return None
        return self.api.last_words(dag_id, run_id)

    def _ended(self, dag_id: str, run_id: str) -> bool:
        return self.api.run(dag_id, run_id)["state"] not in ACTIVE

    def _keep_running(self, dag_id: str) -> None:
        """A long-lived job: a run that is still open goes on by itself, else there is a new one.

        The first run of all is made by Airflow's `@once` schedule as soon as the DAG is opened.
        """
        runs = self.api.runs(dag_id)
        self.api.unpause(dag_id)
        if runs and not any(run["state"] in ACTIVE for run in runs):
            self.api.trigger(dag_id, NOTE)
        self.say(f"{dag_id}: {'goes on' if runs else 'starts'}")

    def _ingest(self) -> None:
        """Observe now, not only at the next full interval."""
        active = self.api.runs(INGEST, *ACTIVE)
        self.api.unpause(INGEST)
        if not active:
            self.api.trigger(INGEST, NOTE)
        self.say(f"{INGEST}: the past first, then what is new")

    def _models(self) -> None:
        """History and models, where there are none. Nothing here is fatal: forecasts work without, only worse.

        What takes longer than the start waits for goes on in Airflow, and what comes of it is taken without a restart:
        new history triggers the training, and the running service takes a new model.
        """
        self.api.unpause(TRAIN)  # before any new history, which triggers it
        fresh = self._history_missing()
        if not fresh:
            self.api.unpause(HISTORY)
        elif not self._prepare_history():
            return
        if self.registry.champion(FORECASTER) is not None:
            return
        if not fresh and not self.api.runs(TRAIN, *ACTIVE):
            self.api.trigger(TRAIN, NOTE)
        self.say(f"{TRAIN}: there is no model yet; training the first")
        try:
            self.wait(self._trained_or_failed, RUN_LIMIT, lambda: "the first model")
        except TimeoutError as error:
            self.say(f"NO MODEL YET, so forecasts are made without; look at {TRAIN} in Airflow: {error}")
            return
        champion = self.registry.champion(FORECASTER)
        if champion is None:
            run = self.api.runs(TRAIN)[0]
            self.say(f"NO MODEL, so forecasts are made without:\n{self.api.last_words(TRAIN, run['dag_run_id'])}")
        else:
            self.say(f"model {champion.version} is trained")

    def _history_missing(self) -> bool:
        manifest = read_manifest(self.settings.history_dir)
        return manifest is None or not matches_source(manifest, self.settings, self.source)

    def _prepare_history(self) -> bool:
        """Whether it is prepared; why it is not has been said."""
        self.say(f"{HISTORY}: there is no history of this source yet; this takes a while")
        try:
            why = self._run_to_end(HISTORY)
        except TimeoutError as error:
            self.say(f"NO HISTORY YET; training follows when it is there, look at {HISTORY} in Airflow: {error}")
            return False
        self.say(f"NO HISTORY, so forecasts are made without a model:\n{why}" if why else "history is prepared")
        return why is None

    def _trained_or_failed(self) -> bool:
        if self.registry.champion(FORECASTER) is not None:
            return True
        runs = self.api.runs(TRAIN)
        return bool(runs) and runs[0]["state"] == "failed"

    def _has_spoken(self, job: str) -> bool:
        """Whether a job works: it reported progress since it was started (starting alone takes Spark half a minute)."""
        folder = JobFolder(self.settings.jobs_dir / job)
        started, said = folder.started().get("at"), (folder.last_progress() or {}).get("at")
        return bool(started and said) and datetime.fromisoformat(str(said)) >= datetime.fromisoformat(str(started))

    def _wait_for_green(self) -> bool:
        self.say("waiting for the jobs to work, and for the first prediction")
        store = open_store(self.settings.store_url)
        late: list[str] = []

        def green() -> bool:
            health = pipeline_health(self.settings, datetime.now(UTC), store)
            late[:] = [f"{part.name}: {part.detail}" for part in health.parts if part.state is not HealthState.OK]
            late.extend(f"{name}: has not said anything since its start" for name in JOBS if not self._has_spoken(name))
            return not late

        try:
            self.wait(green, GREEN_LIMIT, lambda: "\n".join(late))
        except TimeoutError:
            self.say("NOT EVERYTHING IS GREEN; it runs on, look for the reason in Airflow:\n" + "\n".join(late))
        finally:
            store.dispose()
        return not late
