from __future__ import annotations

import subprocess
import sys

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Engine, inspect

from weatherglass.store.engine import open_store
from weatherglass.store.migrate import alembic_config, migrate
from weatherglass.store.schema import metadata


def test_the_migrations_make_the_tables_of_the_schema(store: Engine) -> None:
    with store.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []


def test_the_migrations_go_back_to_nothing(store: Engine) -> None:
    with store.connect() as connection:
        command.downgrade(alembic_config(connection), "base")
        assert set(inspect(connection).get_table_names()) <= {"alembic_version"}


@pytest.mark.integration
def test_several_processes_may_migrate_at_once(store_url: str) -> None:
    code = f"from weatherglass.store.migrate import migrate; migrate({store_url!r})"
    processes = [subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE) for _ in range(4)]
    said = [process.communicate(timeout=120)[1] for process in processes]
    assert [process.returncode for process in processes] == [0] * 4, said
    engine = open_store(store_url)
    assert set(metadata.tables) <= set(inspect(engine).get_table_names())
    engine.dispose()


def test_migrating_again_keeps_what_is_stored(store_url: str) -> None:
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
