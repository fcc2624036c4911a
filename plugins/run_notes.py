"""The note of a DAG run: tasks summarize what they did, and the end of the run writes it to the note.

A task cannot change the note of its run: the Task Execution API, its only access to Airflow's database, reads notes and
sets them only for a run that it triggers. Therefore a task keeps its summary as an XCom, and a listener, which Airflow
calls in the transaction that ends the run, adds it to the note. This needs no login.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from airflow.listeners import hookimpl

if TYPE_CHECKING:
    from airflow.models.dagrun import DagRun
    from sqlalchemy.orm import Session

log = logging.getLogger("airflow.task")

SUMMARY_KEY = "summary"
"""Key of the XCom with the summary of a task."""
PREFIX = "Result: "
"""Begins the paragraph of the note that belongs to this module; all others are of the user who wrote the note."""
MAX_LENGTH = 1000
"""Characters of a note in Airflow's database. PostgreSQL refuses a longer one, which would stop the scheduler."""


def summarize(ti: Any, text: str | Callable[[], str]) -> None:
    """Set the summary of a task: a few words without full stop, such as `12 observations from 3 stations`.

    An error is logged: the work of the task is done, and must not be repeated because its note is missing.

    Args:
        ti: the task instance in the context of the task; None if Airflow does not run the task.
        text: or a function that returns it and may fail.
    """
    if ti is None:
        return
    try:
        ti.xcom_push(key=SUMMARY_KEY, value=text if isinstance(text, str) else text())
    except Exception as error:
        log.warning("The run has no note: %s", error)


def with_result(note: str | None, summaries: list[str]) -> str | None:
    """The note with a line of the summaries before the text of the user, instead of that of an earlier try of the run.

    The text of the user is kept completely; None if there is neither text nor summary.
    """
    first, _, others = (note or "").partition("\n\n")
    own = others if first.startswith(PREFIX) else note or ""
    if not summaries:
        return own or None
    result = PREFIX + "; ".join(summaries).replace("\n", " ")
    space = MAX_LENGTH - len(own) - len("\n\n")
    if len(result) > space:
        result = f"{result[: space - 1]}…" if space > len(PREFIX) else ""
    return "\n\n".join(filter(None, [result, own]))


@hookimpl
def on_dag_run_success(dag_run: DagRun) -> None:
    _write_note(dag_run)


@hookimpl
def on_dag_run_failed(dag_run: DagRun) -> None:
    _write_note(dag_run)


def _write_note(dag_run: DagRun) -> None:
    """Update the note in the session of the run; Airflow commits it with the state of the run."""
    from sqlalchemy.orm import object_session

    session = object_session(dag_run)
    if session is None:  # only in `dag.test()`, which closes its session while tasks run
        return
    # No flush: an error of the database in a listener would end the scheduler, which repeats its own flush.
    session.refresh(dag_run, ["dag_run_note"])
    note = with_result(dag_run.note, _summaries(dag_run, session))
    if note == dag_run.note:
        return
    if note is None:
        dag_run.dag_run_note = None
    else:
        dag_run.note = note


def _summaries(dag_run: DagRun, session: Session) -> list[str]:
    """The summaries of the tasks of a run, in the order in which they were set."""
    from airflow.models.xcom import XComModel
    from sqlalchemy import select

    query = select(XComModel).where(XComModel.dag_run_id == dag_run.id, XComModel.key == SUMMARY_KEY)
    return [str(XComModel.deserialize_value(row)) for row in session.scalars(query.order_by(XComModel.timestamp))]
