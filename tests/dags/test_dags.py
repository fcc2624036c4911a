"""Every DAG loads, without a database, and tells its reader what he needs at three in the morning."""

from __future__ import annotations

import re
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
from airflow.dag_processing.dagbag import DagBag
from airflow.sdk import DAG

from plugins import assets, policy
from plugins.supervision.operator import LongLivedJobOperator
from weatherglass.alerts.health import JOBS, WATCHER
from weatherglass.settings import PROJECT_ROOT, Source, load_settings

DAGS_FOLDER = PROJECT_ROOT / "dags"
EXPECTED = {
    "bootstrap_topics",
    "ingest_observations",
    "prepare_history",
    "train_models",
    "stream_features",
    "serve_predictions",
    "store_predictions",
    "rollback_model",
    "verify_forecasts",
    "replay_rejected",
    "backfill_features",
    "report_stations",
    "monitor_pipeline",
}
HEAVY = {"pandas", "numpy", "pyspark", "ray", "mlflow", "sklearn", "lightgbm", "kafka", "pyarrow"}
PARSE_LIMIT = timedelta(seconds=10)
"""A DAG parses in well under a second; this is for the slowest machine, and still finds one that does work."""


@pytest.fixture(scope="module")
def bag() -> DagBag:
    return DagBag(str(DAGS_FOLDER))


@pytest.fixture(params=sorted(EXPECTED))
def dag(bag: DagBag, request: pytest.FixtureRequest) -> DAG:
    return bag.dags[request.param]


def test_all_load_and_none_is_missing(bag: DagBag) -> None:
    assert bag.import_errors == {}
    assert set(bag.dags) == EXPECTED


def test_a_file_a_dag_of_the_same_name(dag: DAG) -> None:
    assert Path(dag.fileloc) == DAGS_FOLDER / f"{dag.dag_id}.py"


def test_the_reader_is_told_what_it_does_shows_and_wants(dag: DAG) -> None:
    assert dag.doc_md
    headings = re.findall(r"^### (.*)$", dag.doc_md, re.MULTILINE)
    assert [heading.partition(",")[0].partition(" (")[0] for heading in headings] == [
        "What it does",
        "What its log shows",
        "When it is red",
    ]
    assert dag.description


def test_it_has_owner_tags_retries_and_one_run_at_a_time(dag: DAG) -> None:
    assert policy.TAG in dag.tags
    assert len(dag.tags) > 1
    assert dag.max_active_runs == 1
    assert not dag.catchup
    assert dag.start_date is not None
    assert dag.start_date.tzinfo is not None
    for task in dag.tasks:
        assert task.owner == policy.OWNER
        assert task.retries > 0


def test_what_is_triggered_by_hand_has_typed_params_with_defaults(dag: DAG) -> None:
    params = [dag.params.get_param(name) for name in dag.params]
    assert all("type" in param.schema and param.description for param in params)
    for param in params:
        if param.has_value:
            param.resolve()
        else:
            may_be_empty = "null" in param.schema["type"]
            assert dag.schedule is None or may_be_empty, "only who triggers by hand can be asked for something"


@pytest.mark.parametrize("job", [*JOBS, WATCHER])
def test_a_long_lived_job_is_kept_up_in_its_own_folder(bag: DagBag, job: str) -> None:
    dag = bag.dags[job]
    (task,) = dag.tasks
    assert isinstance(task, LongLivedJobOperator)
    assert task.folder == load_settings().jobs_dir / job
    assert task.retry_delay <= timedelta(seconds=10)
    assert task.max_retry_delay <= timedelta(minutes=1)
    assert dag.schedule == "@once"
    assert dag.dagrun_timeout is None
    assert task.execution_timeout is None


def test_heavy_tasks_share_the_one_slot(bag: DagBag) -> None:
    for dag_id, tasks in {"prepare_history": ["prepare"], "train_models": ["train_first", "train_full"]}.items():
        assert [bag.dags[dag_id].get_task(task).pool for task in tasks] == [policy.HEAVY_POOL] * len(tasks)


def test_the_assets_draw_one_pipeline(bag: DagBag) -> None:
    """From the topic of observations every asset behind it is reached over the tasks that read and write them."""
    tasks = [task for dag in bag.dags.values() for task in dag.tasks]
    reached = {assets.RAW.name, assets.HISTORY.name}
    for _ in tasks:
        for task in tasks:
            if reached & {asset.name for asset in task.inlets}:
                reached |= {asset.name for asset in task.outlets}
    assert reached >= {a.name for a in (assets.FEATURES, assets.MODELS, assets.PREDICTIONS, assets.STORE)}


def test_new_history_triggers_training(bag: DagBag) -> None:
    assert bag.dags["train_models"].schedule == [assets.HISTORY]


@pytest.mark.parametrize(("source", "minutes"), [(Source.REPLAY, 1), (Source.OPEN_METEO, 3)])
def test_the_replay_is_polled_every_minute(monkeypatch: pytest.MonkeyPatch, source: Source, minutes: int) -> None:
    monkeypatch.setenv("WEATHERGLASS_SOURCE", source.value)
    monkeypatch.setenv("WEATHERGLASS_POLL_MINUTES", "3")
    dag = DagBag(str(DAGS_FOLDER / "ingest_observations.py")).dags["ingest_observations"]
    assert dag.schedule == f"*/{minutes} * * * *"


def test_parsing_is_quick_and_imports_nothing_heavy(bag: DagBag) -> None:
    assert max(stat.duration for stat in bag.dagbag_stats) < PARSE_LIMIT
    script = f"""
import sys
import airflow.sdk, airflow.dag_processing.dagbag
from airflow.providers.apache.spark.operators.spark_submit import SparkSubmitOperator
before = set(sys.modules)
assert not airflow.dag_processing.dagbag.DagBag({str(DAGS_FOLDER)!r}).import_errors
print("NEW", *sorted({{name.partition(".")[0] for name in set(sys.modules) - before}}))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=PROJECT_ROOT, check=False)
    assert done.returncode == 0, done.stderr
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("NEW ")]
    new = set(line.split())
    assert "plugins" in new
    assert not new & (HEAVY | {"requests", "httpx", "sqlalchemy"})


def test_airflow_loads_the_plugin_and_nothing_else_of_the_plugins_folder() -> None:
    from airflow._shared.module_loading import find_path_from_directory

    found = {
        Path(path).name for path in find_path_from_directory(str(PROJECT_ROOT / "plugins"), ".airflowignore", "glob")
    }
    assert {name for name in found if name.endswith(".py")} == {"weatherglass_plugin.py"}
