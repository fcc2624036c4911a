"""Polls of a source, of observations or of guidance, recorded in the store."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from time import monotonic

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from weatherglass.store.polls import OK, Poll, save_poll


@contextmanager
def recorded_poll(
    engine: Engine, now: datetime, describe: Callable[[datetime, float, str], Poll | None]
) -> Iterator[None]:
    """Save a poll in the store at its end, even if it fails. A failure to save it is ignored.

    Args:
        now: begin of the poll, UTC.
        describe: the poll that ended at this time, after so many seconds, with this outcome; None if nothing was
            requested.
    """
    outcome, started = OK, monotonic()
    try:
        yield
    except BaseException as error:  # Airflow ends a task that takes too long by such an exception
        outcome = type(error).__name__
        raise
    finally:
        seconds = monotonic() - started
        if poll := describe(now + timedelta(seconds=seconds), seconds, outcome):
            with suppress(SQLAlchemyError), engine.begin() as connection:
                save_poll(connection, poll)
