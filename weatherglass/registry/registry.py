"""Model registry: MLflow without a server, and an append-only promotion log in the store.

MLflow's tables are in the database `settings.mlflow_url`, artifacts in `settings.artifacts_dir`, runs in the experiment
`weatherglass`. Each kind of model is a registered model; the alias `champion` marks the version that serves, the alias
`challenger` the version that is compared with it.

Writing uses MLflow's client. Reading queries MLflow's tables directly, because importing MLflow takes seconds and
hundreds of megabytes in every process (ADR 0010); tests compare the result with MLflow's client.
"""

from __future__ import annotations

import logging
import os
import shutil
import uuid
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from weatherglass.files import exclusive_lock, sync, sync_tree
from weatherglass.records import iso
from weatherglass.registry.catalog import has_tables
from weatherglass.settings import Settings
from weatherglass.store import promotions, quarantine
from weatherglass.store.engine import open_store, sqlite_file
from weatherglass.store.migrate import migrate
from weatherglass.store.promotions import Action, Promotion

if TYPE_CHECKING:
    from mlflow import MlflowClient

FORECASTER = "forecaster"
ANOMALY_DETECTOR = "anomaly-detector"
GUIDANCE = "guidance"
KINDS = (FORECASTER, ANOMALY_DETECTOR, GUIDANCE)

CHAMPION = "champion"
CHALLENGER = "challenger"
TESTED = "tested"
"""Folder in the files of a run: the forecaster as it was scored. The registered model is refitted on the test hours, so
later forecasters are compared with this one."""
EXPERIMENT = "weatherglass"
IMPORTED = "imported_from_version"
"""Tag of an imported version: its number in the registry that exported it."""

METRICS_PER_REQUEST = 1_000
"""What MLflow accepts at once."""

MLFLOW_ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "GIT_PYTHON_REFRESH": "quiet",
}
"""Environment variables that disable MLflow's telemetry, its extra output and its use of git."""

_ALIAS_QUERY = sa.text(
    "SELECT a.version, t.value FROM registered_model_aliases a LEFT JOIN model_version_tags t"
    " ON t.name = a.name AND t.version = a.version AND t.key = 'folder' WHERE a.name = :kind AND a.alias = :alias"
)
_FOLDER_QUERY = sa.text(
    "SELECT version, value FROM model_version_tags WHERE name = :kind AND version = :version AND key = 'folder'"
)
_TAGS_QUERY = sa.text("SELECT key, value FROM model_version_tags WHERE name = :kind AND version = :version")


@dataclass(frozen=True)
class ModelVersion:
    """A version of a registered model; the class of its kind loads it from `folder`."""

    kind: str
    version: str
    folder: Path
    tags: dict[str, str]


class NoPreviousChampion(LookupError):
    """There is no previous champion outside quarantine to roll back to; `champion` is the current version."""

    def __init__(self, kind: str, champion: str | None):
        self.kind, self.champion = kind, champion
        super().__init__(
            f"{kind}: no previous champion outside quarantine to roll back to"
            f" (current champion: {champion or 'none'}); train a new model with the DAG train_models"
        )


