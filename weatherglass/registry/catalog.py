"""All registered model versions, read from MLflow's tables without importing MLflow (ADR 0010).

The queries match the schema of the pinned MLflow version; a test compares the result with MLflow's client.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import sqlalchemy as sa

from weatherglass.settings import LOOPBACK, MLFLOW_PAGES_PORT, Settings

_TABLES = frozenset(
    {"model_versions", "registered_model_aliases", "model_version_tags", "latest_metrics", "params", "runs"}
)
_VERSIONS = sa.text(
    "SELECT v.name, v.version, v.creation_time, v.run_id, r.experiment_id FROM model_versions v"
    " LEFT JOIN runs r ON r.run_uuid = v.run_id WHERE v.current_stage <> 'Deleted_Internal'"
    " ORDER BY v.creation_time DESC"
)
_ALIASES = sa.text("SELECT name, alias, version FROM registered_model_aliases")
_TAGS = sa.text("SELECT name, version, key, value FROM model_version_tags")
_METRICS = sa.text("SELECT run_uuid, key, value FROM latest_metrics WHERE is_nan = :no")
_PARAMS = sa.text("SELECT run_uuid, key, value FROM params")


@dataclass(frozen=True)
class RegisteredModel:
    """A registered version with the metrics and parameters of its run.

    Attributes:
        created_at: UTC.
        aliases: `champion`, `challenger`, both or none, sorted.
        metrics: finite metrics.
        run: id of the MLflow run, and of its experiment; None if there is no run.
    """

    kind: str
    version: str
    created_at: datetime
    aliases: tuple[str, ...]
    metrics: dict[str, float]
    params: dict[str, str]
    tags: dict[str, str]
    run: tuple[str, int] | None

    @property
    def mlflow_url(self) -> str | None:
        """Page of the run while `weatherglass models ui` runs on its default port."""
        if self.run is None:
            return None
        run, experiment = self.run
        return f"http://{LOOPBACK}:{MLFLOW_PAGES_PORT}/#/experiments/{experiment}/runs/{run}"


def registered_models(settings: Settings) -> list[RegisteredModel]:
    """Return all versions of all kinds, newest first; empty before the first training.

    Raises:
        sqlalchemy.exc.SQLAlchemyError: the registry's database is not available.
    """
    url = sa.make_url(settings.mlflow_url)
    if url.get_backend_name() == "sqlite" and not Path(str(url.database)).exists():
        return []
    engine = sa.create_engine(url)
    try:
        with engine.connect() as connection:
            if not has_tables(connection):
                return []
            return _read(connection)
    finally:
        engine.dispose()


def has_tables(connection: sa.Connection) -> bool:
    """Return whether all tables that Weatherglass reads exist; MLflow creates them one by one."""
    return _TABLES.issubset(sa.inspect(connection).get_table_names())


def _read(connection: sa.Connection) -> list[RegisteredModel]:
    aliases: dict[tuple[str, str], list[str]] = {}
    for name, alias, version in connection.execute(_ALIASES):
        aliases.setdefault((name, str(version)), []).append(alias)
    tags: dict[tuple[str, str], dict[str, str]] = {}
    for name, version, key, value in connection.execute(_TAGS):
        tags.setdefault((name, str(version)), {})[key] = value or ""
    metrics: dict[str, dict[str, float]] = {}
    for run, key, value in connection.execute(_METRICS, {"no": False}):
        metrics.setdefault(run, {})[key] = value
    params: dict[str, dict[str, str]] = {}
    for run, key, value in connection.execute(_PARAMS):
        params.setdefault(run, {})[key] = value
    return [
        RegisteredModel(
            kind=name,
            version=str(version),
            created_at=datetime.fromtimestamp(created / 1000, UTC),
            aliases=tuple(sorted(aliases.get((name, str(version)), ()))),
            metrics=metrics.get(run, {}),
            params=params.get(run, {}),
            tags=tags.get((name, str(version)), {}),
            run=None if experiment is None else (run, experiment),
        )
        for name, version, created, run, experiment in connection.execute(_VERSIONS)
    ]
