from __future__ import annotations

from datetime import timedelta
from types import SimpleNamespace

import pytest
from pyspark.sql import SparkSession

from spark_jobs import jvm


def test_java_receives_lateness_in_microseconds() -> None:
    lateness = jvm.Lateness(closed=timedelta(days=1, microseconds=7), delay=timedelta(minutes=2, milliseconds=3))
    assert lateness.microseconds() == (86_400_000_007, 120_003_000)


@pytest.mark.integration
def test_a_session_without_the_jar_is_an_error(spark: SparkSession, monkeypatch: pytest.MonkeyPatch) -> None:
    absent = SimpleNamespace(_jvm=SimpleNamespace(weatherglass=spark._jvm.absent))  # type: ignore[union-attr]
    monkeypatch.setattr(SparkSession, "active", lambda: absent)
    with pytest.raises(RuntimeError):
        jvm.query_events(spark)