class Registry:
    """The model registry. It connects lazily: the first write creates MLflow's tables."""

    def __init__(self, settings: Settings):
        self.url = settings.mlflow_url
        self.artifacts = settings.artifacts_dir
        self.store_url = settings.store_url
        self._engine = sa.create_engine(self.url)
        self._store: sa.Engine | None = None
        self._client: MlflowClient | None = None

    def champion(self, kind: str) -> ModelVersion | None:
        """Return the version that serves, None before the first promotion. Takes about 1 ms; does not import MLflow."""
        return self._find_version(kind, _ALIAS_QUERY, alias=CHAMPION)

    def challenger(self, kind: str) -> ModelVersion | None:
        """Return the version that is compared with the champion, or None."""
        return self._find_version(kind, _ALIAS_QUERY, alias=CHALLENGER)

    def version(self, kind: str, version: str) -> ModelVersion | None:
        """Return a version by its number, None if it is not registered."""
        return self._find_version(kind, _FOLDER_QUERY, version=version)

    def _find_version(self, kind: str, query: sa.TextClause, **parameters: str) -> ModelVersion | None:
        if self._database_missing():
            return None
        try:
            return self._read_version(kind, query, parameters)
        except (sa.exc.OperationalError, sa.exc.ProgrammingError):
            if not self._has_tables():
                return None
            # Another process can create the tables between the failed query and the check.
            return self._read_version(kind, query, parameters)

    def _read_version(self, kind: str, query: sa.TextClause, parameters: Mapping[str, str]) -> ModelVersion | None:
        with self._engine.connect() as connection:
            row = connection.execute(query, {"kind": kind, **parameters}).first()
            if row is None:
                return None
            tags = {
                key: value
                for key, value in connection.execute(_TAGS_QUERY, {"kind": kind, "version": row[0]})
                if value is not None
            }
        return ModelVersion(kind, str(row[0]), self.artifacts / row[1], tags)

    def register(
        self,
        kind: str,
        folder: Path,
        metrics: Mapping[str, float],
        params: Mapping[str, Any],
        tags: Mapping[str, str],
        run_files: Path | None = None,
    ) -> str:
        """Copy a model folder to the artifacts, log the run in MLflow, and return the new version.

        Args:
            run_files: folder of plots and other files that are kept with the run but are not part of the model.
        """
        client = self._mlflow()
        from mlflow.entities import Metric, Param

        experiment = client.get_experiment_by_name(EXPERIMENT)
        assert experiment is not None
        run = client.create_run(experiment.experiment_id, run_name=f"{kind} {iso(datetime.now(UTC))}", tags=dict(tags))
        stamp = int(datetime.now(UTC).timestamp() * 1000)
        client.log_batch(run.info.run_id, params=[Param(name, str(value)[:500]) for name, value in params.items()])
        logged = [Metric(name, float(value), stamp, 0) for name, value in metrics.items()]
        for begin in range(0, len(logged), METRICS_PER_REQUEST):
            client.log_batch(run.info.run_id, metrics=logged[begin : begin + METRICS_PER_REQUEST])
        target = Path(kind) / run.info.run_id
        unfinished = self.artifacts / kind / f".{uuid.uuid4().hex}"
        try:
            shutil.copytree(folder, unfinished)
            sync_tree(unfinished)
            unfinished.replace(self.artifacts / target)
            sync(unfinished.parent)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
        for name in ("model.json", "card.md"):
            if (file := self.artifacts / target / name).exists():
                client.log_artifact(run.info.run_id, str(file))
        if run_files is not None:
            client.log_artifacts(run.info.run_id, str(run_files))
        client.set_terminated(run.info.run_id, "FINISHED")
        model_version = client.create_model_version(
            kind,
            source=str(self.artifacts / target),
            run_id=run.info.run_id,
            tags={**tags, "folder": target.as_posix()},
        )
        return str(model_version.version)

    def run_files(self, version: ModelVersion) -> Path:
        """Return the folder of the files that are kept with a version's run; it does not exist for an import."""
        return self.artifacts / "runs" / version.folder.name / "artifacts"

    def promote(self, kind: str, version: str, changed_by: str, reason: str, details: Mapping[str, Any]) -> None:
        """Make a version the champion and log it.

        The version is no longer the challenger and leaves quarantine, so that its validation is repeated.
        """
        self._set_alias(CHAMPION, Action.PROMOTE, kind, version, changed_by, reason, details)

    def challenge(self, kind: str, version: str, changed_by: str, reason: str, details: Mapping[str, Any]) -> None:
        """Make a version the challenger and log it."""
        self._set_alias(CHALLENGER, Action.CHALLENGE, kind, version, changed_by, reason, details)

    def withdraw(self, kind: str, changed_by: str, reason: str, details: Mapping[str, Any]) -> None:
        """Remove the challenger and log it."""
        self._set_alias(CHALLENGER, Action.WITHDRAW, kind, None, changed_by, reason, details)

    def roll_back(self, kind: str, changed_by: str, reason: str) -> Promotion:
        """Make the latest previous champion outside quarantine the champion again; return the entry of the log.

        Raises:
            NoPreviousChampion: there is none.
        """
        previous = self.previous_champions(kind)
        if not previous:
            champion = self.champion(kind)
            raise NoPreviousChampion(kind, champion.version if champion else None)
        return self._set_alias(CHAMPION, Action.ROLLBACK, kind, previous[0].version, changed_by, reason, {})

    def previous_champions(self, kind: str) -> list[ModelVersion]:
        """Return the champion's predecessors that are not in quarantine, the latest first.

        After a rollback from 3 to 2, the predecessor of 2 is 1, not 3.
        """
        champion = self.champion(kind)
        with self.store().connect() as connection:
            quarantined = {entry.version for entry in quarantine.quarantined_versions(connection, kind)}
            succession = promotions.succession(connection, kind)
        versions = (self.version(kind, number) for number in succession if not champion or number != champion.version)
        return [version for version in versions if version and version.version not in quarantined]

    def quarantined(self, kind: str) -> dict[str, str]:
        """Return the versions in quarantine with the reason."""
        with self.store().connect() as connection:
            return {entry.version: entry.reason for entry in quarantine.quarantined_versions(connection, kind)}

    def promotions(self) -> list[Promotion]:
        """Return the log, oldest entry first."""
        file = sqlite_file(self.store_url)
        if file is not None and not file.exists():
            return []
        with self.store().connect() as connection:
            return promotions.log(connection)

    def remove(self, kind: str, version: str) -> None:
        """Remove a version that has no alias, with its folder and the files of its run; the log keeps its entries."""
        found = self.version(kind, version)
        if found is None:
            return
        self._mlflow().delete_model_version(kind, version)
        for folder in (found.folder, self.run_files(found).parent):
            shutil.rmtree(folder, ignore_errors=True)

    def set_tags(self, kind: str, version: str, tags: Mapping[str, str]) -> None:
        """Set tags of a registered version."""
        client = self._mlflow()
        for key, value in tags.items():
            client.set_model_version_tag(kind, version, key, value)

    def store(self) -> sa.Engine:
        """Return the store; the first call creates its tables."""
        if self._store is None:
            migrate(self.store_url)
            self._store = open_store(self.store_url)
        return self._store

    def _set_alias(
        self,
        alias: str,
        action: Action,
        kind: str,
        version: str | None,
        changed_by: str,
        reason: str,
        details: Mapping[str, Any],
    ) -> Promotion:
        """Set or remove an alias inside the transaction that logs it, so that a failure of MLflow leaves no entry."""
        client = self._mlflow()
        with self._lock(), self.store().begin() as connection:
            before = self._find_version(kind, _ALIAS_QUERY, alias=alias)
            now = datetime.now(UTC)
            entry = Promotion(
                now, kind, action, before.version if before else None, version, changed_by, reason, dict(details)
            )
            promotions.append(connection, entry)
            if version is None:
                client.delete_registered_model_alias(kind, alias)
                return entry
            quarantine.release(connection, kind, version, now)
            challenger = self.challenger(kind)
            if alias == CHAMPION and challenger and challenger.version == version:
                client.delete_registered_model_alias(kind, CHALLENGER)
            client.set_registered_model_alias(kind, alias, version)
        return entry

    def _mlflow(self) -> MlflowClient:
        """Return MLflow's client; creates MLflow's tables, the experiment and the registered models if necessary.

        A file lock keeps two processes from migrating the database at the same time.
        """
        if self._client is None:
            os.environ.update(MLFLOW_ENVIRONMENT)
            from mlflow import MlflowClient

            for name in ("mlflow", "alembic"):
                logging.getLogger(name).setLevel(logging.WARNING)
            with self._lock():
                client = MlflowClient(tracking_uri=self.url, registry_uri=self.url)
                if client.get_experiment_by_name(EXPERIMENT) is None:
                    client.create_experiment(EXPERIMENT, artifact_location=(self.artifacts / "runs").as_uri())
                existing = {model.name for model in client.search_registered_models()}
                for kind in KINDS:
                    if kind not in existing:
                        client.create_registered_model(kind)
            self._client = client
        return self._client

    def _database_missing(self) -> bool:
        url = sa.make_url(self.url)
        return url.get_backend_name() == "sqlite" and bool(url.database) and not Path(str(url.database)).exists()

    def _has_tables(self) -> bool:
        with self._engine.connect() as connection:
            return has_tables(connection)

    def _lock(self) -> AbstractContextManager[None]:
        return exclusive_lock(self.artifacts / ".lock")


def create_tables(url: str) -> None:
    """Create MLflow's tables in a new database; without the experiment, which contains the folder of the artifacts."""
    os.environ.update(MLFLOW_ENVIRONMENT)
    from mlflow import MlflowClient

    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)
    MlflowClient(tracking_uri=url, registry_uri=url).search_experiments()
