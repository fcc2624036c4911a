"""Every DAG loads without a database and is documented for its users."""

from __future__ import annotations

import re
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from airflow.dag_processing.dagbag import DagBag
from airflow.sdk import DAG, Param

from plugins import assets, policy
from plugins.spark_batch import SparkBatchOperator
from plugins.supervision.operator import LongLivedJobOperator
from weatherglass.alerts.health import JOBS, MONITOR, MQTT, SIMULATION
from weatherglass.settings import PROJECT_ROOT, Source, load_settings

DAGS_FOLDER = PROJECT_ROOT / "dags"
EXPECTED = {
    "bootstrap_topics",
    "ingest_observations",
    "ingest_files",
    "ingest_guidance",
    "simulate_observations",
    "receive_mqtt",
    "prepare_history",
    "train_models",
    "train_daily",
    "train_weekly",
    "stream_features",
    "serve_predictions",
    "store_predictions",
    "rollback_model",
    "verify_forecasts",
    "replay_rejected",
    "backfill_features",
    "benchmark_pipeline",
    "report_stations",
    "monitor_pipeline",
}
WITHOUT_DEFAULT = {("rollback_model", "reason")}
"""Parameters that the user must enter."""
HEAVY = {"pandas", "numpy", "pyspark", "ray", "mlflow", "sklearn", "lightgbm", "kafka", "pyarrow"}
MAX_NAME_LENGTH = 30
"""Characters of a display name; a longer one does not fit into the grid and graph of Airflow."""
PARSE_LIMIT = timedelta(seconds=10)
"""Parsing takes well under a second; the limit allows for a slow machine and still detects work at parse time."""


@pytest.fixture(scope="module")
def bag() -> DagBag:
    return DagBag(str(DAGS_FOLDER))


@pytest.fixture(params=sorted(EXPECTED))
def dag(bag: DagBag, request: pytest.FixtureRequest) -> DAG:
    return bag.dags[request.param]


def test_all_dags_load(bag: DagBag) -> None:
    assert bag.import_errors == {}
    assert set(bag.dags) == EXPECTED


def test_each_dag_has_a_file_of_the_same_name(dag: DAG) -> None:
    assert Path(dag.fileloc) == DAGS_FOLDER / f"{dag.dag_id}.py"


def test_the_documentation_has_its_three_sections(dag: DAG) -> None:
    assert dag.doc_md
    headings = re.findall(r"^### (.*)$", dag.doc_md, re.MULTILINE)
    long_lived = dag.dag_id in (*JOBS, SIMULATION, MQTT, MONITOR)
    failure = "When it fails or is retried (triage)" if long_lived else "When it fails (triage)"
    assert headings == ["What it does", "What its log shows", failure]
    assert dag.description


def test_every_dag_and_task_has_a_short_name_of_its_own(bag: DagBag) -> None:
    dags = {dag.dag_display_name: dag.dag_id for dag in bag.dags.values()}
    assert set(dags.values()) == EXPECTED  # no two have the same name
    for dag in bag.dags.values():
        names = {task.task_display_name for task in dag.tasks}
        assert len(names) == len(dag.tasks)
        for name in (dag.dag_display_name, *names):
            assert name not in (dag.dag_id, *dag.task_ids)
            assert re.fullmatch(r"[A-Z][A-Za-z, ]+\??", name)
            assert len(name) <= MAX_NAME_LENGTH


def test_every_dag_has_owner_tags_retries_and_one_run_at_a_time(dag: DAG) -> None:
    assert policy.TAG in dag.tags
    assert len(dag.tags) > 1
    assert dag.max_active_runs == 1
    assert not dag.catchup
    assert dag.start_date is not None
    assert dag.start_date.tzinfo is not None
    for task in dag.tasks:
        assert task.owner == policy.OWNER
        assert task.retries > 0


def test_every_parameter_is_typed_and_described_and_has_a_valid_default(dag: DAG) -> None:
    for name in dag.params:
        param = dag.params.get_param(name)
        assert param.schema["title"]
        assert param.description
        assert "type" in param.schema
        if (dag.dag_id, name) in WITHOUT_DEFAULT:
            assert not param.has_value
            assert dag.schedule is None
        else:
            param.resolve()
            assert param.value != ""  # Airflow's trigger form treats an empty string as missing


def test_every_parameter_has_choices_or_valid_examples(dag: DAG) -> None:
    for name in dag.params:
        param = dag.params.get_param(name)
        if param.schema.get("enum") or param.schema["type"] == "boolean":
            continue
        examples = param.schema["examples"]
        assert examples
        for example in [examples] if "array" in param.schema["type"] else examples:
            assert Param(example, **param.schema).resolve() == example


