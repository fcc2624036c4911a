"""Python interface of the Java code of the features job (`spark_jobs/java`, compiled by `make setup`).

Parsing, quality control and windows run in Spark's own processes: a Python worker process for each task would take more
time than all of them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from pyspark.sql import Column, DataFrame, SparkSession

from weatherglass.history.hours import SLIDE, WINDOW
from weatherglass.qc.observation_checks import QcParameters
from weatherglass.records import TIME_TEXT

MICROSECOND = timedelta(microseconds=1)


def parsed(value: Column, arrived: Column, ahead: timedelta, behind: timedelta) -> Column:
    """Parse a message into a struct: `station_id`, `time` (microseconds since 1970), the five variables, `reason`.

    Args:
        value: binary.
        arrived: bigint, arrival time in microseconds since 1970.
        ahead: how far an observation may lie after its arrival.
        behind: how far an observation may lie before its arrival.
    """
    return _column(_parser(ahead, behind).parsed(_java(value), _java(arrived)))


def header_text(headers: Column, name: str, max_bytes: int) -> Column:
    """The text of the first header of a Kafka message with this name; null if it is not valid UTF-8, or longer."""
    return _column(_package().HeaderText.column(_java(headers), name, max_bytes))


def batch_windows(observations: DataFrame, parameters: QcParameters) -> DataFrame:
    """All sliding windows of a batch; see `Windows.java` for the columns."""
    java = _windows(parameters).ofBatch(observations._jdf, _quality_control(parameters))
    return DataFrame(java, observations.sparkSession)


@dataclass(frozen=True)
class Lateness:
    """Which windows are closed.

    Attributes:
        closed: since 1970; windows that end at or before it are closed for every station.
        delay: a window is closed when the newest reading of its station is this much after its end.
    """

    closed: timedelta
    delay: timedelta

    def microseconds(self) -> tuple[int, int]:
        return self.closed // MICROSECOND, self.delay // MICROSECOND


def packed_messages(
    messages: DataFrame, parameters: QcParameters, ahead: timedelta, behind: timedelta, lateness: Lateness
) -> DataFrame:
    """Parse, check and pack the messages of a stream; see `MessagePacker.java` and `PackedRow.java` for the columns.

    Args:
        ahead: as for `parsed`.
        behind: as for `parsed`.
        lateness: the same as for `stream_windows`.
    """
    java = _windows(parameters).packed(
        messages._jdf, _parser(ahead, behind), _quality_control(parameters), *lateness.microseconds()
    )
    return DataFrame(java, messages.sparkSession)


def stream_windows(packed: DataFrame, parameters: QcParameters, lateness: Lateness) -> DataFrame:
    """The windows that each batch of a stream changes, and its messages that are in no window; see `Windows.java`."""
    return DataFrame(_windows(parameters).ofStream(packed._jdf, *lateness.microseconds()), packed.sparkSession)


def _parser(ahead: timedelta, behind: timedelta) -> Any:
    return _package().ObservationParser(TIME_TEXT, ahead // MICROSECOND, behind // MICROSECOND)


def _quality_control(parameters: QcParameters) -> Any:
    return _package().QualityControl(parameters.to_json())


def _windows(parameters: QcParameters) -> Any:
    # Only quality control uses the climate; without it less is sent to each task of each batch.
    return _package().Windows(SLIDE // MICROSECOND, WINDOW // SLIDE, replace(parameters, climate={}).to_json())


def query_events(spark: SparkSession) -> Any:
    """A new queue of the events of all queries of the session; see `QueryEvents.java`."""
    events = _package().QueryEvents()
    spark.streams._jsqm.addListener(events)
    return events


def _package() -> Any:
    spark = SparkSession.active()
    package = spark._jvm.weatherglass  # type: ignore[union-attr]
    if not callable(package.Windows):
        raise RuntimeError("weatherglass.jar is not on Spark's class path. Run `make setup` to compile it")
    return package


def _java(column: Column) -> Any:
    return column._jc


def _column(java: Any) -> Column:
    from pyspark.sql.classic.column import Column as ClassicColumn

    return ClassicColumn(java)
