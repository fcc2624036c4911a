"""Fixtures: one local Spark session for all tests of this folder, and a features job on its own broker."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from pyspark.sql import SparkSession

from spark_jobs.spark_conf import batch_conf, stream_conf
from tests.conftest import TestBroker, make_settings
from tests.spark_jobs.driver import Driver
from weatherglass.settings import Settings

CODEGEN = "spark.sql.codegen.factoryMode"
"""Batches use generated code and the stream does not; tests of the stream in this session set it as the stream does."""


@pytest.fixture(scope="session")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkSession]:
    settings = make_settings(tmp_path_factory.mktemp("spark"))
    builder = SparkSession.builder.appName("tests")
    for name, value in (stream_conf(settings) | batch_conf(settings)).items():
        if name != CODEGEN:
            builder = builder.config(name, value)
    session = builder.getOrCreate()
    yield session
    session.stop()


@pytest.fixture
def streaming(spark: SparkSession, settings: Settings) -> Iterator[SparkSession]:
    """The same session with the code generation setting of the stream."""
    spark.conf.set(CODEGEN, stream_conf(settings)[CODEGEN])
    yield spark
    spark.conf.unset(CODEGEN)


@pytest.fixture
def driver(fresh_broker: TestBroker) -> Iterator[Driver]:
    driver = Driver(fresh_broker.settings, fresh_broker.settings.jobs_dir / "stream_features")
    yield driver
    driver.kill()


@pytest.fixture
def start() -> datetime:
    """One hour ago, on the full minute, since the stream checks timestamps against the current time."""
    return (datetime.now(UTC) - timedelta(hours=1)).replace(second=0, microsecond=0)
