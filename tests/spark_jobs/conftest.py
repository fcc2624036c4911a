"""One local Spark for all tests here, and a features job on a broker of the test's own."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from pyspark.sql import SparkSession

from spark_jobs.spark_conf import batch_conf, stream_conf
from tests.conftest import TestBroker, make_settings
from tests.spark_jobs.driver import Driver
from weatherglass.settings import Settings

CODE = "spark.sql.codegen.factoryMode"
"""Batches run generated code, and the stream does not; tests of the stream in this session take over its setting."""


@pytest.fixture(scope="session")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkSession]:
    settings = make_settings(tmp_path_factory.mktemp("spark"))
    builder = SparkSession.builder.appName("tests")
    for name, value in (stream_conf(settings) | batch_conf(settings)).items():
        if name != CODE:
            builder = builder.config(name, value)
    session = builder.getOrCreate()
    yield session
    session.stop()


@pytest.fixture
def streaming(spark: SparkSession, settings: Settings) -> Iterator[SparkSession]:
    """The same session, as the stream runs."""
    spark.conf.set(CODE, stream_conf(settings)[CODE])
    yield spark
    spark.conf.unset(CODE)


@pytest.fixture
def driver(fresh_broker: TestBroker) -> Iterator[Driver]:
    driver = Driver(fresh_broker.settings, fresh_broker.settings.jobs_dir / "stream_features")
    yield driver
    driver.kill()


@pytest.fixture
def start() -> datetime:
    """An hour ago, on the minute: the stream judges future and past by the clock."""
    return (datetime.now(UTC) - timedelta(hours=1)).replace(second=0, microsecond=0)
