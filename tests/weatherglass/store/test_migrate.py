from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Engine, inspect
from sqlalchemy.exc import DatabaseError

from weatherglass.store import schema
from weatherglass.store.engine import open_store
from weatherglass.store.migrate import alembic_config, migrate
from weatherglass.store.schema import metadata


def test_migrations_create_the_tables_of_the_schema(store: Engine) -> None:
    with store.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []


def test_a_downgrade_to_base_drops_all_tables(store: Engine) -> None:
    with store.connect() as connection:
        command.downgrade(alembic_config(connection), "base")
        assert set(inspect(connection).get_table_names()) <= {"alembic_version"}


@pytest.mark.integration
def test_several_processes_can_migrate_at_once(store_url: str) -> None:
    code = f"from weatherglass.store.migrate import migrate; migrate({store_url!r})"
    processes = [subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE) for _ in range(4)]
    errors = [process.communicate(timeout=120)[1] for process in processes]
    assert [process.returncode for process in processes] == [0] * 4, errors
    engine = open_store(store_url)
    assert set(metadata.tables) <= set(inspect(engine).get_table_names())
    engine.dispose()


def test_migrating_again_keeps_the_records(store_url: str) -> None:
    from tests.weatherglass.store.samples import NOON, an_observation
    from weatherglass.store import observations

    migrate(store_url)
    engine = open_store(store_url)
    with engine.begin() as connection:
        observations.save(connection, [an_observation()], NOON)
    migrate(store_url)
    with engine.connect() as connection:
        assert observations.latest(connection, "new-york") is not None
    engine.dispose()


OLD_ROWS = """
INSERT INTO alerts (rule, subject, severity, since, seen_at, words, figures, end_sent_at)
    VALUES ('drift', 'pressure', 'warning', '{time}', '{time}', 'PSI 0.4', '{{"psi": 0.4}}', '{time}');
INSERT INTO promotions (at, kind, action, to_version, who, why, figures)
    VALUES ('{time}', 'forecaster', 'promote', '7', 'ann', 'better', '{{"gain": 0.1}}');
INSERT INTO comparisons (at, champion, challenger, decision, why, figures)
    VALUES ('{time}', '6', '7', 'wait', 'too few days', '{{"days": 3}}');
INSERT INTO trainings_asked (at, why) VALUES ('{time}', 'due'), ('{time}', 'degraded');
INSERT INTO interval_widths (version, station_id, day, factors) VALUES ('7', 'boston', '2026-01-05', '[1.5]')
""".format(time="2026-01-05 12:15:00.000000")


def test_renaming_tables_and_columns_keeps_the_records(store_url: str) -> None:
    engine = open_store(store_url)
    with engine.connect() as connection:
        command.upgrade(alembic_config(connection), "0010")
        for statement in OLD_ROWS.split(";"):
            connection.exec_driver_sql(statement)
        command.upgrade(alembic_config(connection), "head")
        alert = connection.execute(schema.alerts.select()).one()
        assert (alert.message, alert.details, alert.resolution_sent_at is None) == ("PSI 0.4", {"psi": 0.4}, False)
        promotion = connection.execute(schema.promotions.select()).one()
        assert (promotion.changed_by, promotion.reason, promotion.details) == ("ann", "better", {"gain": 0.1})
        comparison = connection.execute(schema.comparisons.select()).one()
        assert (comparison.reason, comparison.details) == ("too few days", {"days": 3})
        requests = connection.execute(schema.retraining_requests.select().order_by("id")).all()
        assert [row.reason for row in requests] == ["due", "degraded"]
        recalibration = connection.execute(schema.recalibrations.select()).one()
        assert (recalibration.station_id, recalibration.factors) == ("boston", [1.5])
        assert np.array_equal(recalibration.bias, np.zeros((24, 4, 4)))
        connection.execute(schema.retraining_requests.insert().values(at=requests[0].at, reason="schedule"))
        with pytest.raises(DatabaseError), connection.begin_nested():
            connection.execute(schema.promotions.delete())
        command.downgrade(alembic_config(connection), "0010")
        assert connection.exec_driver_sql("SELECT why FROM trainings_asked ORDER BY id").scalars().all() == [
            "due",
            "degraded",
            "schedule",
        ]
        assert connection.exec_driver_sql("SELECT words FROM alerts").scalar() == "PSI 0.4"
        assert connection.exec_driver_sql("SELECT station_id FROM interval_widths").scalar() == "boston"
        connection.rollback()
    engine.dispose()


def test_several_published_observations_become_one_again(store_url: str) -> None:
    engine = open_store(store_url)
    row = "INSERT INTO published (station_id, timestamp, temperature) VALUES ('jfk', '2026-01-05 {}:00.000000', {})"
    with engine.connect() as connection:
        command.upgrade(alembic_config(connection), "0012")
        connection.exec_driver_sql(row.format("12:51", 3.5))
        command.upgrade(alembic_config(connection), "0013")
        assert inspect(connection).get_pk_constraint("published")["constrained_columns"] == ["station_id", "timestamp"]
        connection.exec_driver_sql(row.format("11:51", 3.0))
        command.downgrade(alembic_config(connection), "0012")
        assert inspect(connection).get_pk_constraint("published")["constrained_columns"] == ["station_id"]
        assert connection.exec_driver_sql("SELECT temperature FROM published").scalars().all() == [3.5]
        connection.rollback()
    engine.dispose()
