from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import Connection, Engine

from weatherglass.store.engine import open_store
from weatherglass.store.migrate import migrate


@pytest.fixture
def store(store_url: str) -> Iterator[Engine]:
    migrate(store_url)
    engine = open_store(store_url)
    yield engine
    engine.dispose()


@pytest.fixture
def connection(store: Engine) -> Iterator[Connection]:
    with store.begin() as connection:
        yield connection
