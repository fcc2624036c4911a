from __future__ import annotations

import threading

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import StatementError

from tests.weatherglass.store.samples import NOON, a_prediction
from weatherglass.store import predictions


@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
def test_sqlite_is_opened_with_wal_and_a_busy_timeout(store: Engine) -> None:
    with store.connect() as connection:
        pragmas = {
            name: connection.execute(text(f"PRAGMA {name}")).scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        }
    assert pragmas["journal_mode"] == "wal"
    assert pragmas["synchronous"] == 1
    assert pragmas["foreign_keys"] == 1
    assert pragmas["busy_timeout"] > 0


def test_a_reader_sees_the_last_commit_during_a_write(store: Engine) -> None:
    with store.begin() as writer:
        predictions.save(writer, [a_prediction()], NOON)
        with store.connect() as reader:
            assert predictions.latest(reader, "new-york") is None
    with store.connect() as reader:
        assert predictions.latest(reader, "new-york") is not None


def test_writers_wait_for_each_other(store: Engine) -> None:
    errors: list[BaseException] = []

    def write(station: str) -> None:
        try:
            for minute in range(20):
                with store.begin() as connection:
                    predictions.save(connection, [a_prediction(station, NOON.replace(minute=minute))], NOON)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=write, args=(f"station-{i}",)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert errors == []
    with store.connect() as connection:
        assert {row.prediction.timestamp.minute for row in predictions.latest_all(connection).values()} == {19}
        assert len(predictions.latest_all(connection)) == 4


def test_a_time_without_a_zone_is_rejected(store: Engine) -> None:
    naive = NOON.replace(tzinfo=None)
    with store.begin() as connection, pytest.raises(StatementError, match=str(naive)) as caught:
        predictions.save(connection, [a_prediction()], naive)
    assert isinstance(caught.value.orig, ValueError)
