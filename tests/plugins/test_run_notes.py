"""The end of a run writes the summaries of its tasks to its note, with Airflow's tables and listeners."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import create_engine
from sqlalchemy.orm import Session

from tests import airflow_home  # noqa: F401 (must precede the import of Airflow)
from weatherglass.settings import PROJECT_ROOT

if TYPE_CHECKING:
    from airflow.models.dagrun import DagRun

START = datetime(2026, 1, 5, 12, tzinfo=UTC)
USER_NOTE = "started by make up"

A_DAG = """
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG

with DAG(dag_id="a_dag", schedule=None):
    EmptyOperator(task_id="fetch")
"""
FINISHED_TASKS = """
import sys
from airflow.models.dagbag import DBDagBag
from airflow.models.xcom import XComModel
from airflow.sdk import timezone
from airflow.utils.session import create_session
from airflow.utils.types import DagRunTriggeredByType, DagRunType

with create_session() as session:
    dag = DBDagBag().get_latest_version_of_dag("a_dag", session=session)
    by = {"run_type": DagRunType.MANUAL, "triggered_by": DagRunTriggeredByType.TEST}
    run = dag.create_dagrun(run_id="1", run_after=timezone.utcnow(), state="running", session=session, **by)
    run.note = sys.argv[1]
    session.flush()
    (ti,) = run.get_task_instances(session=session)
    ti.state = "success"
    names = {"task_id": ti.task_id, "dag_id": ti.dag_id, "run_id": ti.run_id}
    XComModel.set(key="summary", value="12 observations", **names, session=session)
