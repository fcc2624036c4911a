"""Starts the pipeline through Airflow: unpauses the DAGs in order and triggers those that have no active run."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from enum import StrEnum

from weatherglass.alerts.health import (
    MQTT,
    SIMULATION,
    HealthState,
    pipeline_health,
    progress_since_start,
    required_jobs,
)
from weatherglass.files import DamagedFileError
from weatherglass.history.prepared import Manifest, read_complete_manifest
from weatherglass.history.source_choice import history_source, matches_source
from weatherglass.jobs.folder import JobFolder
from weatherglass.launcher.airflow_api import ACTIVE, AirflowApi
from weatherglass.launcher.errors import PipelineError
from weatherglass.launcher.wait import WaitFor
from weatherglass.registry.registry import FORECASTER, IMPORTED, Registry
from weatherglass.settings import Settings, Source
from weatherglass.store.engine import open_store

TOPICS = "bootstrap_topics"
INGEST = "ingest_observations"
GUIDANCE = "ingest_guidance"
FILES = "ingest_files"
SIMULATE = SIMULATION
HISTORY = "prepare_history"
TRAIN = "train_models"
FEATURES = "stream_features"
SERVE = "serve_predictions"
STORE = "store_predictions"
MONITOR = "monitor_pipeline"
REPORT = "report_stations"
VERIFY = "verify_forecasts"
SCHEDULED_TRAININGS = ("train_daily", "train_weekly")
MANUAL = ("rollback_model", "replay_rejected", "backfill_features", "benchmark_pipeline")
"""DAGs without a schedule."""
DAGS = (
    *(TOPICS, INGEST, GUIDANCE, FILES, MQTT, SIMULATE, HISTORY, TRAIN, FEATURES, SERVE, STORE, MONITOR, REPORT, VERIFY),
    *SCHEDULED_TRAININGS,
    *MANUAL,
)

HEAVY_POOL = "heavy"
NOTE = "started by make up"

PARSE_SECONDS = 180.0
RUN_SECONDS = 900.0
HEALTHY_SECONDS = 300.0
"""Long, because a first start on a busy machine is slow."""


class PipelineProblem(StrEnum):
    """What is missing after a start. The pipeline works without it, with worse forecasts or none."""

    HISTORY_PENDING = "history_pending"
    HISTORY_FAILED = "history_failed"
    MODEL_PENDING = "model_pending"
    MODEL_FAILED = "model_failed"
    NOT_HEALTHY = "not_healthy"


class PipelineStart:
    """Starts the DAGs in the order of the pipeline.

    Args:
        settings: the source must not be AUTO, except in the cluster, where AUTO counts as Open-Meteo.
        log: prints a step.
        wait: waits for a condition; the launcher supervises its programs meanwhile.
    """

    def __init__(self, settings: Settings, api: AirflowApi, log: Callable[[str], None], wait: WaitFor):
        self.settings = settings
        self.api = api
        self.log = log
        self.wait = wait
        self.registry = Registry(settings)
        self._trains_later = False
        """Whether history is prepared, and models are trained on it, when the pipeline works with shipped models."""
        self.problems: list[PipelineProblem] = []
        """Reported problems, in order."""

    def run(self) -> bool:
        """Start the pipeline.

        Returns:
            Whether all components are healthy; `problems` and the log contain the rest.

        Raises:
            PipelineError: Airflow cannot parse a DAG, or the topics cannot be created.
            TimeoutError: Airflow does not finish a step in time.
        """
        self._wait_for_dags()
        self.api.ensure_pool(HEAVY_POOL, 1, "one heavy task at a time, so that ingestion is not delayed")
        self._keep_running(FEATURES)  # it starts for half a minute, and then waits for the topics
        self._create_topics()
        self._keep_running(STORE)
        self._ingest()
        self._prepare_models()
        self._keep_running(SERVE)
        self._keep_running(MONITOR)  # last, so that the start raises no alerts
        self._unpause(*MANUAL)
        healthy = self._wait_until_healthy()
        if self._trains_later:
            self.api.trigger(HISTORY, NOTE)
        self._unpause(GUIDANCE, REPORT, VERIFY, *SCHEDULED_TRAININGS)  # their first run starts immediately
        return healthy

    def _wait_for_dags(self) -> None:
        def parsed() -> bool:
            if errors := self.api.import_errors():
                raise PipelineError("Airflow cannot parse a DAG:\n" + "\n".join(errors))
            return set(DAGS) <= set(self.api.dags())

        self.wait(parsed, PARSE_SECONDS, lambda: f"the DAGs {', '.join(set(DAGS) - set(self.api.dags()))}")

    def _create_topics(self) -> None:
        if error := self._run_to_end(TOPICS):
            raise PipelineError(f"{TOPICS} failed, so there are no topics:\n{error}")
        self.log("topics are ready")

    def _run_to_end(self, dag_id: str) -> str | None:
        """Run a DAG once, or wait for its active run. Returns None on success, else the end of the failed logs."""
        self.api.unpause(dag_id)
        active = self.api.runs(dag_id, *ACTIVE)
        run_id = active[0]["dag_run_id"] if active else self.api.trigger(dag_id, NOTE)
        self.wait(lambda: self._ended(dag_id, run_id), RUN_SECONDS, lambda: f"the end of {dag_id}")
        if self.api.run(dag_id, run_id)["state"] == "success":
            return None
        return self.api.failed_task_logs(dag_id, run_id)

    def _ended(self, dag_id: str, run_id: str) -> bool:
        return self.api.run(dag_id, run_id)["state"] not in ACTIVE

    def _unpause(self, *dag_ids: str) -> None:
        for dag_id in dag_ids:
            self.api.unpause(dag_id)

    def _keep_running(self, dag_id: str) -> None:
        """Make sure that a long-lived job has an active run.

        Airflow itself creates the first run, by the schedule `@once`, when the DAG is unpaused.
        """
        runs = self.api.runs(dag_id)
        self.api.unpause(dag_id)
        if runs and not any(run["state"] in ACTIVE for run in runs):
            self.api.trigger(dag_id, NOTE)
        self.log(f"{dag_id}: {'continues' if runs else 'starts'}")

    def _run_if(self, configured: bool, dag_id: str) -> None:
        """Keep a long-lived job running if the settings ask for it, else end a run of a start with other settings."""
        if configured:
            self._keep_running(dag_id)
            return
        for run in self.api.runs(dag_id, *ACTIVE):
            self.api.fail(dag_id, run["dag_run_id"])

    def _ingest(self) -> None:
        """Ingest now instead of at the next interval; simulated stations publish their observations themselves."""
        self._unpause(FILES)
        simulated = self.settings.source is Source.SIMULATE
        self._run_if(bool(self.settings.mqtt_url), MQTT)
        self._run_if(simulated, SIMULATE)
        if simulated:
            self._unpause(INGEST)
            return
        active = self.api.runs(INGEST, *ACTIVE)
        self.api.unpause(INGEST)
        if not active:
            self.api.trigger(INGEST, NOTE)
        self.log(f"{INGEST}: publishes past observations, then new ones")

    def _prepare_models(self) -> None:
        """Prepare history and train models if there are none. No failure is fatal: forecasts fall back.

        With models for this source, such as the shipped ones, the pipeline starts before there is a history. Work that
        takes longer than the limit continues in Airflow. New history triggers the training, and the running service
        loads a new model without a restart.
        """
        self.api.unpause(TRAIN)  # before new history, which triggers it
        manifest = self._history()
        if manifest and self._is_of_the_source(manifest):
            self.api.unpause(HISTORY)
            training_triggered = False
        elif self._champion_fits():
            self.api.unpause(HISTORY)
            self._trains_later = not self.api.runs(HISTORY, *ACTIVE)
            return
        elif self._prepare_history():
            training_triggered = True
        else:
            return
        champion = self.registry.champion(FORECASTER)
        is_own = champion is not None and IMPORTED not in champion.tags
        if not is_own and not training_triggered and not self.api.runs(TRAIN, *ACTIVE):
            self.api.trigger(TRAIN, NOTE)  # it skips what was trained before
        if champion is None:
            self._wait_for_first_model()

    def _history(self) -> Manifest | None:
        """The manifest of a complete history; a damaged history is reported, and prepared again."""
        try:
            return read_complete_manifest(self.settings.history_dir)
        except DamagedFileError as error:
            self.log(f"{HISTORY}: {error}")
            return None

    def _is_of_the_source(self, manifest: Manifest) -> bool:
        """Whether a history is of the source in use; True, with a report, if the file of the choice is damaged."""
        try:
            return matches_source(manifest, self.settings, self.settings.source)
        except DamagedFileError as error:
            self.log(f"{HISTORY}: {error}")
            return True

    def _champion_fits(self) -> bool:
        """Whether the champion was trained on a history of the source in use."""
        champion = self.registry.champion(FORECASTER)
        try:
            source = history_source(self.settings, self.settings.source)
        except DamagedFileError as error:
            self.log(f"{HISTORY}: {error}")
            return False
        return champion is not None and champion.tags.get("data_source") == source

    def _prepare_history(self) -> bool:
        """Prepare the history of the source; whether it is ready."""
        self.log(f"{HISTORY}: there is no history of this source yet; this takes some minutes")
        try:
            error = self._run_to_end(HISTORY)
        except TimeoutError as timeout:
            self._report(PipelineProblem.HISTORY_PENDING, f"No history yet; {HISTORY} continues in Airflow: {timeout}")
            return False
        if error:
            self._report(PipelineProblem.HISTORY_FAILED, f"{HISTORY} failed, so there is no model:\n{error}")
            return False
        self.log("history is ready")
        return True

    def _wait_for_first_model(self) -> None:
        self.log(f"{TRAIN}: there is no model yet; training the first one")
        try:
            self.wait(self._trained_or_failed, RUN_SECONDS, lambda: "the first model")
        except TimeoutError as timeout:
            self._report(PipelineProblem.MODEL_PENDING, f"No model yet; {TRAIN} continues in Airflow: {timeout}")
            return
        champion = self.registry.champion(FORECASTER)
        if champion is None:
            error = self.api.failed_task_logs(TRAIN, self.api.runs(TRAIN)[0]["dag_run_id"])
            self._report(PipelineProblem.MODEL_FAILED, f"{TRAIN} failed, so there is no model:\n{error}")
        else:
            self.log(f"model {champion.version} is trained")

    def _trained_or_failed(self) -> bool:
        if self.registry.champion(FORECASTER) is not None:
            return True
        runs = self.api.runs(TRAIN)
        return bool(runs) and runs[0]["state"] == "failed"

    def _wait_until_healthy(self) -> bool:
        self.log("waiting for the jobs and the first forecast")
        store = open_store(self.settings.store_url)
        unhealthy: list[str] = []

        def healthy() -> bool:
            health = pipeline_health(self.settings, datetime.now(UTC), store)
            unhealthy[:] = [f"{c.name}: {c.detail}" for c in health.components if c.state is not HealthState.OK]
            silent = [job for job in required_jobs(self.settings) if not self._has_progress(job)]
            unhealthy.extend(f"{job}: no progress since its start" for job in silent)
            return not unhealthy

        try:
            self.wait(healthy, HEALTHY_SECONDS, lambda: "\n".join(unhealthy))
        except TimeoutError:
            details = "\n".join(unhealthy)
            self._report(PipelineProblem.NOT_HEALTHY, f"Not all components are healthy; see Airflow:\n{details}")
        finally:
            store.dispose()
        return not unhealthy

    def _has_progress(self, job: str) -> bool:
        """Whether a job reported progress since its last start; the start alone takes Spark half a minute."""
        folder = JobFolder(self.settings.jobs_dir / job)
        return "at" in folder.started() and progress_since_start(folder) is not None

    def _report(self, problem: PipelineProblem, message: str) -> None:
        self.problems.append(problem)
        self.log(message)
