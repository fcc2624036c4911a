"""The registry of models: MLflow without a server; who serves is written to the append-only log of the store.

MLflow's tables live in `settings.mlflow_url`, artefacts in `settings.artifacts_dir`, runs in the experiment
`weatherglass`. Each kind of model is a registered model there; its alias `champion` names the version that serves,
`challenger` the one that is compared with it.
Importing MLflow costs seconds and much memory, so only writing needs it: asking for the champion is one SQL query
on MLflow's tables (their layout is that of the pinned MLflow version, and a test holds it against MLflow's client).
"""

from __future__ import annotations

import fcntl
import logging
import os
import shutil
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from weatherglass.records import iso
from weatherglass.settings import Settings
from weatherglass.store import promotions, quarantine
from weatherglass.store.engine import open_store, sqlite_file
from weatherglass.store.migrate import migrate
from weatherglass.store.promotions import Action, Promotion

if TYPE_CHECKING:
    from mlflow import MlflowClient

FORECASTER = "forecaster"
ANOMALY_DETECTOR = "anomaly-detector"
KINDS = (FORECASTER, ANOMALY_DETECTOR)

CHAMPION = "champion"
CHALLENGER = "challenger"
EXPERIMENT = "weatherglass"

QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "GIT_PYTHON_REFRESH": "quiet",
}
"""MLflow neither calls home nor decorates our output, and does without git."""

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
    """A registered model: its folder holds the files that the kind's class loads."""

    kind: str
    version: str
    folder: Path
    tags: dict[str, str]


class NothingToRollBackTo(LookupError):
    """No earlier champion is fit to serve; the message says which there were."""