"""
"""A run whose task has succeeded; the scheduler has not looked at it since."""


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    from airflow.models import import_all_models
    from airflow.models.base import Base

    import_all_models()
    engine = create_engine(f"sqlite:///{tmp_path / 'airflow.db'}")
    Base.metadata.create_all(engine)
    with Session(engine, autoflush=False) as session:  # as in Airflow
        yield session
    engine.dispose()


@pytest.fixture
def run(session: Session) -> DagRun:
    from airflow.models.dagrun import DagRun
    from airflow.utils.types import DagRunType

    run = DagRun(dag_id="a_dag", run_id="manual__1", run_type=DagRunType.MANUAL, run_after=START, state="running")
    session.add(run)
    session.commit()
    return run


def add_summary(session: Session, run: DagRun, task_id: str, text: str, key: str = "summary") -> None:
    """As the Task Execution API does."""
    from airflow.models.xcom import XComModel

    count = session.query(XComModel).count()
    xcom = XComModel(
        dag_run_id=run.id, task_id=task_id, map_index=-1, key=key, dag_id=run.dag_id, run_id=run.run_id, value=text
    )
    xcom.timestamp = START + timedelta(seconds=count)
    session.add(xcom)
    session.commit()


def end(session: Session, run: DagRun, state: str = "success") -> str | None:
    """End the run as the scheduler does; returns the stored note."""
    from airflow.listeners.listener import get_listener_manager
    from airflow.models.dagrun import DagRunNote

    from plugins import run_notes

    get_listener_manager().add_listener(run_notes)
    run.set_state(state)
    run.notify_dagrun_state_changed(msg="a test")
    session.commit()
    session.expire_all()
    row = session.get(DagRunNote, run.id)
    return row and row.content


@pytest.mark.parametrize("state", ["success", "failed"])
def test_the_note_has_the_summaries_in_their_order(session: Session, run: DagRun, state: str) -> None:
    add_summary(session, run, "verify", "240 forecasts verified")
    add_summary(session, run, "promote", "version 7 promoted")
    add_summary(session, run, "verify", "not a summary", key="return_value")
    assert end(session, run, state) == "Result: 240 forecasts verified; version 7 promoted"


def test_without_a_summary_there_is_no_note(session: Session, run: DagRun) -> None:
    assert end(session, run) is None


def test_the_text_of_the_user_follows_the_result_and_remains_when_the_run_is_repeated(
    session: Session, run: DagRun
) -> None:
    from airflow.models.xcom import XComModel

    run.note = (f"{USER_NOTE}\n\nsee the log", "admin")
    session.commit()
    for number in (1, 2):
        session.query(XComModel).delete()
        add_summary(session, run, "fetch", f"{number} observations")
        assert end(session, run) == f"Result: {number} observations\n\n{USER_NOTE}\n\nsee the log"
        run.set_state("running")
        session.commit()
    session.query(XComModel).delete()
    assert end(session, run, "failed") == f"{USER_NOTE}\n\nsee the log"


def test_the_result_of_an_earlier_try_is_removed(session: Session, run: DagRun) -> None:
    run.note = "Result: 12 observations"
    session.commit()
    assert end(session, run, "failed") is None


def test_a_note_saved_meanwhile_is_kept(session: Session, run: DagRun) -> None:
    """The scheduler has read the run, with its note, before a user saves one."""
    from airflow.models.dagrun import DagRun

    add_summary(session, run, "fetch", "12 observations")
    assert run.note is None
    with Session(session.get_bind()) as user:
        user.get_one(DagRun, run.id).note = USER_NOTE
        user.commit()
    assert end(session, run) == f"Result: 12 observations\n\n{USER_NOTE}"


@pytest.mark.parametrize(
    ("text", "summary", "expected"),
    [
        ("", "y" * 2000, f"Result: {'y' * 989}…"),
        ("x" * 980, "y" * 30, f"Result: {'y' * 9}…\n\n{'x' * 980}"),
        ("x" * 1000, "y", "x" * 1000),
    ],
)
def test_a_note_is_not_longer_than_its_column(text: str, summary: str, expected: str) -> None:
    from plugins.run_notes import with_result

    assert with_result(text, [summary]) == expected
    assert len(expected) <= 1000


def test_a_result_is_one_line() -> None:
    from plugins.run_notes import with_result

    assert with_result(None, ["first\nsecond"]) == "Result: first second"


@pytest.mark.integration
@pytest.mark.timeout(900)
def test_the_scheduler_of_airflow_writes_the_note(tmp_path: Path) -> None:
    database, dags = tmp_path / "airflow.db", tmp_path / "dags"
    dags.mkdir()
    (dags / "a_dag.py").write_text(A_DAG)
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "WEATHERGLASS_"))},
        "AIRFLOW_HOME": str(tmp_path),
        "AIRFLOW__CORE__DAGS_FOLDER": str(dags),
        "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__PARALLELISM": "1",
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(PROJECT_ROOT / "plugins"),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{database}",
        "PYTHONPATH": str(PROJECT_ROOT),
        "WEATHERGLASS_STATE_DIR": str(tmp_path / "state"),
    }
    airflow = ["-m", "airflow"]
    for arguments in (
        [*airflow, "db", "migrate"],
        [*airflow, "dags", "reserialize"],
        ["-c", FINISHED_TASKS, USER_NOTE],
        [*airflow, "scheduler", "--num-runs", "2", "--skip-serve-logs"],
    ):
        subprocess.run([sys.executable, *arguments], env=environment, cwd=tmp_path, check=True, timeout=600)
    with closing(sqlite3.connect(database)) as connection:
        rows = connection.execute("SELECT state, content FROM dag_run JOIN dag_run_note ON dag_run_id = id").fetchall()
    assert rows == [("success", f"Result: 12 observations\n\n{USER_NOTE}")]


def test_only_the_first_paragraph_is_of_the_run() -> None:
    from plugins.run_notes import with_result

    note = "Result: 1 observation\n\nSee below.\n\n\nResult: of my own"
    assert with_result(note, ["2 observations"]) == "Result: 2 observations\n\nSee below.\n\n\nResult: of my own"


def test_a_summary_that_fails_does_not_fail_the_task() -> None:
    from plugins.run_notes import summarize

    kept: dict[str, str] = {}
    ti = SimpleNamespace(xcom_push=lambda key, value: kept.update({key: value}))

    def fail() -> str:
        raise OSError("the registry is locked")

    summarize(ti, fail)
    assert kept == {}
    summarize(ti, lambda: "version 7 promoted")
    assert kept == {"summary": "version 7 promoted"}
