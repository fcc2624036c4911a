"""The registry of models: MLflow without a server, and an append-only log of promotions.

MLflow's tables live in `settings.mlflow_url`, artefacts in `settings.artifacts_dir`, runs in the experiment
`weatherglass`. Each kind of model is a registered model there; its alias `champion` names the version that serves.
Importing MLflow costs seconds and much memory, so only writing needs it: asking for the champion is one SQL query
on MLflow's tables (their layout is that of the pinned MLflow version, and a test holds it against MLflow's client).
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import shutil
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from weatherglass.records import iso
from weatherglass.settings import Settings

if TYPE_CHECKING:
    from mlflow import MlflowClient

FORECASTER = "forecaster"
ANOMALY_DETECTOR = "anomaly-detector"
KINDS = (FORECASTER, ANOMALY_DETECTOR)

CHAMPION = "champion"
EXPERIMENT = "weatherglass"

QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "GIT_PYTHON_REFRESH": "quiet",
}
"""MLflow neither calls home nor decorates our output, and does without git."""

_CHAMPION_QUERY = sa.text(
    "SELECT a.version, t.value FROM registered_model_aliases a LEFT JOIN model_version_tags t"
    " ON t.name = a.name AND t.version = a.version AND t.key = 'folder' WHERE a.name = :kind AND a.alias = :alias"
)
_TAGS_QUERY = sa.text("SELECT key, value FROM model_version_tags WHERE name = :kind AND version = :version")


@dataclass(frozen=True)
class ModelVersion:
    """A registered model: its folder holds the files that the kind's class loads."""

    kind: str
    version: str
    folder: Path
    tags: dict[str, str]


@dataclass(frozen=True)
class Promotion:
    """A line of the promotions log."""

    at: str
    kind: str
    from_version: str | None
    to_version: str
    who: str
    why: str
    figures: dict[str, Any]


class Registry:
    """Opened lazily: making one costs nothing, the first write makes MLflow's tables."""

    def __init__(self, settings: Settings):
        self.url = settings.mlflow_url
        self.artifacts = settings.artifacts_dir
        self._engine = sa.create_engine(self.url)
        self._client: MlflowClient | None = None

    @property
    def log_file(self) -> Path:
        return self.artifacts / "promotions.jsonl"

    def champion(self, kind: str) -> ModelVersion | None:
        """The version that serves, None before the first promotion. About a millisecond, does not import MLflow."""
        if self._no_database_yet():
            return None
        try:
            with self._engine.connect() as connection:
                row = connection.execute(_CHAMPION_QUERY, {"kind": kind, "alias": CHAMPION}).first()
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
    ) -> str:
        """Copy a model's folder among the artefacts, record the run in MLflow, and return the new version."""
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
        client.log_artifact(run.info.run_id, str(self.artifacts / place / "model.json"))
        client.set_terminated(run.info.run_id, "FINISHED")
        made = client.create_model_version(
            kind,
            source=str(self.artifacts / place),
            run_id=run.info.run_id,
            tags={**tags, "folder": place.as_posix()},
        )
        return str(made.version)

    def promote(self, kind: str, version: str, who: str, why: str, figures: Mapping[str, Any]) -> None:
        """Make a version the champion and append who, why and the figures to the log."""
        client = self._mlflow()
        with self._lock():
            before = self.champion(kind)
            client.set_registered_model_alias(kind, CHAMPION, version)
            promotion = Promotion(
                iso(datetime.now(UTC)), kind, before.version if before else None, version, who, why, dict(figures)
            )
            with self.log_file.open("a", encoding="utf-8") as file:
                file.write(json.dumps(asdict(promotion)) + "\n")

    def promotions(self) -> list[Promotion]:
        """The log, oldest first."""
        try:
            lines = self.log_file.read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            return []
        return [Promotion(**json.loads(line)) for line in lines]

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