class Registry:
    """Opened lazily: making one costs nothing, the first write makes MLflow's tables."""

    def __init__(self, settings: Settings):
        self.url = settings.mlflow_url
        self.artifacts = settings.artifacts_dir
        self.store_url = settings.store_url
        self._engine = sa.create_engine(self.url)
        self._store: sa.Engine | None = None
        self._client: MlflowClient | None = None

    def champion(self, kind: str) -> ModelVersion | None:
        """The version that serves, None before the first promotion. About a millisecond, does not import MLflow."""
        return self._find(kind, _ALIAS_QUERY, alias=CHAMPION)

    def challenger(self, kind: str) -> ModelVersion | None:
        """The version that is compared with the champion; None without one."""
        return self._find(kind, _ALIAS_QUERY, alias=CHALLENGER)

    def version(self, kind: str, version: str) -> ModelVersion | None:
        """A version by its number; None if it was never registered."""
        return self._find(kind, _FOLDER_QUERY, version=version)

    def _find(self, kind: str, query: sa.TextClause, **which: str) -> ModelVersion | None:
        if self._no_database_yet():
            return None
        try:
            with self._engine.connect() as connection:
                row = connection.execute(query, {"kind": kind, **which}).first()
                if row is None:
                    return None
                tags = {
                    key: value
                    for key, value in connection.execute(_TAGS_QUERY, {"kind": kind, "version": row[0]})
                    if value is not None
                }
        except (sa.exc.OperationalError, sa.exc.ProgrammingError):
            if self._has_tables():
                raise
            return None
        return ModelVersion(kind, str(row[0]), self.artifacts / row[1], tags)

    def register(
        self,
        kind: str,
        folder: Path,
        metrics: Mapping[str, float],
        params: Mapping[str, Any],
        tags: Mapping[str, str],
        record: Path | None = None,
    ) -> str:
        """Copy a model's folder among the artefacts, record the run in MLflow, and return the new version.

        `record` is a folder of plots and other files that the run keeps but the model does not need.
        """
        client = self._mlflow()
        from mlflow.entities import Metric, Param

        experiment = client.get_experiment_by_name(EXPERIMENT)
        assert experiment is not None
        run = client.create_run(experiment.experiment_id, run_name=f"{kind} {iso(datetime.now(UTC))}", tags=dict(tags))
        stamp = int(datetime.now(UTC).timestamp() * 1000)
        client.log_batch(
            run.info.run_id,
            metrics=[Metric(name, float(value), stamp, 0) for name, value in metrics.items()],
            params=[Param(name, str(value)[:500]) for name, value in params.items()],
        )
        place = Path(kind) / run.info.run_id
        unfinished = self.artifacts / kind / f".{uuid.uuid4().hex}"
        shutil.copytree(folder, unfinished)
        unfinished.replace(self.artifacts / place)
        for name in ("model.json", "card.md"):
            if (file := self.artifacts / place / name).exists():
                client.log_artifact(run.info.run_id, str(file))
        if record is not None:
            client.log_artifacts(run.info.run_id, str(record))
        client.set_terminated(run.info.run_id, "FINISHED")
        made = client.create_model_version(
            kind,
            source=str(self.artifacts / place),
            run_id=run.info.run_id,
            tags={**tags, "folder": place.as_posix()},
        )
        return str(made.version)

    def record(self, version: ModelVersion) -> Path:
        """The folder of what the run of a version keeps beside the model; empty for an imported one."""
        return self.artifacts / "runs" / version.folder.name / "artifacts"

    def promote(self, kind: str, version: str, who: str, why: str, figures: Mapping[str, Any]) -> None:
        """Make a version the champion, with who, why and the figures in the log.

        It is no challenger any more, and no longer in quarantine: to promote it again is to have it tried again.
        """
        self._move(CHAMPION, Action.PROMOTE, kind, version, who, why, figures)

    def challenge(self, kind: str, version: str, who: str, why: str, figures: Mapping[str, Any]) -> None:
        """Make a version the challenger."""
        self._move(CHALLENGER, Action.CHALLENGE, kind, version, who, why, figures)

    def withdraw(self, kind: str, who: str, why: str, figures: Mapping[str, Any]) -> None:
        """Have no challenger any more."""
        self._move(CHALLENGER, Action.WITHDRAW, kind, None, who, why, figures)

    def roll_back(self, kind: str, who: str, why: str) -> Promotion:
        """Make the newest earlier champion that is fit to serve the champion again; the line of the log.

        Raises:
            NothingToRollBackTo: there is none.
        """
        earlier = self.earlier_champions(kind)
        if not earlier:
            now = self.champion(kind)
            raise NothingToRollBackTo(
                f"no {kind} served before version {now.version if now else 'none'} that is not in quarantine; "
                "train a new one with the DAG train_models"
            )
        return self._move(CHAMPION, Action.ROLLBACK, kind, earlier[0].version, who, why, {})

    def earlier_champions(self, kind: str) -> list[ModelVersion]:
        """Versions that served before the champion and are not in quarantine, the latest first.

        After a rollback from 3 to 2 the next one back is 1, not 3.
        """
        store = self.store()
        now = self.champion(kind)
        with store.connect() as connection:
            refused = {one.version for one in quarantine.held(connection, kind)}
            line = promotions.succession(connection, kind)
        found = (self.version(kind, version) for version in line if not now or version != now.version)
        return [version for version in found if version and version.version not in refused]

    def refused(self, kind: str) -> dict[str, str]:
        """The versions in quarantine, with the reason."""
        with self.store().connect() as connection:
            return {one.version: one.reason for one in quarantine.held(connection, kind)}

    def promotions(self) -> list[Promotion]:
        """The log, oldest first."""
        file = sqlite_file(self.store_url)
        if file is not None and not file.exists():
            return []
        with self.store().connect() as connection:
            return promotions.log(connection)

    def note(self, kind: str, version: str, tags: Mapping[str, str]) -> None:
        """Write tags to a version, for everybody who looks at it in the registry."""
        client = self._mlflow()
        for key, value in tags.items():
            client.set_model_version_tag(kind, version, key, value)

    def store(self) -> sa.Engine:
        """The store with its tables; made at the first use."""
        if self._store is None:
            migrate(self.store_url)
            self._store = open_store(self.store_url)
        return self._store

    def _move(
        self,
        alias: str,
        action: Action,
        kind: str,
        version: str | None,
        who: str,
        why: str,
        figures: Mapping[str, Any],
    ) -> Promotion:
        """Point an alias elsewhere and append that to the log: both, or neither unless the store dies in between."""
        client = self._mlflow()
        with self._lock(), self.store().begin() as connection:
            before = self._find(kind, _ALIAS_QUERY, alias=alias)
            now = datetime.now(UTC)
            line = Promotion(now, kind, action, before.version if before else None, version, who, why, dict(figures))
            promotions.append(connection, line)
            if version is None:
                client.delete_registered_model_alias(kind, alias)
                return line
            quarantine.release(connection, kind, version, now)
            challenger = self.challenger(kind)
            if alias == CHAMPION and challenger and challenger.version == version:
                client.delete_registered_model_alias(kind, CHALLENGER)
            client.set_registered_model_alias(kind, alias, version)
        return line

    def _mlflow(self) -> MlflowClient:
        """MLflow's client; the tables, the experiment and the kinds exist afterwards.

        Two processes at a first start would both migrate the database, so this happens under a file lock.
        """
        if self._client is None:
            os.environ.update(QUIET)
            from mlflow import MlflowClient

            for name in ("mlflow", "alembic"):
                logging.getLogger(name).setLevel(logging.WARNING)
            with self._lock():
                client = MlflowClient(tracking_uri=self.url, registry_uri=self.url)
                if client.get_experiment_by_name(EXPERIMENT) is None:
                    client.create_experiment(EXPERIMENT, artifact_location=(self.artifacts / "runs").as_uri())
                known = {model.name for model in client.search_registered_models()}
                for kind in KINDS:
                    if kind not in known:
                        client.create_registered_model(kind)
            self._client = client
        return self._client

    def _no_database_yet(self) -> bool:
        url = sa.make_url(self.url)
        return url.get_backend_name() == "sqlite" and bool(url.database) and not Path(str(url.database)).exists()

    def _has_tables(self) -> bool:
        with self._engine.connect() as connection:
            return sa.inspect(connection).has_table("registered_model_aliases")

    @contextmanager
    def _lock(self) -> Iterator[None]:
        self.artifacts.mkdir(parents=True, exist_ok=True)
        with (self.artifacts / ".lock").open("a") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield
