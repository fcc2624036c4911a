"""One local Spark for all tests here."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from pyspark.sql import SparkSession

from tests.conftest import make_settings
from weatherglass.spark import batch_conf, stream_conf


@pytest.fixture(scope="session")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkSession]:
    settings = make_settings(tmp_path_factory.mktemp("spark"))
    builder = SparkSession.builder.appName("tests")
    for name, value in (stream_conf(settings) | batch_conf(settings)).items():
        builder = builder.config(name, value)
    session = builder.getOrCreate()
    yield session
    session.stop()
