"""The hot loop of the features job, in Java (`weatherglass/*.java`, compiled by `make setup`), as columns and frames.

Parsing, quality control and the windows themselves run inside Spark's own processes: a Python worker beside each task
would cost more than all of them.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

from pyspark.sql import Column, DataFrame, SparkSession

from weatherglass.qc.observation_checks import Rules
from weatherglass.records import TIME_TEXT

MICROSECOND = timedelta(microseconds=1)


def parsed(value: Column, arrived: Column, ahead: timedelta, behind: timedelta) -> Column:
    """A message as a struct: `station_id`, `time` (microseconds since 1970), the five variables, `reason`.

    Args:
        value: binary.
        arrived: bigint, microseconds since 1970; future and past are told from it.
    """
    parser = _package().ObservationParser
    return _column(parser.parsed(_java(value), _java(arrived), TIME_TEXT, ahead // MICROSECOND, behind // MICROSECOND))


def qc_flags(station: Column, time: Column, values: list[Column], rules: Rules) -> Column:
    """The bits that quality control sets for an observation; see `QualityControl.java`."""
    gateway = SparkSession.active().sparkContext._gateway
    assert gateway
    array = gateway.new_array(gateway.jvm.org.apache.spark.sql.Column, len(values))
    for i, value in enumerate(values):
        array[i] = _java(value)
    return _column(_package().QualityControl.flags(_java(station), _java(time), array, rules.to_json()))


def windows(observations: DataFrame, slide: int, panes: int, closed: int, rules: Rules) -> DataFrame:
    """Windows of `panes` slides of so many microseconds; see `Windows.java` for the columns.

    Args:
        closed: microseconds since 1970; in a stream, no window that ends at or before it is sent.
    """
    # The climate is quality control's: it would go to each task of each batch for nothing.
    java = _package().Windows(slide, panes, closed, replace(rules, climate={}).to_json())
    frame = observations._jdf
    made = java.ofStream(frame) if observations.isStreaming else java.ofBatch(frame)
    return DataFrame(made, observations.sparkSession)


def query_events(spark: SparkSession) -> Any:
    """What the session's queries say from now on; see `QueryEvents.java`."""
    events = _package().QueryEvents()
    spark.streams._jsqm.addListener(events)
    return events


def _package() -> Any:
    spark = SparkSession.active()
    package = spark._jvm.weatherglass  # type: ignore[union-attr]
    if not callable(package.Windows):
        raise RuntimeError("Spark does not find weatherglass.jar: run `make setup`, which compiles it")
    return package


def _java(column: Column) -> Any:
    return column._jc


def _column(java: Any) -> Column:
    from pyspark.sql.classic.column import Column as ClassicColumn

    return ClassicColumn(java)