def test_the_choices_of_parameters_match_the_code_that_uses_them(bag: DagBag) -> None:
    from ray_jobs.train import TEST_CASES
    from ray_jobs.training.plan import REFIT
    from spark_jobs.prepare_history import SOURCES
    from weatherglass.history.source_choice import AUTO, LAST
    from weatherglass.qc.observation_checks import RejectionReason
    from weatherglass.registry.registry import KINDS

    def schema(dag_id: str, name: str) -> dict[str, Any]:
        return bag.dags[dag_id].params.get_param(name).schema

    assert set(schema("prepare_history", "source")["enum"]) == {LAST, AUTO, *SOURCES}
    assert bag.dags["prepare_history"].params["source"] == LAST  # the scheduled runs choose no source
    assert set(schema("prepare_history", "training")["enum"]) == {"auto", REFIT}
    assert set(schema("train_models", "size")["enum"]) == {"auto", *TEST_CASES}
    assert set(schema("rollback_model", "kind")["enum"]) == set(KINDS)
    assert schema("replay_rejected", "reasons")["examples"] == list(RejectionReason)


@pytest.mark.parametrize("job", [*JOBS, SIMULATION, MQTT, MONITOR])
def test_a_long_lived_job_is_restarted_without_limit_in_its_own_folder(bag: DagBag, job: str) -> None:
    dag = bag.dags[job]
    (task,) = dag.tasks
    assert isinstance(task, LongLivedJobOperator)
    assert task.folder == load_settings().jobs_dir / job
    assert task.retry_delay <= timedelta(seconds=10)
    assert task.max_retry_delay <= timedelta(minutes=1)
    assert dag.schedule == "@once"
    assert dag.dagrun_timeout is None
    assert task.execution_timeout is None


def test_heavy_tasks_use_the_pool_with_one_slot(bag: DagBag) -> None:
    heavy = {
        "prepare_history": ["prepare"],
        "train_models": ["train_first", "train_full", "train_refit"],
        "backfill_features": ["backfill"],
        "benchmark_pipeline": ["measure"],
    }
    for dag_id, tasks in heavy.items():
        assert [bag.dags[dag_id].get_task(task).pool for task in tasks] == [policy.HEAVY_POOL] * len(tasks)


def test_every_asset_is_reachable_from_observations_and_history(bag: DagBag) -> None:
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


@pytest.mark.parametrize(("source", "schedule"), [(Source.REPLAY, "*/5 * * * *"), (Source.METAR, "7 * * * *")])
def test_the_replay_is_verified_several_times_per_hour(
    monkeypatch: pytest.MonkeyPatch, source: Source, schedule: str
) -> None:
    monkeypatch.setenv("WEATHERGLASS_SOURCE", source.value)
    dag = DagBag(str(DAGS_FOLDER / "verify_forecasts.py")).dags["verify_forecasts"]
    assert dag.schedule == schedule


@pytest.mark.parametrize(
    ("params", "arguments"),
    [
        ({"stations": None, "since": None, "until": None}, []),
        ({"stations": "boston,miami", "since": None, "until": None}, ["--stations=boston,miami"]),
        (
            {"stations": None, "since": "2026-01-05T00:00:00Z", "until": "2026-01-06T00:00:00Z"},
            ["--since=2026-01-05T00:00:00Z", "--until=2026-01-06T00:00:00Z"],
        ),
    ],
)
def test_null_parameters_of_a_backfill_are_not_passed_to_spark(
    bag: DagBag, monkeypatch: pytest.MonkeyPatch, params: dict[str, str | None], arguments: list[str]
) -> None:
    submitted: list[list[str]] = []
    operator = bag.dags["backfill_features"].get_task("backfill")
    assert isinstance(operator, SparkBatchOperator)
    task = operator.prepare_for_execution()
    monkeypatch.setattr(
        SparkBatchOperator.__base__, "execute", lambda self, context: submitted.append(self.application_args)
    )
    task.render_template_fields({"params": params})
    task.execute({})
    assert submitted == [arguments]


def test_parsing_is_fast_and_imports_no_heavy_packages(bag: DagBag) -> None:
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


def test_airflow_loads_only_the_plugin_of_the_plugins_folder() -> None:
    from airflow._shared.module_loading import find_path_from_directory

    paths = find_path_from_directory(str(PROJECT_ROOT / "plugins"), ".airflowignore", "glob")
    assert {Path(path).name for path in paths if path.endswith(".py")} == {"weatherglass_plugin.py"}
