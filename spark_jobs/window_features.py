"""Window features of stations: one function for streams and batches."""

from __future__ import annotations

from datetime import timedelta

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from spark_jobs import jvm
from weatherglass.history.hours import SLIDE, WATERMARK, WINDOW
from weatherglass.qc.limits import RANGE_LIMITS, RangeLimit
from weatherglass.qc.observation_checks import CHECKS, QcParameters

WATERMARK_SHIFT = timedelta(days=1000)
"""Offset of the column with the watermark from the time of the observations. Spark drops rows older than the watermark
before the state is updated, although some of their windows may still be open; with this offset it drops none."""

LATE_METRIC = "late"
"""Name of an observed metric of a stream: observations that were too late for any window."""

FAILED_METRIC = "failed_values"
"""Name of an observed metric of a stream: observations that failed each check of quality control."""


def window_features(
    observations: DataFrame, parameters: QcParameters, closed: int = 0, counted: Column | None = None
) -> DataFrame:
    """Features of every window that contains an observation: 5 minutes wide, every minute, `[start, end)`, event time.

    Args:
        observations: columns `station_id`, `timestamp` (UTC), `arrived` (arrival of the message, UTC) and `offset`
            (bigint), the five variables (double, units of the record schema, null if missing) and `source` (string,
            null if unknown). Of several rows with the same station and timestamp, the one with the latest `arrived`,
            then the highest `offset`, counts. Stream or batch.
        parameters: limits, elevations and climate for quality control.
        closed: milliseconds since 1970. A stream treats windows that end at or before it as closed.
        counted: boolean column; a stream counts only these observations in the metric `FAILED_METRIC`. None counts all.
            The others were counted before and are read again only for their windows.

    Returns:
        `station_id`, `window_end` (timestamp), `value` (binary: JSON of `records.WindowFeatures` with all fields, an
        unknown number is null) and `source`, that of the last observation of the window. A stream returns the windows
        that changed. If all windows of an observation ended by the watermark, 10 minutes behind the newest observation,
        it is in no window and counted in the metric `LATE_METRIC`.

    A repeated observation counts once, and a revised one replaces the old one: the readings of each minute are kept
    until all its windows are closed. The JVM computes and serializes the windows (`spark_jobs/jvm.py`), with the same
    code for streams and batches: as about a hundred Spark columns, planning and compiling them would take longer than
    processing the observations of a small batch.

    Statistics of a variable use its values that passed quality control (`weatherglass.qc.observation_checks`). A
    humidity within the tolerance above 100 % counts as 100 %. `std` is the sample standard deviation, null below two
    values; `rate_per_hour` is the least-squares slope over time, null below two values; `last` is the newest value;
    `count` is the number of values. `trend` is null if the rate is null; it is *rising* or *falling*, by the sign of
    the rate, if both conditions hold, otherwise *steady*:

    - the fitted change between the first and the last value exceeds the resolution of the instrument;
    - with three values or more, the rate exceeds twice its standard error.

    `wind` is the mean of the wind vectors (a calm is a zero vector, independent of its direction), `steadiness` its
    speed divided by the mean speed (WMO-No. 8, volume I, chapter 5), null if all winds are calm. `dew_point`,
    `sea_level_pressure` and `apparent_temperature` are computed from the means of the window
    (`weatherglass.meteorology`), null if an input is missing or outside the range of the formula. A check in `checks`
    is *failed* if any observation of the window failed it, else *ok* if any passed it, else *not_checked*. `quality` of
    a variable is `failed` if any value was excluded, `ok` if there are values and all are used, else `not_checked`.
    """
    values = [_within_tolerance(name, limit) for name, limit in RANGE_LIMITS.items()]
    time = F.unix_micros("timestamp")
    prepared = observations.select(
        "station_id",
        time.alias("time"),
        F.unix_micros("arrived").alias("arrived"),
        "offset",
        *(value.alias(name) for value, name in zip(values, RANGE_LIMITS, strict=True)),
        jvm.qc_flags(F.col("station_id"), time, values, parameters).alias("qc_flags"),
        "source",
        (F.col("timestamp") + F.lit(WATERMARK_SHIFT)).alias("ahead"),
        (F.lit(True) if counted is None else counted).alias("counted"),
    )
    panes, slide = WINDOW // SLIDE, SLIDE // timedelta(microseconds=1)
    if observations.isStreaming:
        failed = (F.count_if(F.col("counted") & _bit(_failed(check))).alias(check) for check in CHECKS)
        prepared = prepared.observe(FAILED_METRIC, *failed).drop("counted")
        prepared = prepared.withWatermark("ahead", f"{(WATERMARK + WATERMARK_SHIFT) // timedelta(seconds=1)} seconds")
    windows = jvm.windows(prepared, slide, panes, closed * 1000, parameters)
    if observations.isStreaming:
        windows = windows.observe(LATE_METRIC, F.sum("late").alias(LATE_METRIC)).where("end is not null")
    return windows.select("station_id", F.timestamp_micros("end").alias("window_end"), "value", "source")


def _within_tolerance(name: str, limit: RangeLimit) -> Column:
    """The variable `name`; values within the tolerance above the range as the end of the range."""
    value = F.col(name)
    if not limit.tolerance:
        return value
    above = (value > limit.high) & (value <= limit.high + limit.tolerance)
    return F.when(above, F.lit(limit.high)).otherwise(value)


def _bit(number: int) -> Column:
    return F.col("qc_flags").bitwiseAND(F.lit(1 << number)) != 0


def _failed(check: str) -> int:
    """Number of the bit that `QualityControl.java` sets if an observation fails a check."""
    return 9 + 2 * CHECKS.index(check)
